// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../base/clock.js';

/** Consecutive entries of an array. */
export interface Region {
  readonly first: number;
  readonly length: number;
}

/**
 * How long a region that was left is not used again: a program that read where
 * it was a moment ago is still reading it. Far longer than any program runs.
 */
export const REST_MS = 2_000;

/** Which parts of an array are in use. The first that is large enough is given; what is free joins its neighbours. */
export class Regions {
  readonly size: number;
  readonly #clock: Clock;
  readonly #restMs: number;
  /** In order, and no two adjacent. */
  readonly #free: { first: number; length: number }[];
  /** In the order of their release. */
  readonly #resting: { region: Region; until: number }[] = [];

  constructor(size: number, clock: Clock, restMs: number = REST_MS) {
    this.size = size;
    this.#clock = clock;
    this.#restMs = restMs;
    this.#free = size > 0 ? [{ first: 0, length: size }] : [];
  }

  /** null: there is no room, now at least; see `rested`. */
  take(length: number): Region | null {
    this.#reclaim();
    const index = this.#free.findIndex((hole) => hole.length >= length);
    const hole = this.#free[index];
    if (hole === undefined) return null;
    const region = { first: hole.first, length };
    if (hole.length === length) {
      this.#free.splice(index, 1);
    } else {
      hole.first += length;
      hole.length -= length;
    }
    return region;
  }

  /** Takes this very region; false, with nothing changed, if part of it is in use or outside. */
  adopt({ first, length }: Region): boolean {
    if (length <= 0) return false;
    const index = this.#after(first) - 1;
    const hole = this.#free[index];
    if (hole === undefined || first + length > hole.first + hole.length) return false;
    const behind = { first: first + length, length: hole.first + hole.length - first - length };
    hole.length = first - hole.first;
    this.#free.splice(
      hole.length === 0 ? index : index + 1,
      hole.length === 0 ? 1 : 0,
      ...(behind.length === 0 ? [] : [behind]),
    );
    return true;
  }

  /** Free once it has rested. */
  release(region: Region): void {
    this.#resting.push({ region, until: this.#clock.monotonic() + this.#restMs });
  }

  /** Free at once: nobody was ever led to it. */
  giveBack({ first, length }: Region): void {
    const index = this.#after(first);
    const [before, behind] = [this.#free[index - 1], this.#free[index]];
    const joinsBefore = before !== undefined && before.first + before.length === first;
    const joinsBehind = behind !== undefined && first + length === behind.first;
    if (joinsBefore) {
      before.length += length + (joinsBehind ? behind.length : 0);
      if (joinsBehind) this.#free.splice(index, 1);
    } else if (joinsBehind) {
      behind.first = first;
      behind.length += length;
    } else {
      this.#free.splice(index, 0, { first, length });
    }
  }

  /** Milliseconds until something that rests is free again; null: nothing rests. */
  get rested(): number | null {
    const next = this.#resting[0];
    return next === undefined ? null : Math.max(0, next.until - this.#clock.monotonic());
  }

  /** Entries in use, or resting. */
  get used(): number {
    return this.size - this.#free.reduce((sum, { length }) => sum + length, 0);
  }

  #reclaim(): void {
    const now = this.#clock.monotonic();
    let count = 0;
    while ((this.#resting[count]?.until ?? Number.POSITIVE_INFINITY) <= now) count++;
    for (const { region } of this.#resting.splice(0, count)) this.giveBack(region);
  }

  /** Index of the first hole that begins after `first`. */
  #after(first: number): number {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#free[middle] as Region).first <= first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
