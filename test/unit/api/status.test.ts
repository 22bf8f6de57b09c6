// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { STATUS, startApi, type TestApi } from './support.js';

let api: TestApi;
const seen: [string, string, number][] = [];
beforeEach(async () => {
  seen.length = 0;
  api = await startApi({
    observeRequest: (route, method, status, seconds) => {
      expect(seconds).toBeGreaterThanOrEqual(0);
      seen.push([route, method, status]);
    },
  });
});
afterEach(() => api.close());

it('reports what the daemon says, the number of objects and the names of owners', async () => {
  const { id } = (await api.call('POST', '/networks', { name: 'net' })).body;
  const problem = { row: 'bridge', key: 'x', state: 'error', error: 'no' } as const;
  api.status.report = {
    ...STATUS,
    problems: [
      { owner: { kind: 'network', id }, ...problem },
      { owner: { kind: 'node', id: 'node' }, ...problem },
    ],
  };
  const { body } = await api.call('GET', '/status');
  expect(body).toMatchObject({
    node: 'testing',
    kernel: '6.18.0',
    drops: { SPOOFED_MAC: { packets: 3 } },
    objects: { networks: 1, sandboxes: 0, endpoints: 0 },
    docker: null,
  });
  expect(body.problems.map((p: { name: string | null }) => p.name)).toEqual(['net', null]);
});

it('tells the observer of each request, by route', async () => {
  await api.call('GET', '/networks/nix');
  await api.call('GET', '/nix/nix');
  expect(seen.slice(-2)).toEqual([
    ['/v1/networks/:id', 'GET', 404],
    ['unknown', 'GET', 404],
  ]);
});
