// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  await api.model.createNetwork({ name: 'web', subnets: [{ cidr: '10.0.0.0/16' }] });
  await api.model.createSandbox({ name: 'box' });
  await api.model.connect('box', { network: 'web', labels: { app: 'shop' } });
});
afterEach(() => api.close());

const shop = { name: 'shop', network: 'web', ports: ['80:8080'] };

it('takes a service through its life', async () => {
  const made = await api.call('POST', '/services', {
    ...shop,
    vip: '10.0.0.80',
    algorithm: 'maglev',
    affinity: 600,
    idleTimeout: 30,
    publish: ['8000:80'],
    allow: ['192.0.2.0/24'],
    health: { kind: 'http', path: '/up', interval: 0.5 },
  });
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({
    name: 'shop',
    network: 'web',
    vip: '10.0.0.80',
    algorithm: 'maglev',
    affinity: 600,
    idleTimeout: 30,
    publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }],
    health: { kind: 'http', port: null, path: '/up', interval: 0.5, timeout: 30, retries: 3 },
    declaredBy: null,
    backends: [],
  });
  const added = await api.call('POST', '/services/shop/backends', { endpoint: 'web.box', weight: 4 });
  expect([added.status, added.body.backends]).toEqual([
    200,
    [{ endpoint: 'web.box', container: null, weight: 4, state: 'starting', healthy: null }],
  ]);
  const set = await api.call('PATCH', '/services/shop/backends/web.box', { weight: 2, drain: true });
  expect(set.body.backends).toMatchObject([{ weight: 2, state: 'draining' }]);
  expect((await api.call('GET', '/services/shop')).body).toEqual(set.body);
  expect((await api.call('GET', '/services')).body).toEqual([set.body]);
  expect((await api.call('DELETE', '/services/shop/backends/web.box')).status).toBe(204);
  expect((await api.call('DELETE', '/services/shop')).status).toBe(204);
  expect((await api.call('GET', '/services/shop')).status).toBe(404);
});

it('answers plans of all that changes, and changes nothing', async () => {
  await api.call('POST', '/services', { ...shop, backends: [{ endpoint: 'web.box' }] });
  const before = await snapshot(api);
  for (const [method, path, body] of [
    ['POST', '/services', { ...shop, name: 'x' }],
    ['POST', '/services', [{ ...shop, name: 'x' }]],
    ['DELETE', '/services/shop', undefined],
    ['PATCH', '/services/shop/backends/web.box', { drain: true }],
    ['DELETE', '/services/shop/backends/web.box', undefined],
  ] as const) {
    const { status, body: plan } = await api.call(method, `${path}?dryRun=true`, body);
    expect([status, plan.dryRun]).toEqual([200, true]);
  }
  expect(await snapshot(api)).toBe(before);
});

it('creates many, or none', async () => {
  const many = Array.from({ length: 300 }, (_, i) => ({
    ...shop,
    name: `s${i}`,
    backends: [{ endpoint: 'web.box' }],
  }));
  const { status, body } = await api.call('POST', '/services', many);
  expect([status, body.length, body[299].name]).toEqual([201, 300, 's299']);
  const refused = await api.call('POST', '/services', [
    { ...shop, name: 'one' },
    { ...shop, name: 'two', vip: 'x' },
  ]);
  expect([refused.status, refused.body]).toEqual([
    400,
    {
      code: 'invalid_argument',
      field: '[1].vip',
      message: "service 'two': 'x' is not an IPv4 address",
      hint: 'leave it out for an automatic one',
    },
  ]);
  expect((await api.call('GET', '/services/one')).status).toBe(404);
  expect((await api.call('POST', '/services', [])).body).toEqual([]);
});

it.each([
  [{ ...shop, port: '80' }, "there is no field 'port'", 'port'],
  [{ name: 'x' }, "field 'network' is missing", 'network'],
  [[shop, { ...shop, colour: 'red' }], "there is no field '[1].colour'", '[1].colour'],
  [[shop, { ...shop, ports: '80' }], "field '[1].ports' is not an array", '[1].ports'],
  [{ ...shop, mode: 'x' }, "field 'mode' is none of vip, dnsrr", 'mode'],
  [{ ...shop, affinity: 'x' }, "field 'affinity'", 'affinity'],
  ['text', 'the body is not a JSON object', undefined],
])('says what is wrong with %j', async (body, message, field) => {
  const answer = await api.call('POST', '/services', typeof body === 'string' ? JSON.stringify(body) : body);
  expect([answer.status, answer.body.field]).toEqual([400, field]);
  expect(answer.body.message).toContain(message);
});

it('tells conflicts', async () => {
  await api.call('POST', '/services', { ...shop, backends: [{ endpoint: 'web.box' }] });
  for (const [method, path, body, code] of [
    ['POST', '/services', shop, 'conflict'],
    ['POST', '/services', { ...shop, name: 'x', vip: '10.0.0.2' }, 'address_taken'],
    ['POST', '/services/shop/backends', { endpoint: 'web.box' }, 'conflict'],
    ['DELETE', '/networks/web', undefined, 'in_use'],
  ] as const) {
    const answer = await api.call(method, path, body);
    expect([answer.status, answer.body.code]).toEqual([409, code]);
  }
  expect((await api.call('DELETE', '/services/shop/backends/nix')).status).toBe(404);
});
