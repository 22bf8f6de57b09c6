// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
  await api.call('POST', '/networks', { name: 'net', subnets: [{ cidr: '10.9.0.0/24' }] });
  await api.call('POST', '/sandboxes', { name: 'web' });
});
afterEach(() => api.close());

it('goes through its life', async () => {
  const created = await api.call('POST', '/endpoints', {
    name: 'e',
    network: 'net',
    ipv4: '10.9.0.5',
    mac: '02:00:00:00:00:05',
    ports: ['127.0.0.1:8000-8010:80-90/udp'],
    labels: { a: 'b' },
  });
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({
    name: 'e',
    network: 'net',
    sandbox: null,
    ipv4: '10.9.0.5',
    ipv6: null,
    mac: '02:00:00:00:00:05',
    interface: null,
    ports: [
      { hostIp: '127.0.0.1', hostPort: 8000, hostPortEnd: 8010, port: 80, portEnd: 90, protocol: 'udp' },
    ],
    labels: { a: 'b' },
    state: 'created',
  });
  expect((await api.call('GET', '/endpoints')).body).toEqual([created.body]);
  expect((await api.call('GET', '/endpoints/e')).body).toEqual(created.body);

  const joined = await api.call('POST', '/endpoints/e/join', { sandbox: 'web' });
  expect([joined.status, joined.body.state, joined.body.interface]).toEqual([200, 'joined', 'eth0']);
  expect((await api.call('DELETE', '/endpoints/e')).body.code).toBe('in_use');

  const published = await api.call('POST', '/endpoints/e/publish', { ports: ['8080:80', '53/udp'] });
  expect(published.status).toBe(200);
  expect(published.body.ports.slice(-2)).toMatchObject([
    { hostIp: '', hostPort: 8080, port: 80, protocol: 'tcp' },
    { port: 53, protocol: 'udp' },
  ]);
  const unpublished = await api.call('DELETE', '/endpoints/e/publish', { ports: ['8080:80'] });
  expect([unpublished.status, unpublished.text]).toEqual([204, '']);
  expect((await api.call('GET', '/endpoints/e')).body.ports).toHaveLength(2);

  const left = await api.call('POST', '/endpoints/e/leave');
  expect([left.status, left.body.state]).toEqual([200, 'created']);
  expect((await api.call('DELETE', '/endpoints/e')).status).toBe(204);
  expect((await api.call('GET', '/endpoints/e')).status).toBe(404);
});

it('plans each change without a trace', async () => {
  await api.call('POST', '/endpoints', { name: 'in', network: 'net', ports: ['8080:80'] });
  await api.call('POST', '/endpoints/in/join', { sandbox: 'web' });
  await api.call('POST', '/endpoints', { name: 'out', network: 'net' });
  await api.call('POST', '/sandboxes', { name: 'db' });
  const before = await snapshot(api);
  const kinds = async (method: string, path: string, body?: object): Promise<string[]> => {
    const answer = await api.call(method, `${path}?dryRun=true`, body);
    expect(answer.status).toBe(200);
    expect(answer.body.dryRun).toBe(true);
    return answer.body.rows.map(({ kind }: { kind: string }) => kind);
  };
  await kinds('POST', '/endpoints', { name: 'new', network: 'net' });
  expect(await kinds('POST', '/endpoints/out/join', { sandbox: 'db' })).toContain('port');
  await kinds('POST', '/endpoints/in/leave');
  expect(await kinds('POST', '/endpoints/in/publish', { ports: ['81:81'] })).toContain('publish');
  expect(await kinds('DELETE', '/endpoints/in/publish', { ports: ['8080:80'] })).not.toContain('publish');
  await kinds('DELETE', '/endpoints/out');
  expect(await snapshot(api)).toBe(before);
});

