// SPDX-License-Identifier: Apache-2.0
/** Lets time pass for what a daemon that is down has stored. */
import { join } from 'node:path';
import { LevelStore } from '../../src/store/level.js';
import type { Testbed } from './testbed.js';

/** Everything was made so much earlier. */
export async function backdate(bed: Testbed, milliseconds: number): Promise<void> {
  const store = new LevelStore(join(bed.directory, 'state', 'db'));
  await store.open();
  try {
    for (const prefix of ['networks/', 'endpoints/', 'pools/', 'leases/']) {
      for (const { key, value } of await store.list(prefix)) {
        const record = value as { created: string };
        const created = new Date(Date.parse(record.created) - milliseconds).toISOString();
        await store.transaction([{ op: 'put', key, value: { ...record, created } }]);
      }
    }
  } finally {
    await store.close();
  }
}
