// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../base/errors.js';
import type { Config } from '../config/options.js';
import { look } from '../store/directory.js';
import { LevelStore } from '../store/level.js';
import { prepareStateDir } from './checks.js';
import { Locks } from './lock.js';
import { DATABASE } from './places.js';
import { readBackup, stageBackup } from './state-keeper.js';

/** Puts a backup into a state directory that is empty or damaged; the daemon does not run. */
export async function restore(
  config: Config,
  file: string,
  say: (line: string) => void,
  now = new Date(),
): Promise<void> {
  const backup = readBackup(read(file));
  prepareStateDir(config.stateDir);
  const locks = await Locks.take(config);
  try {
    const location = join(config.stateDir, DATABASE);
    await refuseIfUsed(location, config.stateDir);
    await stageBackup(location, backup, { at: now.toISOString(), over: null });
    const store = new LevelStore(location);
    await store.open();
    const { length } = await store.list('');
    await store.close();
    say(`restored ${length} entries of ${backup.created} to ${config.stateDir}`);
  } finally {
    await locks.release();
  }
}

async function refuseIfUsed(location: string, stateDir: string): Promise<void> {
  if ((await look(location)) === 'absent') return;
  const store = new LevelStore(location);
  let used: boolean;
  try {
    await store.open();
    used = (await store.list('')).length > 0;
  } catch (e) {
    // What is damaged goes aside, and is not removed.
    if (!(e instanceof SluiceError) || e.code !== 'store') throw e;
    used = false;
  } finally {
    await store.close();
  }
  if (!used) return;
  throw new SluiceError('conflict', `there is a state in ${stateDir} already`, {
    hint: 'move it away, give another --state-dir, or start the daemon and use sluice restore FILE',
  });
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new SluiceError('invalid_argument', `cannot read ${file}: ${code}`, { cause });
  }
}
