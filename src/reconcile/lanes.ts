// SPDX-License-Identifier: Apache-2.0

/** Runs tasks of one key one after the other, those of different keys side by side. */
export class Lanes {
  readonly #tails = new Map<string, Promise<unknown>>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const result = before === undefined ? task() : before.then(task, task);
    this.#tails.set(key, result);
    const release = (): void => {
      if (this.#tails.get(key) === result) this.#tails.delete(key);
    };
    result.then(release, release);
    return result;
  }
}

/**
 * Many tasks share the gate, or one has it for itself. A waiting exclusive task
 * holds back later shared ones, so it is never starved.
 */
export class Gate {
  #shared = 0;
  #closed: Promise<void> | null = null;
  #drained: (() => void) | null = null;

  async shared<T>(task: () => Promise<T>): Promise<T> {
    while (this.#closed !== null) await this.#closed;
    this.#shared++;
    try {
      return await task();
    } finally {
      this.#shared--;
      if (this.#shared === 0) this.#drained?.();
    }
  }

  async exclusive<T>(task: () => Promise<T>): Promise<T> {
    while (this.#closed !== null) await this.#closed;
    let open = (): void => {};
    this.#closed = new Promise((resolve) => {
      open = resolve;
    });
    try {
      if (this.#shared > 0) {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
      }
      return await task();
    } finally {
      this.#drained = null;
      this.#closed = null;
      open();
    }
  }
}

/** Runs `task` over `items`, at most `width` at a time. */
export async function inPool<T>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await task(items[next++] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
