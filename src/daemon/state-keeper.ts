// SPDX-License-Identifier: Apache-2.0
/** Backups of the state, and the way back to one. */
import type { RestoredObject } from '../api/schemas/state.js';
import type { StateSource, StateStatus } from '../api/sources.js';
import type { Clock } from '../base/clock.js';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { MIGRATIONS } from '../cnm/migrations.js';
import { type Backup, formatBackup, parseBackup } from '../store/backup.js';
import { fillDatabase } from '../store/batch.js';
import { stage } from '../store/directory.js';
import { newestSchema, SCHEMA_KEY } from '../store/migrate.js';
import { RESTORED_KEY, type Restored } from '../store/restored.js';
import type { Entry, Store } from '../store/store.js';
import { STATE_KEY } from './state-mark.js';

const BACKUP_KEY = 'backup';

export interface StateKeeperOptions {
  readonly store: Store;
  /** Of the database. */
  readonly location: string;
  /** Of the state. */
  readonly id: string;
  /** Whether there is anything that a restored state could lack. */
  readonly hasObjects: () => boolean;
  /** Stops the daemon and starts it anew. */
  readonly restart: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class StateKeeper implements StateSource {
  readonly #o: StateKeeperOptions;
  #lastBackup: string | null = null;
  #restored: StateStatus['restored'] = null;

  private constructor(options: StateKeeperOptions) {
    this.#o = options;
  }

  static async open(options: StateKeeperOptions): Promise<StateKeeper> {
    const keeper = new StateKeeper(options);
    const { store } = options;
    const backup = (await store.get(BACKUP_KEY))?.value as unknown as { at: string } | undefined;
    keeper.#lastBackup = backup?.at ?? null;
    const restored = (await store.get(RESTORED_KEY))?.value as unknown as Restored | undefined;
    if (restored !== undefined) keeper.#restored = { at: restored.at, created: restored.created };
    return keeper;
  }

  status(): StateStatus {
    const { id, store } = this.#o;
    return { id, revision: store.version, lastBackup: this.#lastBackup, restored: this.#restored };
  }

  async backup(): Promise<{ lines: Iterable<string>; done: () => void }> {
    const { store, log } = this.#o;
    const at = this.#now();
    const entries = await store.list('');
    const done = (): void => {
      store.put(BACKUP_KEY, { at }).then(
        () => {
          this.#lastBackup = at;
        },
        (err: unknown) => log.warn('a backup was made, which could not be noted', { err }),
      );
    };
    return { lines: formatBackup(backupOf(entries, at)), done };
  }

  check(text: string): RestoredObject {
    return this.#describe(this.#read(text));
  }

  async restore(text: string): Promise<{ restored: RestoredObject; restart: () => void }> {
    const { location, id, log, restart } = this.#o;
    const backup = this.#read(text);
    const restored = this.#describe(backup);
    await stageBackup(location, backup, { at: restored.at, over: id });
    log.warn(`the state goes back to a backup of ${backup.created}`);
    return { restored, restart };
  }

  #read(text: string): Backup {
    const { id, hasObjects } = this.#o;
    const backup = readBackup(text);
    if (backup.state !== id && hasObjects()) {
      throw new SluiceError('conflict', 'the backup is of another state than this daemon has', {
        hint: 'remove the objects here first, or stop the daemon and give the file to sluiced restore with a --state-dir of its own',
      });
    }
    return backup;
  }

  #describe({ created, state, revision, entries }: Backup): RestoredObject {
    return { at: this.#now(), created, state, revision, entries: entries.length };
  }

  #now(): string {
    return new Date(this.#o.clock.now()).toISOString();
  }
}

export function readBackup(text: string): Backup {
  return parseBackup(text, newestSchema(MIGRATIONS));
}

/** Takes the place of the database when that is opened the next time. */
export function stageBackup(
  location: string,
  { entries, revision, created }: Backup,
  { at, over }: Pick<Restored, 'at' | 'over'>,
): Promise<void> {
  const version = revision + 1;
  const notes: Entry[] = [
    { key: RESTORED_KEY, version, value: { at, created, over, pending: true } },
    { key: BACKUP_KEY, version, value: { at: created } },
  ];
  const others = entries.filter(({ key }) => key !== RESTORED_KEY && key !== BACKUP_KEY);
  return stage(location, (path) => fillDatabase(path, [...others, ...notes], version));
}

function backupOf(entries: readonly Entry[], created: string): Backup {
  const stored = (key: string) => entries.find((entry) => entry.key === key)?.value;
  const state = stored(STATE_KEY) as { id: string } | undefined;
  const schema = stored(SCHEMA_KEY);
  return {
    created,
    state: state?.id ?? null,
    schema: typeof schema === 'number' ? schema : newestSchema(MIGRATIONS),
    revision: entries.reduce((newest, { version }) => Math.max(newest, version), 0),
    entries,
  };
}
