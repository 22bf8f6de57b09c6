// SPDX-License-Identifier: Apache-2.0
/**
 * The embedded engine: LevelDB in a directory, each transaction one synced
 * batch. One process at a time. It opens with all that was committed, or with
 * all up to some commit where a power cut took the rest, or not at all.
 *
 * After a failed write LevelDB takes no more writes until it is opened again,
 * and cannot tell whether the failed batch is in its log. So a failure opens
 * the database again and looks: the batch carries the store's version. If it
 * did land although its caller was told otherwise, its inverse is written.
 */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { makeDirectory } from '../base/directories.js';
import { diskFull, SluiceError } from '../base/errors.js';
import { type Batch, commit, DATA, fillDatabase, LAST, SUM_KEY, VERSION_KEY } from './batch.js';
import { damaged, decodeEntry, encodeEntry, isSound } from './codec.js';
import { look, lost, makeWhole, setAside, takeStaged } from './directory.js';
import { HighWater } from './high-water.js';
import { checkOperations, checkPreconditions, toChanges, Watchers } from './rules.js';
import type { Entry, Json, Operation, Precondition, Store, StoreChange } from './store.js';
import { Sum } from './sum.js';

export interface LevelOptions {
  /**
   * What is lost is given up, and told: a database that cannot be opened is set
   * aside for an empty one. Absent: it is refused.
   */
  readonly giveUp?: (what: string) => void;
}

export class LevelStore implements Store {
  readonly #location: string;
  readonly #giveUp: LevelOptions['giveUp'];
  readonly #highWater: HighWater;
  readonly #watchers = new Watchers();
  #db: ClassicLevel | null = null;
  #opened = false;
  /** Of its file CURRENT, which the engine writes when it opens a database and never else. */
  #inode: bigint | null = null;
  #version = 0;
  #sum = new Sum();
  /** A batch whose fate is unknown, and what takes it back. */
  #doubt: { version: number; inverse: Batch } | null = null;
  /** Operations run one after another; never rejects. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(location: string, { giveUp }: LevelOptions = {}) {
    this.#location = location;
    this.#giveUp = giveUp;
    this.#highWater = new HighWater(`${location}.version`);
  }

  /** Of the last commit. */
  get version(): number {
    return this.#version;
  }

