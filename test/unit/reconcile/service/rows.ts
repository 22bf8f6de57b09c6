// SPDX-License-Identifier: Apache-2.0
import type { BackendRow, ServiceRow } from '../../../../src/cnm/rows.js';

export function backend(id: number, more: Partial<BackendRow> = {}): BackendRow {
  return { id, name: `b${id}`, slot: 100 + id, generation: 7, weight: 1, state: 'active', ...more };
}

/** One of each for every number from `first` on. */
export function backends(first: number, count: number, more: Partial<BackendRow> = {}): BackendRow[] {
  return Array.from({ length: count }, (_, i) => backend(first + i, more));
}

export function service(
  number: number,
  own: readonly BackendRow[],
  more: Partial<ServiceRow> = {},
): ServiceRow {
  return {
    kind: 'service',
    number,
    net: 1,
    vip4: `10.64.${number >> 8}.${number & 255}`,
    vip6: null,
    ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
    algorithm: 'random',
    affinity: null,
    idleTimeout: null,
    allow: [],
    backends: own,
    ...more,
  };
}
