// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { backendTableSizes, flowTableSizes } from '../../../src/daemon/dataplane.js';
import { maps } from '../../../src/maps/generated/maps.js';

const GIB = 2 ** 30;
/** An entry of a hash with its share of the buckets. */
const FLOW = 144;

describe('tables fit into the machine', () => {
  it.each([
    [1, 2],
    [1, 64],
    [4, 256],
    [16, 64],
    [512, 1024],
  ])('%i GiB, %i possible CPUs', (gib, cpus) => {
    const { backend_traffic, ...others } = backendTableSizes(cpus, gib * GIB);
    expect(backend_traffic * 16 * cpus).toBeLessThanOrEqual((gib * GIB) / 64);
    expect(backend_traffic).toBeGreaterThanOrEqual(1024);
    expect(new Set(Object.values(others))).toEqual(new Set([backend_traffic]));
    const flows = Object.values(flowTableSizes(null, gib * GIB)).reduce((sum, n) => sum + n * FLOW, 0);
    expect(flows).toBeLessThanOrEqual(gib * GIB * 0.02);
  });

  it('have all that the programs were written for, on a usual one', () => {
    for (const [name, entries] of Object.entries(backendTableSizes(8, 8 * GIB)))
      expect(entries).toBe(maps[name as keyof typeof maps].maxEntries);
  });
});
