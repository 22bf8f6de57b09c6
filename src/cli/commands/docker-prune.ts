// SPDX-License-Identifier: Apache-2.0
import type { OrphanObject, OrphansPrunedObject } from '../../api/schemas/docker.js';
import type { Call } from '../call.js';
import { EXIT, failed, usage } from '../failure.js';

/** Whoever asks the wrong Engine would lose everything: nothing is removed unless that is said. */
export async function dockerPrune(call: Call): Promise<number | undefined> {
  const { client, out, io, json, dryRun, options } = call;
  if (!options.flag('force')) {
    const orphans = await client.get<OrphanObject[]>('docker/orphans');
    if (json) out.json(orphans);
    else for (const orphan of orphans) out.line(`would remove ${describe(orphan)}`);
    if (!json && orphans.length > 0) out.line('Nothing is removed without --force.');
    return undefined;
  }
  if (dryRun) throw usage('--dry-run and --force exclude each other', 'leave one of them out');
  const { removed, failed: left } = await client.post<OrphansPrunedObject>('docker/prune');
  if (json) out.json({ removed, failed: left });
  else for (const orphan of removed) out.line(describe(orphan));
  for (const orphan of left) {
    io.stderr.write(`${failed('conflict', `${describe(orphan)} is left: ${orphan.error}`).line(json)}\n`);
  }
  return left.length > 0 ? EXIT.failed : undefined;
}

function describe({ kind, name }: OrphanObject): string {
  return `${kind} ${name}`;
}
