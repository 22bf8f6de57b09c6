// SPDX-License-Identifier: Apache-2.0
/** A store that forgets, for tests. Values go through JSON, as in the others. */
import { decodeEntry, encodeEntry } from './codec.js';
import { checkOperations, checkPreconditions, toChanges, Watchers } from './rules.js';
import type { Entry, Json, Operation, Precondition, Store, StoreChange } from './store.js';

export class MemoryStore implements Store {
  readonly #entries = new Map<string, { text: string; version: number }>();
  readonly #watchers = new Watchers();
  #version = 0;

  get version(): number {
    return this.#version;
  }

  async open(): Promise<void> {}

  async close(): Promise<void> {}

  async get(key: string): Promise<Entry | undefined> {
    const found = this.#entries.get(key);
    return found && decodeEntry(key, found.text);
  }

  async list(prefix: string): Promise<Entry[]> {
    return [...this.#entries]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { text }]) => decodeEntry(key, text));
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
    checkPreconditions(preconditions, (key) => this.#entries.get(key)?.version ?? 0);
    const version = ++this.#version;
    for (const operation of operations) {
      const { key } = operation;
      if (operation.op === 'delete') this.#entries.delete(key);
      else this.#entries.set(key, { text: encodeEntry(key, operation.value, version), version });
    }
    this.#watchers.notify(toChanges(operations, version));
    return version;
  }

  watch(prefix: string, listener: (changes: readonly StoreChange[]) => void): () => void {
    return this.#watchers.add(prefix, listener);
  }
}
