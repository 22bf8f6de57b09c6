// SPDX-License-Identifier: Apache-2.0
/**
 * The embedded engine: LevelDB in a directory, each transaction one synced
 * batch. One process at a time.
 *
 * After a failed write LevelDB takes no more writes until it is opened again,
 * and cannot tell whether the failed batch is in its log. So a failure opens
 * the database again and looks: the batch carries the store's version. If it
 * did land although its caller was told otherwise, its inverse is written.
 */
import { ClassicLevel } from 'classic-level';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import { damaged, decodeEntry, encodeEntry } from './codec.js';
import { checkOperations, checkPreconditions, toChanges, Watchers } from './rules.js';
import type { Entry, Json, Operation, Precondition, Store, StoreChange } from './store.js';

/** Apart from data keys, which all begin with `DATA`. */
const VERSION_KEY = 'version';
const DATA = 'data/';
/** Sorts behind every character that a key may hold. */
const LAST = '\u{10ffff}';

type Batch = ({ type: 'put'; key: string; value: string } | { type: 'del'; key: string })[];

export class LevelStore implements Store {
  readonly #location: string;
  readonly #watchers = new Watchers();
  #db: ClassicLevel | null = null;
  #opened = false;
  #version = 0;
  /** A batch whose fate is unknown, and what takes it back. */
  #doubt: { version: number; inverse: Batch } | null = null;
  /** Operations run one after another; never rejects. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(location: string) {
    this.#location = location;
  }

  async open(): Promise<void> {
    await this.#serially(async () => {
      try {
        makeDirectory(this.#location, 0o700);
      } catch (e) {
        throw this.#failure('opened', e);
      }
      this.#opened = true;
      await this.#ready();
    });
  }

  async close(): Promise<void> {
    await this.#serially(async () => {
      this.#opened = false;
      await this.#db?.close();
      this.#db = null;
    });
  }

  async get(key: string): Promise<Entry | undefined> {
    const db = await this.#database();
    const text = await this.#reading(() => db.get(DATA + key));
    return text === undefined ? undefined : decodeEntry(key, text);
  }

  async list(prefix: string): Promise<Entry[]> {
    const db = await this.#database();
    const range = { gte: DATA + prefix, lt: DATA + prefix + LAST };
    const entries = await this.#reading(() => db.iterator(range).all());
    return entries.map(([key, text]) => decodeEntry(key.slice(DATA.length), text));
  }

  put(key: string, value: Json): Promise<number> {
    return this.transaction([{ op: 'put', key, value }]);
  }

  async delete(key: string): Promise<void> {
    await this.transaction([{ op: 'delete', key }]);
  }

  async transaction(
    operations: readonly Operation[],
    preconditions: readonly Precondition[] = [],
  ): Promise<number> {
    checkOperations(operations);
    return this.#serially(async () => {
      const db = await this.#ready();
      const keys = [...new Set([...operations, ...preconditions].map(({ key }) => key))];
      const texts = await this.#reading(() => db.getMany(keys.map((key) => DATA + key)));
      const before = new Map(keys.map((key, i) => [key, texts[i]]));
      checkPreconditions(preconditions, (key) => {
        const text = before.get(key);
        return text === undefined ? 0 : decodeEntry(key, text).version;
      });

      const version = this.#version + 1;
      const batch: Batch = operations.map((operation) =>
        operation.op === 'put'
          ? {
              type: 'put',
              key: DATA + operation.key,
              value: encodeEntry(operation.key, operation.value, version),
            }
          : { type: 'del', key: DATA + operation.key },
      );
      const inverse: Batch = operations.map(({ key }) => {
        const text = before.get(key);
        return text === undefined
          ? { type: 'del', key: DATA + key }
          : { type: 'put', key: DATA + key, value: text };
      });
      await this.#write(db, version, batch, inverse);
      this.#version = version;
      this.#watchers.notify(toChanges(operations, version));
      return version;
    });
  }

  watch(prefix: string, listener: (changes: readonly StoreChange[]) => void): () => void {
    return this.#watchers.add(prefix, listener);
  }

  /** Rejects only when the batch is not in the database, or will be taken back before anything is read. */
  async #write(db: ClassicLevel, version: number, batch: Batch, inverse: Batch): Promise<void> {
    try {
      await commit(db, batch, version);
    } catch (cause) {
      this.#doubt = { version, inverse };
      await this.#abandon(db);
      // If the database opens again at once, that shows what became of the batch,
      // and takes it back; if it does not, the next operation tries.
      await this.#ready().catch(() => undefined);
      throw this.#failure('written', cause);
    }
  }

  /** The open database, opened again after a failed write. */
  async #ready(): Promise<ClassicLevel> {
    if (!this.#opened) throw new SluiceError('unavailable', 'the store is closed');
    if (this.#db) return this.#db;
    const db = new ClassicLevel(this.#location);
    try {
      await db.open();
    } catch (e) {
      throw this.#failure('opened', e);
    }
    try {
      const text = (await db.get(VERSION_KEY)) ?? '0';
      if (!/^(0|[1-9]\d{0,15})$/.test(text)) throw damaged(VERSION_KEY);
      const found = Number(text);
      if (this.#doubt && found === this.#doubt.version) {
        const { inverse, version } = this.#doubt;
        await commit(db, inverse, version - 1);
        this.#version = version - 1;
      } else {
        this.#version = found;
      }
      this.#doubt = null;
      this.#db = db;
      return db;
    } catch (e) {
      await this.#abandon(db);
      throw this.#failure('opened', e);
    }
  }

  async #abandon(db: ClassicLevel): Promise<void> {
    if (this.#db === db) this.#db = null;
    await db.close().catch(() => undefined);
  }

  /** For readers: waits until no write is in doubt. */
  #database(): Promise<ClassicLevel> {
    return this.#serially(() => this.#ready());
  }

  #serially<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (e) {
      throw this.#failure('read', e);
    }
  }

  #failure(what: 'opened' | 'read' | 'written', e: unknown): SluiceError {
    if (e instanceof SluiceError) return e;
    // classic-level wraps the engine's own error, which says why.
    const cause = e instanceof Error && e.cause instanceof Error ? e.cause : e;
    const code = (cause as { code?: string }).code;
    if (code === 'LEVEL_LOCKED') {
      return new SluiceError('daemon_running', `the state in ${this.#location} belongs to a running daemon`, {
        hint: 'stop that daemon, or give this one a --state-dir of its own',
        cause: e,
      });
    }
    const text = cause instanceof Error ? cause.message : String(cause);
    return new SluiceError('store', `the state in ${this.#location} could not be ${what}: ${text}`, {
      hint: 'see whether the disk is full or the directory writable',
      cause: e,
    });
  }
}

/** With the version that they make, all of them or none. A chain costs a quarter of what an array of operations does. */
async function commit(db: ClassicLevel, operations: Batch, version: number): Promise<void> {
  const batch = db.batch();
  for (const operation of operations) {
    if (operation.type === 'put') batch.put(operation.key, operation.value);
    else batch.del(operation.key);
  }
  await batch.put(VERSION_KEY, String(version)).write({ sync: true });
}