it.each([
  ['an unknown network', { network: 'nix' }, 404, 'not_found', 'network'],
  ['an address outside', { ipv4: '10.8.0.1' }, 400, 'invalid_argument', 'ipv4'],
  ['an address taken', { ipv4: '10.9.0.2' }, 409, 'address_taken', 'ipv4'],
  ['unequal ranges', { ports: ['80', '1-3:1-2'] }, 400, 'invalid_argument', 'ports[1]'],
  ['a port taken', { ports: ['8080:80'] }, 409, 'port_taken', 'ports'],
  ['sctp', { ports: ['81:80/sctp'] }, 400, 'invalid_argument', 'ports[0]'],
  ['a bad source', { ports: ['80'], allow: ['x'] }, 400, 'invalid_argument', 'allow[0]'],
  ['sources as one text', { ports: ['80'], allow: '10.0.0.0/8' }, 400, 'invalid_argument', 'allow'],
  ['IPv6', { ipv6: 'fd00::2' }, 400, 'invalid_argument', 'ipv6'],
  ['a bad MAC', { mac: '02:00' }, 400, 'invalid_argument', 'mac'],
])('refuses %s', async (_what, fields, status, code, field) => {
  await api.call('POST', '/endpoints', {
    name: 'there',
    network: 'net',
    ipv4: '10.9.0.2',
    ports: ['8080:8080'],
  });
  const answer = await api.call('POST', '/endpoints', { name: 'e', network: 'net', ...fields });
  expect(answer.body).toMatchObject({ code, field });
  expect(answer.status).toBe(status);
});

it('publishes for some sources only, and shows them', async () => {
  const allow = ['192.0.2.0/24', '2001:db8::/32'];
  const created = await api.call('POST', '/endpoints', { name: 'e', network: 'net', ports: ['80'], allow });
  expect(created.body.ports).toMatchObject([{ allow }]);
  const published = await api.call('POST', '/endpoints/e/publish', { ports: ['81:81'], allow: ['10.0.0.9'] });
  expect(published.body.ports).toMatchObject([{ allow }, { allow: ['10.0.0.9/32'] }]);
  const unpublished = await api.call('DELETE', '/endpoints/e/publish', { ports: ['81:81'], allow: [] });
  expect([unpublished.status, unpublished.body.field]).toEqual([400, 'allow']);
});

it('has both families on a network with IPv6', async () => {
  const subnets = [{ cidr: '10.7.0.0/24' }, { cidr: 'fd00:7::/64' }];
  expect((await api.call('POST', '/networks', { name: 'six', subnets })).body.ipv6).toBe(true);
  const request = { name: 'e', network: 'six', ipv6: 'fd00:7::9', ports: ['[::1]:80:80', '80:80/sctp'] };
  const { status, body } = await api.call('POST', '/endpoints', request);
  expect(status).toBe(201);
  expect(body).toMatchObject({
    ipv4: '10.7.0.2',
    ipv6: 'fd00:7::9',
    ports: [
      { hostIp: '::1', protocol: 'tcp' },
      { hostIp: '', protocol: 'sctp' },
    ],
  });
});

it('shows a row that failed later', async () => {
  await api.call('POST', '/endpoints', { name: 'e', network: 'net' });
  await api.call('POST', '/endpoints/e/join', { sandbox: 'web' });
  const port = api.realizer.rows('port')[0];
  api.realizer.errors.set(`port ${port?.link}`, 'the link vanished');
  const { body } = await api.call('GET', '/endpoints/e');
  expect(body).toMatchObject({ state: 'error', error: 'the link vanished' });
});

it('answers 500 for what the kernel refuses, and has undone it', async () => {
  await api.call('POST', '/endpoints', { name: 'e', network: 'net' });
  const before = await snapshot(api);
  api.realizer.failing = { kind: 'port', times: 1 };
  const answer = await api.call('POST', '/endpoints/e/join', { sandbox: 'web' });
  expect([answer.status, answer.body.code]).toEqual([500, 'kernel']);
  expect(await snapshot(api)).toBe(before);
});
