// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  await api.call('POST', '/networks', { name: 'net', subnets: [{ cidr: '10.9.0.0/24' }] });
});
afterEach(() => api.close());

it('creates, shows, lists and removes', async () => {
  const created = await api.call('POST', '/sandboxes', {
    name: 'web',
    dns: ['192.0.2.1'],
    dnsSearch: ['example.com'],
    hostname: 'www',
  });
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({
    name: 'web',
    netns: '/run/netns/web',
    owned: true,
    dns: ['192.0.2.1'],
    dnsSearch: ['example.com'],
    hostname: 'www',
    endpoints: [],
  });
  expect((await api.call('GET', `/sandboxes/${created.body.id.slice(0, 10)}`)).body).toEqual(created.body);
  expect((await api.call('GET', '/sandboxes')).body).toEqual([created.body]);
  expect((await api.call('DELETE', '/sandboxes/web')).status).toBe(204);
  expect((await api.call('DELETE', '/sandboxes/web')).status).toBe(404);
});

it('adopts a namespace, and refuses what is none', async () => {
  api.host.namespaces.set('/proc/7/ns/net', []);
  const adopted = await api.call('POST', '/sandboxes', { name: 'a', netns: '/proc/7/ns/net' });
  expect(adopted.body).toMatchObject({ netns: '/proc/7/ns/net', owned: false });
  const refused = await api.call('POST', '/sandboxes', { name: 'b', netns: '/etc/passwd' });
  expect([refused.status, refused.body.field]).toEqual([400, 'netns']);
});

it('connects and disconnects', async () => {
  await api.call('POST', '/sandboxes', { name: 'web' });
  const before = await snapshot(api);
  const plan = await api.call('POST', '/sandboxes/web/connect?dryRun=true', { network: 'net' });
  expect(plan.status).toBe(200);
  expect(plan.body.rows.map((row: { kind: string }) => row.kind)).toContain('port');
  expect(await snapshot(api)).toBe(before);

  const connected = await api.call('POST', '/sandboxes/web/connect', {
    network: 'net',
    ipv4: '10.9.0.77',
    ports: ['8080:80'],
    aliases: ['www'],
  });
  expect(connected.status).toBe(201);
  expect(connected.body).toMatchObject({
    name: 'net.web',
    sandbox: 'web',
    ipv4: '10.9.0.77',
    interface: 'eth0',
    state: 'joined',
    aliases: ['www'],
  });
  expect((await api.call('DELETE', '/sandboxes/web')).body.code).toBe('in_use');

  const gone = await api.call('POST', '/sandboxes/web/disconnect?dryRun=true', { network: 'net' });
  expect([gone.status, gone.body.dryRun]).toEqual([200, true]);
  expect((await api.call('POST', '/sandboxes/web/disconnect', { network: 'net' })).status).toBe(204);
  expect(api.model.endpoints()).toEqual([]);
  expect((await api.call('POST', '/sandboxes/web/disconnect', { network: 'net' })).status).toBe(404);
});

it('names the endpoint as told', async () => {
  await api.call('POST', '/sandboxes', { name: 'web' });
  const { body } = await api.call('POST', '/sandboxes/web/connect', { network: 'net', name: 'mine' });
  expect(body.name).toBe('mine');
});

it('plans without a trace', async () => {
  await api.call('POST', '/sandboxes', { name: 'there' });
  const before = await snapshot(api);
  const plan = await api.call('POST', '/sandboxes?dryRun=1', { name: 'web' });
  expect(plan.body.rows.map((row: { kind: string }) => row.kind)).toEqual(['netns', 'sandbox-files']);
  expect((await api.call('DELETE', '/sandboxes/there?dryRun=1')).body).toEqual({ dryRun: true, rows: [] });
  expect(await snapshot(api)).toBe(before);
});
