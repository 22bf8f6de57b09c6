// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import { flow, send, startApi, type TestApi } from './support.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  await api.call('POST', '/networks', { name: 'net' });
  const { body } = await api.call('POST', '/endpoints', { name: 'e', network: 'net' });
  api.conntrack.flowsHeld = [
    flow({ endpoint: body.id }),
    flow({ protocol: 'udp', sourcePort: 53, tier: 'new', state: 'new' }),
    flow({ protocol: 'icmp', direction: 'outbound', endpoint: 'f'.repeat(64) }),
  ];
});
afterEach(() => api.close());

it('lists flows with the names of their endpoints, one a line', async () => {
  const { body, text } = await api.call('GET', '/conntrack');
  expect(body.map((f: { endpoint: string | null }) => f.endpoint)).toEqual(['e', null, null]);
  expect(text.split('\n')).toHaveLength(6);
});

it.each([
  ['protocol=udp', 1],
  ['port=53', 1],
  ['endpoint=e', 1],
  ['address=192.0.2.1', 3],
  ['address=192.0.2.1&protocol=tcp', 1],
  ['address=203.0.113.1', 0],
])('filters by %s', async (query, count) => {
  expect((await api.call('GET', `/conntrack?${query}`)).body).toHaveLength(count);
});

it.each([
  ['protocol=gre', 400, 'invalid_argument', 'protocol'],
  ['port=x', 400, 'invalid_argument', 'port'],
  ['port=70000', 400, 'invalid_argument', 'port'],
  ['address=10.0.0', 400, 'invalid_argument', 'address'],
  ['colour=red', 400, 'invalid_argument', 'colour'],
])('refuses the filter %s', async (query, status, code, field) => {
  for (const method of ['GET', 'DELETE']) {
    const answer = await api.call(method, `/conntrack?${query}`);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ code, field });
  }
  for (const what of ['endpoint', 'service'])
    expect((await api.call('GET', `/conntrack?${what}=nix`)).status).toBe(404);
});

it('flushes what fits, and counts it beforehand', async () => {
  const dry = await api.call('DELETE', '/conntrack?protocol=udp&dryRun=true');
  expect(dry.body).toEqual({ dryRun: true, rows: [], flows: 1 });
  expect(api.conntrack.flowsHeld).toHaveLength(3);
  expect((await api.call('DELETE', '/conntrack?protocol=udp')).body).toEqual({ flows: 1 });
  expect((await api.call('DELETE', '/conntrack')).body).toEqual({ flows: 2 });
});

it('answers counters', async () => {
  expect((await api.call('GET', '/conntrack/stats')).body).toMatchObject({ sourcePorts: { kept: 7 } });
});

it('streams many, in pieces', async () => {
  api.conntrack.flowsHeld = Array.from({ length: 20_000 }, (_, i) => flow({ sourcePort: i }));
  const { body, headers } = await api.call('GET', '/conntrack');
  expect(headers['transfer-encoding']).toBe('chunked');
  expect(body).toHaveLength(20_000);
});

it('answers an error while it still can, and breaks the connection after that', async () => {
  api.conntrack.failAfter = 0;
  api.conntrack.failure = new SluiceError('kernel', 'the table cannot be read');
  const answer = await api.call('GET', '/conntrack');
  expect([answer.status, answer.body.code]).toEqual([500, 'kernel']);

  api.conntrack.flowsHeld = Array.from({ length: 5_000 }, (_, i) => flow({ sourcePort: i }));
  api.conntrack.failAfter = 4_000;
  await expect(send(api.socket, 'GET', '/conntrack')).rejects.toThrow();
});
