// SPDX-License-Identifier: Apache-2.0

/**
 * Room for so many, shared by whoever asks. Each may hold as much as is still
 * free: one alone gets half, n get an (n+1)th each, and as much stays free for
 * the next that comes. So no number of greedy ones leaves a modest one without.
 */
export class Shares {
  readonly #limit: number;
  readonly #held = new Map<string, number>();
  /** Who waits, in turn: the first of the first one's is next. */
  readonly #waiting = new Map<string, Set<() => void>>();
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get total(): number {
    return this.#total;
  }

  /** False: there is no room for `asker`. What was taken is to be given back. */
  take(asker: string): boolean {
    const held = this.#held.get(asker) ?? 0;
    if (held >= this.#limit - this.#total) return false;
    this.#held.set(asker, held + 1);
    this.#total++;
    return true;
  }

  give(asker: string): void {
    const held = (this.#held.get(asker) ?? 0) - 1;
    if (held > 0) this.#held.set(asker, held);
    else this.#held.delete(asker);
    this.#total--;
    while (this.#next());
  }

  /** Calls `granted` when room was taken for it, now or later. Answers how to wait no longer. */
  wait(asker: string, granted: () => void): () => void {
    if (!this.#waiting.has(asker) && this.take(asker)) {
      granted();
      return () => undefined;
    }
    const queue = this.#waiting.get(asker) ?? new Set();
    this.#waiting.set(asker, queue.add(granted));
    return () => {
      queue.delete(granted);
      if (queue.size === 0 && this.#waiting.get(asker) === queue) this.#waiting.delete(asker);
    };
  }

  #next(): boolean {
    for (const [asker, queue] of this.#waiting) {
      if (!this.take(asker)) continue;
      const [first] = queue;
      if (first !== undefined) queue.delete(first);
      this.#waiting.delete(asker);
      if (queue.size > 0) this.#waiting.set(asker, queue);
      first?.();
      return true;
    }
    return false;
  }
}
