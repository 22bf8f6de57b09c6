// SPDX-License-Identifier: Apache-2.0
/** Maps in memory. An array answers zero where nothing was set. */
import type { KernelMap } from '../../../src/reconcile/kernel.js';

/** JSON, with 64-bit numbers as text. */
const text = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part));

export class FakeMap<K, V> implements KernelMap<K, V> {
  readonly #values = new Map<string, [K, V]>();
  readonly #zero: V | undefined;
  batches = 0;

  /** `zero`: an array of these. */
  constructor(zero?: V) {
    this.#zero = zero;
  }

  get(key: K): V | undefined {
    return this.#values.get(text(key))?.[1] ?? this.#zero;
  }

  set(key: K, value: V): void {
    this.#values.set(text(key), [key, value]);
  }

  delete(key: K): boolean {
    return this.#values.delete(text(key));
  }

  setBatch(pairs: readonly (readonly [K, V])[]): void {
    this.batches++;
    for (const [key, value] of pairs) this.set(key, value);
  }

  deleteBatch(keys: readonly K[]): void {
    this.batches++;
    for (const key of keys) this.delete(key);
  }

  async *entries(): AsyncGenerator<[K, V]> {
    if (this.#zero !== undefined) throw new Error('an array of this size is not walked whole');
    yield* [...this.#values.values()];
  }

  async *used(): AsyncGenerator<[K, V]> {
    const zero = text(this.#zero);
    for (const pair of this.#values.values()) if (text(pair[1]) !== zero) yield pair;
  }

  pairs(): [K, V][] {
    return [...this.#values.values()];
  }

  slice(first: number, count: number): V[] {
    if (this.#zero === undefined) throw new Error('no array');
    return Array.from({ length: count }, (_, i) => this.get((first + i) as K) as V);
  }

  zero(keys: readonly K[]): void {
    if (this.#zero === undefined) throw new Error('no array');
    for (const key of keys) this.set(key, this.#zero);
  }

  /** Only what was set to something else than zero. */
  dump(): Map<string, V> {
    const zero = text(this.#zero);
    return new Map([...this.#values].filter(([, [, v]]) => text(v) !== zero).map(([k, [, v]]) => [k, v]));
  }
}
