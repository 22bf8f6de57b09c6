// SPDX-License-Identifier: Apache-2.0
import { open, rename, rm } from 'node:fs/promises';
import type { Call } from '../call.js';
import { failed } from '../failure.js';

/** The file is the whole backup, or there is none; `-`: standard output. */
export async function backup({ client, out, io, json, args }: Call): Promise<undefined> {
  const [file = ''] = args;
  if (file === '-') {
    for await (const piece of client.pieces('backup')) io.stdout.write(piece);
    return;
  }
  const beside = `${file}.new`;
  let size = 0;
  try {
    const handle = await open(beside, 'w', 0o600);
    try {
      for await (const piece of client.pieces('backup')) {
        await handle.writeFile(piece);
        size += piece.length;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (e) {
    await rm(beside, { force: true });
    const { code } = e as NodeJS.ErrnoException;
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw e;
    throw failed(
      'environment',
      `cannot write ${file}: ${code}`,
      'give a place with room that you may write to',
    );
  }
  if (json) out.json({ file, size });
  else out.line(file);
}
