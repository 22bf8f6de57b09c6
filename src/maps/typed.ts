// SPDX-License-Identifier: Apache-2.0
/** A kernel map with its generated codecs. */
import { isNativeError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import type { MapDescriptor } from './codec.js';

/** Flags of update; include/uapi/linux/bpf.h */
export const BPF_ANY = 0;
export const BPF_NOEXIST = 1;

const PER_CPU_TYPES = new Set([5, 6, 10]); // PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH
const DEFAULT_BATCH = 4096;
/** The kernel's own, for a map type without batch operations. */
const ENOTSUPP = 524;

const align8 = (n: number): number => (n + 7) & ~7;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function lacksBatch(e: unknown): boolean {
  return isNativeError(e) && (e.errno === ENOTSUPP || e.code === 'EINVAL' || e.code === 'EOPNOTSUPP');
}

/** Where a map has a value of each CPU, one that is read is the first CPU's, and one that is written every CPU's. */
export class TypedMap<K, V> {
  readonly descriptor: MapDescriptor<K, V>;
  readonly #native: BpfNative;
  readonly #fd: () => number;
  readonly #key: Buffer;
  readonly #value: Buffer;
  /** 0: entries have one value for all of them. */
  readonly #cpus: number;
  /** Bytes from one CPU's value to the next one's. */
  readonly #step: number;
  /** Bytes of an entry's value, or of those of each CPU. */
  readonly #size: number;

  /** `fd` answers the descriptor, and throws once its owner has closed it. */
  constructor(native: BpfNative, descriptor: MapDescriptor<K, V>, fd: () => number) {
    this.descriptor = descriptor;
    this.#native = native;
    this.#fd = fd;
    this.#cpus = PER_CPU_TYPES.has(descriptor.type) ? native.bpfPossibleCpus() : 0;
    this.#key = Buffer.alloc(descriptor.key.size);
    this.#step = align8(descriptor.value.size);
    this.#size = this.#cpus === 0 ? descriptor.value.size : this.#cpus * this.#step;
    this.#value = Buffer.alloc(this.#size);
  }

  get fd(): number {
    return this.#fd();
  }

  get capacity(): number {
    return this.#native.bpfMapInfo(this.fd).maxEntries;
  }

  get(key: K): V | undefined {
    this.descriptor.key.encode(key, this.#key, 0);
    if (!this.#native.bpfMapLookup(this.fd, this.#key, this.#value)) return undefined;
    return this.descriptor.value.decode(this.#value, 0);
  }

  /** One value a CPU; an absent key has none. */
  getPerCpu(key: K): V[] {
    this.descriptor.key.encode(key, this.#key, 0);
    if (!this.#native.bpfMapLookup(this.fd, this.#key, this.#value)) return [];
    return this.#perCpu(this.#value, 0);
  }

  set(key: K, value: V, flags: number = BPF_ANY): void {
    this.descriptor.key.encode(key, this.#key, 0);
    this.#encode(value, this.#value, 0);
    this.#native.bpfMapUpdate(this.fd, this.#key, this.#value, flags);
  }

  /** False if there was none. */
  delete(key: K): boolean {
    this.descriptor.key.encode(key, this.#key, 0);
    return this.#native.bpfMapDelete(this.fd, this.#key);
  }

  setBatch(pairs: readonly (readonly [K, V])[]): void {
    const { key } = this.descriptor;
    if (pairs.length === 0) return;
    const keys = Buffer.allocUnsafe(pairs.length * key.size);
    const values = Buffer.allocUnsafe(pairs.length * this.#size);
    pairs.forEach(([k, v], i) => {
      key.encode(k, keys, i * key.size);
      this.#encode(v, values, i * this.#size);
    });
    try {
      this.#native.bpfMapUpdateBatch(this.fd, keys, values, pairs.length, BPF_ANY);
    } catch (e) {
      if (!lacksBatch(e)) throw e;
      for (const [k, v] of pairs) this.set(k, v);
    }
  }

  /** Absent keys are none the worse. */
  deleteBatch(keys: readonly K[]): void {
    const { key } = this.descriptor;
    if (keys.length === 0) return;
    const bytes = Buffer.allocUnsafe(keys.length * key.size);
    keys.forEach((k, i) => {
      key.encode(k, bytes, i * key.size);
    });
    try {
      this.#native.bpfMapDeleteBatch(this.fd, bytes, keys.length);
    } catch (e) {
      // the batch stops at the first absent key
      if (!lacksBatch(e) && !(isNativeError(e) && e.code === 'ENOENT')) throw e;
      for (const k of keys) this.delete(k);
    }
  }

  /**
   * Every entry, in batches with a turn of the event loop between them. A hash
   * that changes meanwhile may show an entry twice or not at all only if that
   * entry was changed too.
   */
  async *entries(batch: number = DEFAULT_BATCH): AsyncGenerator<[K, V]> {
    const { key, value } = this.descriptor;
    for await (const { keys, values, count } of this.#batches(batch)) {
      for (let i = 0; i < count; i++)
        yield [key.decode(keys, i * key.size), value.decode(values, i * this.#size)];
    }
  }

  /** Of an array: the elements that are not all zero. An array is full always, and mostly of zeros. */
  async *used(batch: number = DEFAULT_BATCH): AsyncGenerator<[K, V]> {
    const { key, value } = this.descriptor;
    const size = this.#size;
    const zero = Buffer.alloc(batch * size);
    for await (const { keys, values, count } of this.#batches(batch)) {
      const length = count * size;
      if (values.compare(zero, 0, length, 0, length) === 0) continue;
      for (let i = 0; i < count; i++) {
        const at = i * size;
        if (values.compare(zero, 0, size, at, at + size) === 0) continue;
        yield [key.decode(keys, i * key.size), value.decode(values, at)];
      }
    }
  }

  /** Of an array: so many elements from `first` on. */
  slice(first: number, count: number): V[] {
    const { value } = this.descriptor;
    const { values, got } = this.#range(first, count);
    return Array.from({ length: got }, (_, i) => value.decode(values, i * this.#size));
  }

  /** As `slice`, one value a CPU. */
  slicePerCpu(first: number, count: number): V[][] {
    const { values, got } = this.#range(first, count);
    return Array.from({ length: got }, (_, i) => this.#perCpu(values, i * this.#size));
  }

  #perCpu(values: Buffer, at: number): V[] {
    return Array.from({ length: this.#cpus }, (_, cpu) =>
      this.descriptor.value.decode(values, at + cpu * this.#step),
    );
  }

  #encode(value: V, into: Buffer, at: number): void {
    this.descriptor.value.encode(value, into, at);
    for (let cpu = 1; cpu < this.#cpus; cpu++)
      into.copy(into, at + cpu * this.#step, at, at + this.descriptor.value.size);
  }

  #range(first: number, count: number): { values: Buffer; got: number } {
    const { key } = this.descriptor;
    const keys = Buffer.allocUnsafe(count * key.size);
    const values = Buffer.allocUnsafe(count * this.#size);
    if (count === 0) return { values, got: 0 };
    let from: Buffer | null = null;
    if (first > 0) {
      // a batch begins behind the key that it is given
      from = Buffer.alloc(key.size);
      from.writeUInt32LE(first - 1, 0);
    }
    const next = Buffer.alloc(key.size);
    const got = this.#native.bpfMapLookupBatch(this.fd, from, next, keys, values, count);
    return { values, got: got.count };
  }

  /** Of an array, of every CPU too: sets elements to zero. */
  zero(list: readonly K[]): void {
    const { key } = this.descriptor;
    if (list.length === 0) return;
    const keys = Buffer.allocUnsafe(list.length * key.size);
    list.forEach((k, i) => {
      key.encode(k, keys, i * key.size);
    });
    const values = Buffer.alloc(list.length * this.#size);
    this.#native.bpfMapUpdateBatch(this.fd, keys, values, list.length, BPF_ANY);
  }

  async *#batches(batch: number): AsyncGenerator<{ keys: Buffer; values: Buffer; count: number }> {
    const { key } = this.descriptor;
    const position = Math.max(4, key.size);
    let count = batch;
    let from: Buffer | null = null;
    for (;;) {
      const next: Buffer = Buffer.alloc(position);
      const keys = Buffer.allocUnsafe(count * key.size);
      const values = Buffer.allocUnsafe(count * this.#size);
      let got: { count: number; end: boolean };
      try {
        got = this.#native.bpfMapLookupBatch(this.fd, from, next, keys, values, count);
      } catch (e) {
        if (isNativeError(e) && e.code === 'ENOSPC') {
          // a bucket with more entries than the batch has room for
          count *= 2;
          continue;
        }
        if (from !== null || !lacksBatch(e)) throw e;
        yield* this.#oneByOne();
        return;
      }
      yield { keys, values, count: got.count };
      if (got.end) return;
      from = next;
      await turn();
    }
  }

  *#oneByOne(): Generator<{ keys: Buffer; values: Buffer; count: number }> {
    const { key } = this.descriptor;
    const fd = this.fd;
    let from: Buffer | null = null;
    for (;;) {
      const keys: Buffer = Buffer.alloc(key.size);
      const values = Buffer.alloc(this.#size);
      if (!this.#native.bpfMapNextKey(fd, from, keys)) return;
      if (this.#native.bpfMapLookup(fd, keys, values)) yield { keys, values, count: 1 };
      from = keys;
    }
  }

  /** Walks the map; for tables whose fill nobody counts. */
  async count(): Promise<number> {
    let n = 0;
    for await (const { count } of this.#batches(DEFAULT_BATCH)) n += count;
    return n;
  }
}
