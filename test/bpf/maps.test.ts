// SPDX-License-Identifier: Apache-2.0
/** Buffers for maps: of the size that the kernel writes, a value of each CPU included. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedObject, loadObject } from '../../src/loader/programs.js';
import { maps as descriptors } from '../../src/maps/generated/maps.js';
import { TypedMap } from '../../src/maps/typed.js';
import { bpfNative } from '../../src/native/bpf.js';
import { packageRoot } from '../../src/native/load.js';

const native = bpfNative();
const SIZES = { flows4: 64, flows4_new: 64, flows6: 64, flows6_new: 64, backend_traffic: 10_000 };
let object: LoadedObject;

beforeAll(async () => {
  object = await loadObject(native, { path: join(packageRoot(), 'dist/bpf/abi.bpf.o'), sizes: SIZES });
});
afterAll(() => object.close());

const fdOf = (name: string): number => (object.maps.get(name) as { fd: number }).fd;
const index = (n: number): Buffer => {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(n);
  return key;
};

/** A buffer that is followed by room of ours, so that whoever writes beyond its end is seen. */
function guarded(size: number): { buffer: Buffer; intact: () => boolean } {
  const room = Buffer.alloc(size + 65_536, 0x5a);
  return { buffer: room.subarray(0, size), intact: () => room.subarray(size).every((b) => b === 0x5a) };
}

describe('a buffer that is too small for its map', () => {
  /** Packets and bytes, of each CPU. */
  const one = 16;
  const whole = one * native.bpfPossibleCpus();

  it.each([
    ['value of one CPU', () => guarded(one), (b: Buffer) => native.bpfMapLookup(fd(), index(0), b)],
    [
      'batch of values of one CPU',
      () => guarded(8 * one),
      (b: Buffer) => native.bpfMapLookupBatch(fd(), null, Buffer.alloc(4), Buffer.alloc(32), b, 8),
    ],
    [
      'batch of keys',
      () => guarded(16),
      (b: Buffer) => native.bpfMapLookupBatch(fd(), null, Buffer.alloc(4), b, Buffer.alloc(8 * whole), 8),
    ],
    [
      'position',
      () => guarded(2),
      (b: Buffer) => native.bpfMapLookupBatch(fd(), null, b, Buffer.alloc(32), Buffer.alloc(8 * whole), 8),
    ],
    ['next key', () => guarded(2), (b: Buffer) => native.bpfMapNextKey(fd(), null, b)],
  ])('is refused, not overrun: %s', (_what, make, call) => {
    const { buffer, intact } = make();
    expect(() => call(buffer)).toThrow(/Buffer is too small/);
    expect(intact()).toBe(true);
  });

  it.each([
    ['key looked up', () => native.bpfMapLookup(fd(), Buffer.alloc(3), Buffer.alloc(whole))],
    ['key deleted', () => native.bpfMapDelete(fd(), Buffer.alloc(3))],
    ['key gone on from', () => native.bpfMapNextKey(fd(), Buffer.alloc(3), Buffer.alloc(4))],
    ['key written', () => native.bpfMapUpdate(fd(), Buffer.alloc(3), Buffer.alloc(whole), 0)],
    ['value written', () => native.bpfMapUpdate(fd(), index(0), Buffer.alloc(whole - 1), 0)],
    ['keys written', () => native.bpfMapUpdateBatch(fd(), Buffer.alloc(7), Buffer.alloc(2 * whole), 2, 0)],
    [
      'values written',
      () => native.bpfMapUpdateBatch(fd(), Buffer.alloc(8), Buffer.alloc(2 * whole - 1), 2, 0),
    ],
    ['keys deleted', () => native.bpfMapDeleteBatch(fd(), Buffer.alloc(7), 2)],
  ])('is refused, not read beyond: %s', (_what, call) => {
    expect(call).toThrow(/Buffer is too small/);
  });

  const fd = (): number => fdOf('backend_traffic');
});

describe('a map with a value of each CPU', () => {
  const map = () => new TypedMap(native, descriptors.backend_traffic, () => fdOf('backend_traffic'));
  const written = [3, 4711, 9999];

  it('is walked, counted and read with all of them', async () => {
    const traffic = map();
    const cpus = native.bpfPossibleCpus();
    traffic.setBatch(written.map((n) => [n, { packets: BigInt(n), bytes: 7n }] as const));
    for (const n of written)
      expect(traffic.getPerCpu(n)).toEqual(Array(cpus).fill({ packets: BigInt(n), bytes: 7n }));

    expect(await traffic.count()).toBe(10_000);
    const used = [];
    for await (const [key, { packets }] of traffic.used(64)) used.push([key, packets]);
    expect(used).toEqual(written.map((n) => [n, BigInt(n)]));
    let entries = 0;
    for await (const [key, { bytes }] of traffic.entries(64)) {
      expect(bytes).toBe(written.includes(key) ? 7n : 0n);
      entries++;
    }
    expect(entries).toBe(10_000);
    expect(traffic.slice(4710, 3).map(({ packets }) => packets)).toEqual([0n, 4711n, 0n]);
    expect(traffic.slicePerCpu(4711, 1)).toEqual([traffic.getPerCpu(4711)]);
  });

  it('gets one value for all of them', () => {
    const traffic = map();
    traffic.set(5, { packets: 1n, bytes: 2n });
    expect(traffic.getPerCpu(5)).toEqual(Array(native.bpfPossibleCpus()).fill({ packets: 1n, bytes: 2n }));
    traffic.zero([5]);
    expect(traffic.getPerCpu(5).every(({ packets, bytes }) => packets === 0n && bytes === 0n)).toBe(true);
  });
});
