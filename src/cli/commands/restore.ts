// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RestoredObject, type RestorePlanObject, STATE_TYPE } from '../../api/schemas/state.js';
import type { Status } from '../../api/schemas/status.js';
import type { Call } from '../call.js';
import type { Client } from '../client.js';
import { EXIT, Failure, failed } from '../failure.js';

/** For the daemon to start anew with it. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 200;

export async function restore({ client, out, json, args, dryRun }: Call): Promise<undefined> {
  const [file = ''] = args;
  const answer = await client.postText<RestoredObject | RestorePlanObject>(
    'restore',
    STATE_TYPE,
    read(file),
    {
      dryRun: dryRun || undefined,
    },
  );
  const planned = 'dryRun' in answer;
  if (!planned) await inUse(client, answer.at);
  if (json) out.json(answer);
  else {
    const { entries, created, revision } = answer;
    out.line(
      `${planned ? 'would restore' : 'restored'} ${entries} entries of ${created}, at change ${revision}`,
    );
  }
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (e) {
    throw failed('invalid_argument', `cannot read ${file}: ${(e as NodeJS.ErrnoException).code}`);
  }
}

async function inUse(client: Client, at: string): Promise<void> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(PAUSE_MS)) {
    try {
      if ((await client.get<Status>('status')).state.restored?.at === at) return;
    } catch (e) {
      if (!(e instanceof Failure) || (e.exit !== EXIT.unreachable && e.code !== 'unavailable')) throw e;
    }
  }
  throw new Failure(EXIT.unreachable, 'unavailable', 'the daemon did not come back with the backup', {
    hint: 'its log says why; the earlier state is in its state directory as db.before-restore',
  });
}
