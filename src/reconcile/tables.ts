// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from '../base/errors.js';
import {
  type Owner,
  ROW_ORDER,
  type Row,
  type RowKind,
  type RowState,
  type RowStatus,
  rowKey,
} from '../cnm/rows.js';

/** One row of intent and what became of it. */
export interface Entry {
  readonly owner: Owner;
  readonly kind: RowKind;
  readonly key: string;
  row: Row;
  state: RowState;
  error: SluiceError | null;
  /** False: to be removed; the entry goes when that has succeeded. */
  wanted: boolean;
  /** Earlier contents that the kernel may still hold. */
  was: Row[];
  /** True once an operation on `row` was begun. */
  begun: boolean;
  /** Failures in a row, for the backoff, and when to try again (ms). */
  failures: number;
  retryAt: number;
  /** Of the table at the last change; a pass skips entries newer than what it has read. */
  version: number;
  /** The operation of a predecessor with the same key that is still under way. */
  after: Promise<unknown> | null;
  busy: Promise<unknown> | null;
}

export interface Change {
  remove: Entry[];
  update: Entry[];
}

export function ownerKey(owner: Owner): string {
  return `${owner.kind}/${owner.id}`;
}

/** Intent, one table per kind of row. Holds no kernel state. */
export class Tables {
  readonly #byKind = new Map<RowKind, Map<string, Entry>>(ROW_ORDER.map((kind) => [kind, new Map()]));
  readonly #byOwner = new Map<string, Set<Entry>>();
  /** Kept, not looked for: a change of one row must not cost a look at all. */
  readonly #unfinished = new Set<Entry>();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get(kind: RowKind, key: string): Entry | undefined {
    return this.#byKind.get(kind)?.get(key);
  }

  /** The wanted row of that key. */
  row<K extends RowKind>(kind: K, key: string): Extract<Row, { kind: K }> | undefined {
    const entry = this.get(kind, key);
    return entry?.wanted ? (entry.row as Extract<Row, { kind: K }>) : undefined;
  }

  *rows<K extends RowKind>(kind: K): Generator<Extract<Row, { kind: K }>> {
    for (const entry of this.entries(kind)) {
      if (entry.wanted) yield entry.row as Extract<Row, { kind: K }>;
    }
  }

  wants(kind: RowKind, key: string): boolean {
    return this.get(kind, key)?.wanted ?? false;
  }

  /** A copy, safe to iterate while operations change the table. */
  entries(kind: RowKind): Entry[] {
    return [...(this.#byKind.get(kind)?.values() ?? [])];
  }

  of(owner: Owner): Entry[] {
    return [...(this.#byOwner.get(ownerKey(owner)) ?? [])];
  }

  all(): Entry[] {
    return ROW_ORDER.flatMap((kind) => this.entries(kind));
  }

  current(entry: Entry): boolean {
    return this.get(entry.kind, entry.key) === entry;
  }

  /** What is not done, or not gone yet. A copy, as of `entries`. */
  unfinished(): Entry[] {
    return [...this.#unfinished];
  }

  /** To be called after each change of an entry's `state` or `wanted`. */
  touch(entry: Entry): void {
    entry.version = ++this.#version;
    this.note(entry);
  }

  /** As `touch`, for what says nothing new about the kernel. */
  note(entry: Entry): void {
    if (entry.state === 'done' && entry.wanted) this.#unfinished.delete(entry);
    else if (this.#byOwner.get(ownerKey(entry.owner))?.has(entry)) this.#unfinished.add(entry);
  }

  /**
   * Replaces the rows of `owner` and answers what has to be done about it.
   * Throws, with nothing changed, if another owner wants one of the keys.
   */
  replace(owner: Owner, rows: readonly Row[]): Change {
    const name = ownerKey(owner);
    const keys = new Set<string>();
    for (const row of rows) {
      const key = rowKey(row);
      const other = this.get(row.kind, key);
      if (other?.wanted && ownerKey(other.owner) !== name) {
        throw new SluiceError('conflict', `${row.kind} ${key} belongs to ${ownerKey(other.owner)} already`);
      }
      if (keys.has(`${row.kind} ${key}`)) {
        throw new SluiceError('internal', `${name} wants ${row.kind} ${key} twice`);
      }
      keys.add(`${row.kind} ${key}`);
    }

    const change: Change = { remove: [], update: [] };
    for (const entry of this.#byOwner.get(name) ?? []) {
      if (keys.has(`${entry.kind} ${entry.key}`)) continue;
      if (entry.wanted) {
        entry.wanted = false;
        this.touch(entry);
      }
      change.remove.push(entry);
    }
    for (const row of rows) {
      const entry = this.#want(owner, name, row);
      if (entry.state !== 'done') change.update.push(entry);
    }
    return change;
  }

  /** Forgets an entry whose removal has succeeded. */
  drop(entry: Entry): void {
    this.#unfinished.delete(entry);
    if (this.current(entry)) this.#byKind.get(entry.kind)?.delete(entry.key);
    const name = ownerKey(entry.owner);
    const own = this.#byOwner.get(name);
    own?.delete(entry);
    if (own?.size === 0) this.#byOwner.delete(name);
  }

  status(): RowStatus[] {
    return this.all().map(statusOf);
  }

  problems(): RowStatus[] {
    return this.unfinished()
      .filter(({ state }) => state !== 'done')
      .map(statusOf);
  }

  #want(owner: Owner, name: string, row: Row): Entry {
    const key = rowKey(row);
    const old = this.get(row.kind, key);
    if (old !== undefined && ownerKey(old.owner) === name) {
      if (!isDeepStrictEqual(old.row, row)) {
        if (old.begun) old.was.push(old.row);
        old.row = row;
        this.#restart(old);
      } else if (!old.wanted) {
        this.#restart(old);
      }
      old.wanted = true;
      this.note(old);
      return old;
    }
    const entry: Entry = {
      owner,
      kind: row.kind,
      key,
      row,
      state: 'pending',
      error: null,
      wanted: true,
      was: old === undefined ? [] : [...old.was, old.row],
      begun: false,
      failures: 0,
      retryAt: 0,
      version: ++this.#version,
      after: old?.busy ?? null,
      busy: null,
    };
    if (old !== undefined) this.drop(old);
    this.#byKind.get(row.kind)?.set(key, entry);
    let own = this.#byOwner.get(name);
    if (own === undefined) {
      own = new Set();
      this.#byOwner.set(name, own);
    }
    own.add(entry);
    this.note(entry);
    return entry;
  }

  #restart(entry: Entry): void {
    entry.state = 'pending';
    entry.error = null;
    entry.failures = 0;
    entry.begun = false;
    this.touch(entry);
  }
}

function statusOf({ owner, row, state, error }: Entry): RowStatus {
  return { owner, row, state, ...(error === null ? {} : { error: error.message }) };
}
