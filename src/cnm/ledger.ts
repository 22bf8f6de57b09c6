// SPDX-License-Identifier: Apache-2.0
/**
 * The model's way to the store. One transaction is under way at a time; what
 * is asked for meanwhile goes together in the next one, so that a hundred
 * parallel operations do not pay for a hundred syncs.
 */
import type { Log } from '../base/log.js';
import type { Entry, Operation, Precondition, Store } from '../store/store.js';

interface Item {
  readonly operations: readonly Operation[];
  readonly resolve: () => void;
  readonly reject: (e: unknown) => void;
}

/** etcd's default limit of operations in a transaction. */
const MAX_OPERATIONS = 128;

export class Ledger {
  readonly #store: Store;
  readonly #log: Log;
  /** As we last saw or wrote them; somebody else's write makes ours fail. */
  readonly #versions = new Map<string, number>();
  /** Takes back what a failed change had stored, where that could not be written at once. */
  #owed: Operation[] = [];
  #queue: Item[] = [];
  #running: Promise<void> | null = null;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  async load(prefix: string): Promise<Entry[]> {
    const entries = await this.#store.list(prefix);
    for (const { key, version } of entries) this.#versions.set(key, version);
    return entries;
  }

  /** All or nothing and durable. */
  write(operations: readonly Operation[]): Promise<void> {
    if (operations.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#queue.push({ operations, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** As write, but never fails: what cannot be written now goes before the next write. */
  async revert(operations: readonly Operation[]): Promise<void> {
    try {
      await this.write(operations);
    } catch (err) {
      this.#owed = merge([this.#owed, operations]);
      this.#log.error('the store could not be put back after a failed change; retried with the next one', {
        err,
      });
    }
  }

  /** Waits for writes under way, and makes a last try with what is owed. */
  async drain(): Promise<void> {
    await this.#running;
    if (this.#owed.length === 0) return;
    try {
      await this.#commit([]);
    } catch (err) {
      this.#log.error('the store keeps objects of changes that failed', { err });
    }
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const items = this.#take();
      try {
        await this.#commit(items.map(({ operations }) => operations));
        for (const item of items) item.resolve();
      } catch (e) {
        await this.#singly(items, e);
      }
    }
    this.#running = null;
  }

  /** One bad item must not take the others with it. */
  async #singly(items: readonly Item[], e: unknown): Promise<void> {
    for (const item of items) {
      try {
        if (items.length === 1) throw e;
        await this.#commit([item.operations]);
        item.resolve();
      } catch (own) {
        item.reject(own);
      }
    }
  }

  #take(): Item[] {
    let count = this.#owed.length;
    let end = 0;
    do count += (this.#queue[end++] as Item).operations.length;
    while (
      end < this.#queue.length &&
      count + (this.#queue[end] as Item).operations.length <= MAX_OPERATIONS
    );
    const items = this.#queue.slice(0, end);
    this.#queue = this.#queue.slice(end);
    return items;
  }

  async #commit(groups: readonly (readonly Operation[])[]): Promise<void> {
    const operations = merge([this.#owed, ...groups]);
    const preconditions: Precondition[] = operations.map(({ key }) => ({
      key,
      version: this.#versions.get(key) ?? 0,
    }));
    const version = await this.#store.transaction(operations, preconditions);
    this.#owed = [];
    for (const { op, key } of operations) {
      if (op === 'put') this.#versions.set(key, version);
      else this.#versions.delete(key);
    }
  }
}

/** As if one group came after the other. */
function merge(groups: readonly (readonly Operation[])[]): Operation[] {
  const byKey = new Map<string, Operation>();
  for (const operation of groups.flat()) byKey.set(operation.key, operation);
  return [...byKey.values()];
}
