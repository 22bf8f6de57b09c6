// SPDX-License-Identifier: Apache-2.0
import type { Clock, Timer } from '../base/clock.js';
import type { Log } from '../base/log.js';

const FIRST_MS = 100;
const MOST_MS = 30_000;
/** A burst of hints is one. */
const SOON_MS = 20;

interface Waiting {
  /** True: it was there, and is not looked for again. */
  readonly look: () => Promise<boolean>;
  ms: number;
  due: number;
  timer: Timer;
}

/** Looks again for what is not there yet and tells nobody when it comes: ever more seldom, and on a hint. */
export class Awaited {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #waiting = new Map<string, Waiting>();
  #stopped = false;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** In place of an earlier one of the same key. */
  add(key: string, look: () => Promise<boolean>): void {
    this.drop(key);
    if (!this.#stopped) this.#wait(key, look, FIRST_MS, FIRST_MS);
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  drop(key: string): void {
    this.#waiting.get(key)?.timer.cancel();
    this.#waiting.delete(key);
  }

  /** Something has changed that may have brought it. */
  soon(): void {
    const due = this.#clock.now() + SOON_MS;
    for (const [key, waiting] of this.#waiting) {
      if (waiting.due <= due) continue;
      waiting.timer.cancel();
      this.#wait(key, waiting.look, waiting.ms, SOON_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const key of [...this.#waiting.keys()]) this.drop(key);
  }

  #wait(key: string, look: () => Promise<boolean>, ms: number, after: number): void {
    const waiting: Waiting = {
      look,
      ms,
      due: this.#clock.now() + after,
      timer: this.#clock.after(after, () => void this.#again(key, waiting)),
    };
    this.#waiting.set(key, waiting);
  }

  async #again(key: string, waiting: Waiting): Promise<void> {
    let found = false;
    try {
      found = await waiting.look();
    } catch (e) {
      this.#log.debug(`looking again for ${key}`, { err: e });
    }
    // meanwhile dropped, or begun anew
    if (this.#waiting.get(key) !== waiting) return;
    this.#waiting.delete(key);
    const ms = Math.min(waiting.ms * 2, MOST_MS);
    if (!found) this.#wait(key, waiting.look, ms, ms);
  }
}