  async open(): Promise<void> {
    await this.#serially(async () => {
      try {
        await this.#findOrMake();
        this.#opened = true;
        await this.#openWhole();
        this.#highWater.note(this.#version);
      } catch (e) {
        this.#opened = false;
        if (this.#db) await this.#abandon(this.#db);
        throw this.#failure('opened', e);
      }
    });
  }

  async close(): Promise<void> {
    await this.#serially(async () => {
      this.#opened = false;
      await this.#db?.close();
      this.#db = null;
      this.#highWater.close();
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
      let sum = this.#sum;
      for (const [i, change] of batch.entries()) {
        const old = before.get((operations[i] as Operation).key);
        if (old !== undefined) sum = sum.without(old);
        if (change.type === 'put') sum = sum.with(change.value);
      }
      await this.#write(db, version, sum, batch, inverse);
      this.#version = version;
      this.#sum = sum;
      this.#highWater.note(version);
      this.#watchers.notify(toChanges(operations, version));
      return version;
    });
  }

  watch(prefix: string, listener: (changes: readonly StoreChange[]) => void): () => void {
    return this.#watchers.add(prefix, listener);
  }

  /** Rejects only when the batch is not in the database, or will be taken back before anything is read. */
  async #write(db: ClassicLevel, version: number, sum: Sum, batch: Batch, inverse: Batch): Promise<void> {
    if ((await inode(this.#location)) !== this.#inode) {
      throw new SluiceError('store', `the state in ${this.#location} was taken away while the daemon runs`, {
        hint: 'save what it knows with sluice backup FILE, stop it, and give that to sluiced restore',
      });
    }
    try {
      await commit(db, batch, version, sum);
    } catch (cause) {
      this.#doubt = { version, inverse };
      await this.#abandon(db);
      // If the database opens again at once, that shows what became of the batch,
      // and takes it back; if it does not, the next operation tries.
      await this.#ready().catch(() => undefined);
      throw this.#failure('written', cause);
    }
  }

  /** What is there, or something new where there was never anything. */
  async #findOrMake(): Promise<void> {
    const location = this.#location;
    makeDirectory(dirname(location), 0o700);
    await takeStaged(location, () => this.#highWater.forget());
    const found = await look(location);
    if (found === 'present') return;
    if (found === 'damaged') await this.#refuse('the file CURRENT is missing', () => setAside(location));
    const known = this.#highWater.read();
    if (found === 'absent' && known !== null && known > 0) {
      await this.#refuse(`its database is gone, which had ${known} changes`, () => this.#highWater.forget());
    }
    if (found === 'void') return fillDatabase(location, [], 0);
    await makeWhole(location, (path) => fillDatabase(path, [], 0));
  }

  async #openWhole(): Promise<void> {
    try {
      await this.#ready();
    } catch (e) {
      if (!(e instanceof SluiceError && isCorrupt((e.cause as Error | undefined)?.cause ?? e.cause))) throw e;
      if (this.#giveUp === undefined) throw e;
      const path = await setAside(this.#location);
      this.#giveUp(`${(e as Error).message}; what is left of it is in ${path}`);
      this.#highWater.forget();
      await makeWhole(this.#location, (fresh) => fillDatabase(fresh, [], 0));
      await this.#ready();
    }
    const known = this.#highWater.read();
    if (known === null || known <= this.#version) return;
    const what = `it ends with change ${this.#version}, though ${known} were committed`;
    await this.#refuse(what, () => this.#highWater.forget());
  }

  /** Goes on with `otherwise` where what is lost is to be given up. */
  async #refuse(what: string, otherwise: () => Promise<string> | void): Promise<void> {
    if (this.#giveUp === undefined) throw lost(this.#location, what);
    const path = await otherwise();
    this.#giveUp(path === undefined ? what : `${what}; what is left of it is in ${path}`);
  }

  /** The open database, opened again after a failed write. */
  async #ready(): Promise<ClassicLevel> {
    if (!this.#opened) throw new SluiceError('unavailable', 'the store is closed');
    if (this.#db) return this.#db;
    const db = new ClassicLevel(this.#location, { createIfMissing: false });
    try {
      await db.open();
    } catch (e) {
      throw this.#failure('opened', e);
    }
    try {
      const text = await db.get(VERSION_KEY);
      if (text === undefined) await this.#refuse('nothing that was written is there', () => undefined);
      if (!/^(0|[1-9]\d{0,15})$/.test(text ?? '0')) throw damaged(VERSION_KEY);
      const found = Number(text ?? 0);
      if (this.#doubt && found === this.#doubt.version) {
        const { inverse, version } = this.#doubt;
        await commit(db, inverse, version - 1, this.#sum);
        this.#version = version - 1;
      } else {
        this.#version = found;
        this.#sum = await this.#check(db, found);
      }
      this.#doubt = null;
      this.#inode = await inode(this.#location);
      this.#db = db;
      return db;
    } catch (e) {
      await this.#abandon(db);
      throw this.#failure('opened', e);
    }
  }

  /** Looks whether all entries are there; answers their sum. */
  async #check(db: ClassicLevel, version: number): Promise<Sum> {
    let sum = new Sum();
    for await (const entries of pages(db)) {
      for (const [, text] of entries) sum = sum.with(text);
    }
    const wanted = Sum.parse(await db.get(SUM_KEY), version);
    if (wanted === null || wanted.equals(sum)) return sum;
    for await (const entries of pages(db)) {
      // Whoever reads a broken entry says which one it is.
      if (entries.some(([key, text]) => !isSound(key.slice(DATA.length), text))) return sum;
    }
    await this.#refuse(
      `it has ${sum.entries} entries of ${wanted.entries} that were written`,
      () => undefined,
    );
    return sum;
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
    if (what === 'opened' && isCorrupt(cause)) return lost(this.#location, text, e);
    if (/No space left on device|Disk quota exceeded/.test(text)) return diskFull(this.#location, e);
    return new SluiceError('store', `the state in ${this.#location} could not be ${what}: ${text}`, {
      hint: 'see whether the disk is full or the directory writable',
      cause: e,
    });
  }
}

/** All entries, a thousand at a time: each would have to wait for a turn of its own. */
async function* pages(db: ClassicLevel): AsyncGenerator<[string, string][]> {
  const iterator = db.iterator({ gte: DATA, lt: DATA + LAST });
  try {
    for (let page = await iterator.nextv(1000); page.length > 0; page = await iterator.nextv(1000))
      yield page;
  } finally {
    await iterator.close();
  }
}

/** null: it is not there. */
async function inode(location: string): Promise<bigint | null> {
  try {
    return (await stat(join(location, 'CURRENT'), { bigint: true })).ino;
  } catch {
    return null;
  }
}

/** The engine's own word on what it has found, or not found. */
function isCorrupt(e: unknown): boolean {
  return (
    (e as { code?: string } | undefined)?.code === 'LEVEL_CORRUPTION' ||
    (e instanceof Error && /^Corruption|No such file or directory|Invalid argument/.test(e.message))
  );
}
