// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
});
afterEach(() => api.close());

it('creates, shows, lists and removes', async () => {
  const created = await api.call('POST', '/networks', {
    name: 'front',
    subnets: [{ cidr: '10.1.0.0/16', gateway: '10.1.0.9', ipRange: '10.1.4.0/24' }],
    options: { mtu: '1400' },
    labels: { tier: 'web' },
  });
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({
    name: 'front',
    driver: 'bridge',
    subnets: [{ cidr: '10.1.0.0/16', gateway: '10.1.0.9', ipRange: '10.1.4.0/24' }],
    internal: false,
    ipv6: false,
    options: { mtu: '1400' },
    labels: { tier: 'web' },
  });
  const { id } = created.body;
  for (const ref of ['front', id, id.slice(0, 8)]) {
    expect((await api.call('GET', `/networks/${ref}`)).body).toEqual(created.body);
  }
  expect((await api.call('GET', '/networks')).body).toEqual([created.body]);
  const removed = await api.call('DELETE', '/networks/front');
  expect([removed.status, removed.text]).toEqual([204, '']);
  expect((await api.call('GET', '/networks')).body).toEqual([]);
  expect((await api.call('GET', '/networks/front')).status).toBe(404);
});

it('prunes what has no endpoints', async () => {
  for (const name of ['a', 'b', 'c']) await api.call('POST', '/networks', { name });
  await api.call('POST', '/endpoints', { name: 'e', network: 'b' });
  const dry = await api.call('POST', '/networks/prune?dryRun=true');
  expect(dry.body).toEqual({ dryRun: true, rows: [], networks: ['a', 'c'] });
  expect((await api.call('POST', '/networks/prune')).body).toEqual({ networks: ['a', 'c'] });
  expect(api.model.networks().map(({ name }) => name)).toEqual(['b']);
});

it('plans without a trace', async () => {
  await api.call('POST', '/networks', { name: 'there' });
  const before = await snapshot(api);
  const plan = await api.call('POST', '/networks?dryRun=true', { name: 'front' });
  expect(plan.status).toBe(200);
  expect(plan.body.dryRun).toBe(true);
  expect(plan.body.rows.map((row: { kind: string }) => row.kind)).toContain('bridge');
  const removal = await api.call('DELETE', '/networks/there?dryRun=true');
  expect([removal.status, removal.body]).toEqual([200, { dryRun: true, rows: [] }]);
  expect(await snapshot(api)).toBe(before);
  expect((await api.call('POST', '/networks?dryRun=false', { name: 'front' })).status).toBe(201);
});

it.each([
  ['a name taken', { name: 'there' }, 409, 'conflict', 'name'],
  ['an unknown driver', { name: 'x', driver: 'bogus' }, 400, 'invalid_argument', 'driver'],
  ['a driver to come', { name: 'x', driver: 'overlay' }, 400, 'unsupported', 'driver'],
  [
    'a malformed CIDR',
    { name: 'x', subnets: [{ cidr: '10.0.0/8' }] },
    400,
    'invalid_argument',
    'subnets[0].cidr',
  ],
  ['an overlap', { name: 'x', subnets: [{ cidr: '10.64.0.0/16' }] }, 409, 'overlap', 'subnets[0].cidr'],
  ['a bad name', { name: '-x' }, 400, 'invalid_argument', 'name'],
  ['IPv6 on a host network', { name: 'x', driver: 'host', ipv6: true }, 400, 'invalid_argument', 'ipv6'],
  [
    'a loopback subnet',
    { name: 'x', subnets: [{ cidr: '::1/128' }] },
    400,
    'invalid_argument',
    'subnets[0].cidr',
  ],
])('refuses %s', async (_what, body, status, code, field) => {
  await api.call('POST', '/networks', { name: 'there' });
  const answer = await api.call('POST', '/networks', body);
  expect(answer.body).toMatchObject({ code, field });
  expect(answer.status).toBe(status);
});

it('refuses to remove what is in use, and an id prefix of several', async () => {
  await api.call('POST', '/networks', { name: 'n' });
  await api.call('POST', '/endpoints', { name: 'e', network: 'n' });
  const answer = await api.call('DELETE', '/networks/n');
  expect([answer.status, answer.body.code]).toEqual([409, 'in_use']);

  // By the pigeonhole principle two of 17 ids begin alike.
  for (let i = 0; i < 17; i++) await api.call('POST', '/networks', { name: `many-${i}` });
  const firsts = api.model.networks().map(({ id }) => id[0] as string);
  const twice = firsts.find((digit, i) => firsts.indexOf(digit) !== i) as string;
  const ambiguous = await api.call('GET', `/networks/${twice}`);
  expect([ambiguous.status, ambiguous.body.code]).toEqual([409, 'ambiguous']);
});

it('says when the pools are used up', async () => {
  api.host.cidrs = ['10.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16'];
  const answer = await api.call('POST', '/networks', { name: 'x' });
  expect([answer.status, answer.body.code]).toEqual([507, 'pool_exhausted']);
});
