// SPDX-License-Identifier: Apache-2.0

/**
 * A task that answers for the moment of its run: who asks while one runs gets
 * the result of the next, and shares it with all who ask meanwhile.
 */
export class Coalesced<T> {
  readonly #task: () => Promise<T>;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<T> | null = null;

  constructor(task: () => Promise<T>) {
    this.#task = task;
  }

  /** The result of a run that begins after this call. */
  run(): Promise<T> {
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      const result = this.#task();
      this.#running = result.catch(() => undefined);
      return result;
    });
    return this.#next;
  }
}
