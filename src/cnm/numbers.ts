// SPDX-License-Identifier: Apache-2.0
/**
 * The numbers by which kernel tables know our objects. Each is intent: it is
 * stored with the object that holds it, and the pools are rebuilt from those.
 */
import { SluiceError } from '../base/errors.js';

/** Sizes of the kernel's tables (bpf/maps); 0 means "none" there. */
export const LIMITS = {
  networks: 4095,
  slots: 16383,
  members: 1023,
  sandboxes: 2 ** 32 - 1,
  publishes: 2 ** 31 - 1,
  services: 65535,
  backends: 131071,
  generations: 2 ** 32 - 1,
} as const;

/** Numbers 1…last, next-fit: a freed one rests until the search has been all the way round. */
export class NumberPool {
  readonly #what: string;
  readonly #hint: string;
  readonly #last: number;
  readonly #taken = new Set<number>();
  #next = 1;

  /** `what` ends the sentence "no room for another …". */
  constructor(what: string, last: number, hint: string) {
    this.#what = what;
    this.#last = last;
    this.#hint = hint;
  }

  get size(): number {
    return this.#taken.size;
  }

  get capacity(): number {
    return this.#last;
  }

  has(number: number): boolean {
    return this.#taken.has(number);
  }

  allocate(): number {
    if (this.#taken.size >= this.#last) {
      throw new SluiceError('table_full', `no room for another ${this.#what}: all ${this.#last} are in use`, {
        hint: this.#hint,
      });
    }
    let number = this.#next;
    while (number > this.#last || this.#taken.has(number)) number = number >= this.#last ? 1 : number + 1;
    this.#taken.add(number);
    this.#next = number + 1;
    return number;
  }

  /** Takes what the store says was taken; throws `store` if it cannot be. The search then begins behind it. */
  restore(number: number): void {
    if (this.#taken.has(number) || number < 1 || number > this.#last) {
      throw new SluiceError(
        'store',
        `the state holds number ${number} for a ${this.#what}, which cannot be`,
        {
          hint: 'restore the state directory from a backup, or move it away to begin with an empty one',
        },
      );
    }
    this.#taken.add(number);
    if (number >= this.#next) this.#next = number + 1;
  }

  release(number: number): void {
    this.#taken.delete(number);
  }

  /** What an undone allocation must put back, so that a dry run leaves no trace. */
  mark(): () => void {
    const saved = this.#next;
    return () => {
      this.#next = saved;
    };
  }
}

/**
 * Generations never repeat within the life of a state directory, so that
 * whatever was left of an earlier holder of a slot is known to be dead.
 */
export class Generations {
  #last = 0;

  get last(): number {
    return this.#last;
  }

  next(): number {
    if (this.#last >= LIMITS.generations) {
      throw new SluiceError('table_full', 'every generation number has been used', {
        hint: 'stop the daemon, run sluiced cleanup --state and create the objects again',
      });
    }
    return ++this.#last;
  }

  /** Never below what is known already. */
  restore(last: number): void {
    this.#last = Math.max(this.#last, last);
  }

  mark(): () => void {
    const saved = this.#last;
    return () => {
      this.#last = saved;
    };
  }
}
