// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { withStats } from '../../../src/api/service-stats.js';
import type { Figures } from '../../../src/api/sources.js';
import type { Backend, Endpoint, Service } from '../../../src/cnm/types.js';

const figures = (picks: number): Figures => ({
  picks,
  flows: 1,
  sockets: 2,
  packets: 3,
  bytes: 4,
  active: 5,
});

function backend(endpoint: string | null): Backend {
  return { endpoint, container: null, weight: 1, state: 'active', healthy: null };
}

const SERVICE: Service = {
  id: 's',
  name: 'web',
  network: 'net',
  mode: 'vip',
  vip: '10.64.0.9',
  vip6: null,
  ports: [],
  algorithm: 'random',
  affinity: null,
  idleTimeout: null,
  publish: [],
  allow: [],
  selector: {},
  health: null,
  declaredBy: null,
  backends: [backend('a'), backend('b'), backend(null)],
  created: '2026-01-01T00:00:00.000Z',
};
const cnm = { endpoint: (name: string) => ({ id: `id of ${name}` }) as Endpoint };

it('shows a service and its backends with what they got, as far as it is known', () => {
  const source = {
    of: (id: string) =>
      id === 's'
        ? { total: figures(9), refused: { port: 1 }, backends: new Map([['id of b', figures(7)]]) }
        : null,
  };
  const shown = withStats(cnm, source, SERVICE);
  expect(shown.stats).toEqual({ ...figures(9), refused: { port: 1 } });
  expect(shown.backends.map(({ stats }) => stats)).toEqual([undefined, figures(7), undefined]);
  expect(withStats(cnm, source, { ...SERVICE, id: 't' })).toEqual({ ...SERVICE, id: 't' });
  expect(withStats(cnm, null, SERVICE)).toEqual(SERVICE);
});
