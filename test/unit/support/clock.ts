// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../../src/base/clock.js';

/** Stands still until it is turned. */
export class ManualClock implements Clock {
  #time: number;
  #timers: { at: number; task: () => void }[] = [];

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#time = start;
  }

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  after(ms: number, task: () => void) {
    const timer = { at: this.#time + ms, task };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  advance(ms: number): void {
    const end = this.#time + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#time = due.at;
      due.task();
    }
    this.#time = end;
  }
}
