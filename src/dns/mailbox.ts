// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../base/clock.js';

/** News from several sides for one that waits for the next of them. */
export class Mailbox<T> {
  readonly #clock: Clock;
  readonly #items: T[] = [];
  #wake: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  put(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  /** null: nothing came for `ms`. */
  async next(ms: number): Promise<T | null> {
    if (this.#items.length === 0 && ms > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(ms, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = null;
    }
    return this.#items.shift() ?? null;
  }
}
