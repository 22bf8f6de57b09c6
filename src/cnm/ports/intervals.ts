// SPDX-License-Identifier: Apache-2.0
/**
 * Disjoint intervals of integers, each with an owner. A range costs as much as
 * a single number, and a look-up the logarithm of their count.
 */
export interface Interval<T> {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly owner: T;
}

export class Intervals<T> {
  /** Ordered, disjoint. */
  readonly #items: Interval<T>[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The lowest interval that shares a number with `first`…`last`. */
  overlapping(first: number, last: number): Interval<T> | undefined {
    const item = this.#items[this.#indexOf(first)];
    return item && item.first <= last ? item : undefined;
  }

  /** The caller has made sure that nothing overlaps. */
  add(item: Interval<T>): void {
    this.#items.splice(this.#indexOf(item.first), 0, item);
  }

  all(): readonly Interval<T>[] {
    return this.#items;
  }

  /** Removes the interval that begins at `first`; false: there is none. */
  remove(first: number): boolean {
    const index = this.#indexOf(first);
    if (this.#items[index]?.first !== first) return false;
    this.#items.splice(index, 1);
    return true;
  }

  /** Index of the first interval that ends at or behind `number`. */
  #indexOf(number: number): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle] as Interval<T>).last < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
