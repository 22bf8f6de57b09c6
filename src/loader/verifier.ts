// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NativeError, SluiceError } from '../base/errors.js';

/** Lines that frame the verifier's log rather than say what is wrong. */
const FRAME =
  /^(processed \d+ insns|verification time|stack depth|mark_precise|libbpf:|-- (BEGIN|END) PROG LOAD LOG --|Processed|peak_states|$)/;

/** The line that tells why, and the source line that it is about. */
export function tellingLines(log: string): { reason: string; source: string | null } {
  const begin = log.lastIndexOf('-- BEGIN PROG LOAD LOG --');
  const lines = log
    .slice(Math.max(begin, 0))
    .split('\n')
    .map((line) => line.trim());
  let at = lines.length - 1;
  while (at >= 0 && FRAME.test(lines[at] as string)) at--;
  const reason = lines[at] ?? '';
  const source = lines.slice(0, at).findLast((line) => line.startsWith('; '));
  return { reason, source: source?.slice(2) ?? null };
}

/** A refused program as an error that tells why in a line and where the rest is. */
export async function verifierError(object: string, e: NativeError): Promise<SluiceError> {
  if (e.log === '') return new SluiceError('kernel', `${object}: ${e.syscall}: ${e.code}`, { cause: e });
  const file = join(await mkdtemp(join(tmpdir(), 'sluice-verifier-')), 'verifier.log');
  await writeFile(file, e.log);
  const { reason, source } = tellingLines(e.log);
  const where = source === null ? '' : ` at "${source}"`;
  return new SluiceError('verifier', `the kernel refused ${object}: ${reason}${where} (${e.code})`, {
    hint: `the whole log is in ${file}`,
    cause: e,
  });
}
