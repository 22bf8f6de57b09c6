// SPDX-License-Identifier: Apache-2.0
/** What every engine does alike: preconditions, the shape of a transaction, watchers. */
import { SluiceError } from '../base/errors.js';
import type { Operation, Precondition, StoreChange } from './store.js';

export function checkOperations(operations: readonly Operation[]): void {
  const keys = new Set(operations.map((operation) => operation.key));
  if (keys.size !== operations.length) {
    throw new SluiceError('internal', 'a transaction of the store names a key twice');
  }
}

/** `versionOf` answers 0 for an absent key. */
export function checkPreconditions(
  preconditions: readonly Precondition[],
  versionOf: (key: string) => number,
): void {
  for (const { key, version } of preconditions) {
    const found = versionOf(key);
    if (found === version) continue;
    throw new SluiceError('conflict', `'${key}' is at version ${found} in the store, not at ${version}`, {
      hint: 'somebody else changed it; look again and retry',
    });
  }
}

export function toChanges(operations: readonly Operation[], version: number): StoreChange[] {
  return operations.map((operation) =>
    operation.op === 'put'
      ? { type: 'put', key: operation.key, value: operation.value, version }
      : { type: 'delete', key: operation.key, version },
  );
}

type Listener = (changes: readonly StoreChange[]) => void;

export class Watchers {
  readonly #watchers = new Set<{ prefix: string; listener: Listener }>();

  add(prefix: string, listener: Listener): () => void {
    const watcher = { prefix, listener };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  notify(changes: readonly StoreChange[]): void {
    for (const { prefix, listener } of [...this.#watchers]) {
      const mine = changes.filter((change) => change.key.startsWith(prefix));
      if (mine.length > 0) listener(mine);
    }
  }
}
