// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { ChangeEvent, EndpointCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  for (const name of ['web', 'db']) await made(bench.model.createNetwork({ name }));
  for (const name of ['a', 'b']) await made(bench.model.createSandbox({ name }));
});
const create = (request: Partial<EndpointCreate> = {}) =>
  made(bench.model.createEndpoint({ name: 'e', network: 'web', ...request }));
const connect = (sandbox: string, request: Partial<EndpointCreate> = {}) =>
  made(bench.model.connect(sandbox, { network: 'web', ...request }));
const join = (endpoint: string, sandbox: string) => made(bench.model.join(endpoint, sandbox));
const rowsOf = (id: string) => bench.realizer.owners.get(`endpoint/${id}`);
const hosts = (sandbox: string) => bench.realizer.rows('sandbox-files').find(({ name }) => name === sandbox)?.hosts;

describe('an endpoint', () => {
  test('has an address, a MAC derived from it, and no rows before it joins', async () => {
    const endpoint = await create({ aliases: ['www', 'www'], labels: { x: 'y' } });
    expect(endpoint).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{64}$/),
      name: 'e',
      network: 'web',
      sandbox: null,
      ipv4: '10.64.0.2',
      ipv6: null,
      mac: '02:42:0a:40:00:02',
      interface: null,
      hostInterface: null,
      ports: [],
      aliases: ['www'],
      labels: { x: 'y' },
      state: 'created',
      error: null,
      created: '2026-01-01T00:00:00.000Z',
    });
    expect(rowsOf(endpoint.id)).toBeUndefined();
  });

  test('that joins has a link, its place in the tables, a program, and its ports', async () => {
    const { id } = await create({ ports: ['8080:80', '127.0.0.1:9000-9009:90-99/udp'] });
    const endpoint = await join('e', 'a');
    const link = `slv${id.slice(0, 11)}`;
    expect(endpoint).toMatchObject({ sandbox: 'a', interface: 'eth0', hostInterface: link, state: 'joined' });
    const bridge = bench.model.network('web').interface;
    const mac = '02:42:0a:40:00:02';
    const place = { slot: 1, generation: 1 };
    expect(rowsOf(id)).toEqual([
      {
        kind: 'port',
        link,
        bridge,
        netns: '/run/netns/a',
        interface: 'eth0',
        mac,
        mtu: null,
        addresses: ['10.64.0.2/24'],
        gateways: ['10.64.0.1'],
        ipv6: false,
      },
      { kind: 'neighbour', link: bridge, address: '10.64.0.2', mac },
      { kind: 'fdb', link, mac },
      { kind: 'dp-endpoint', ...place, net: 1, member: 1, sandbox: 1, mac, ipv4: '10.64.0.2', link },
      { kind: 'attachment', link, hook: 'endpoint_ingress' },
      { kind: 'publish', id: 1, ...place, protocol: 'tcp', hostIp: null, hostPort: 8080, hostPortEnd: 8080, port: 80, ipv4: '10.64.0.2' },
      { kind: 'publish', id: 2, ...place, protocol: 'udp', hostIp: '127.0.0.1', hostPort: 9000, hostPortEnd: 9009, port: 90, ipv4: '10.64.0.2' },
    ]);
    expect(bench.model.sandbox('a').endpoints).toEqual(['e']);
    expect(hosts('a')).toContain('10.64.0.2\ta\n');
  });

  test('that leaves gives back its place, and gets a new generation when it returns', async () => {
    const { id } = await create({ ports: ['8080:80'] });
    await join('e', 'a');
    const left = await made(bench.model.leave('e'));
    expect(left).toMatchObject({ sandbox: null, interface: null, hostInterface: null, state: 'created', ipv4: '10.64.0.2' });
    expect(left.ports).toHaveLength(1);
    expect(rowsOf(id)).toBeUndefined();
    expect(hosts('a')).not.toContain('10.64.0.2');
    await join('e', 'b');
    expect(bench.realizer.rows('dp-endpoint')).toMatchObject([{ generation: 2, sandbox: 2 }]);
    expect(bench.realizer.rows('publish')).toMatchObject([{ generation: 2 }]);
  });

  test('has the address and MAC that it asked for', async () => {
    expect(await create({ ipv4: '10.64.0.77', mac: '02-00-00-00-00-0A' })).toMatchObject({
      ipv4: '10.64.0.77',
      mac: '02:00:00:00:00:0a',
    });
    expect((await create({ name: 'f' })).ipv4).toBe('10.64.0.2');
  });

  test('whose derived MAC somebody has asked for gets another', async () => {
    await create({ mac: '02:42:0a:40:00:03' });
    const other = await create({ name: 'f' });
    expect(other.ipv4).toBe('10.64.0.3');
    expect(other.mac).toBe(`02:${other.id.slice(0, 10).replace(/(..)(?=.)/g, '$1:')}`);
  });

  test('rests its address when it goes', async () => {
    await create();
    await bench.model.removeEndpoint('e');
    expect((await create()).ipv4).toBe('10.64.0.3');
    expect(bench.realizer.owners.size).toBe(4);
  });

  test('says when a row of it is in error', async () => {
    const { id } = await connect('a');
    bench.realizer.errors.set(`fdb slv${id.slice(0, 11)}/02:42:0a:40:00:02`, 'EINVAL');
    expect(bench.model.endpoint('web.a')).toMatchObject({ state: 'error', error: 'EINVAL', sandbox: 'a' });
    expect(bench.model.endpoints()[0]).toMatchObject({ state: 'error', error: 'EINVAL' });
    bench.realizer.errors.clear();
    expect(bench.model.endpoint('web.a')).toMatchObject({ state: 'joined', error: null });
  });
});

describe('connect and disconnect', () => {
  test('create and join in one, and back', async () => {
    const before = await snapshot(bench);
    expect(await connect('a', { ports: ['80'] })).toMatchObject({ name: 'web.a', sandbox: 'a', state: 'joined' });
    expect(await made(bench.model.connect('b', { network: 'web', name: 'mine' }))).toMatchObject({ name: 'mine' });
    await bench.model.disconnect('web', 'a');
    await bench.model.disconnect('web', 'b');
    expect(await snapshot(bench)).toBe(before);
    expect(await failure(bench.model.disconnect('web', 'a'))).toMatchObject({ code: 'not_found' });
  });

  test('need a name that is one', async () => {
    const name = 'n'.repeat(63);
    await made(bench.model.createNetwork({ name }));
    const error = await failure(connect('a', { network: name }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'name' });
  });
});

describe('a sandbox on several networks', () => {
  const gateways = () =>
    Object.fromEntries(bench.realizer.rows('port').map((row) => [row.interface, row.gateways.length]));

  test('has its default route on the first that it joined, and then on the next', async () => {
    await connect('a');
    await connect('a', { network: 'db' });
    expect(bench.model.sandbox('a').endpoints).toEqual(['web.a', 'db.a']);
    expect(gateways()).toEqual({ eth0: 1, eth1: 0 });
    expect(hosts('a')).toMatch(/10\.64\.0\.2\ta\n10\.64\.1\.2\ta\n/);
    const generation = bench.realizer.rows('dp-endpoint').find(({ net }) => net === 2)?.generation;
    bench.realizer.applied.length = 0;
    await made(bench.model.leave('web.a'));
    expect(gateways()).toEqual({ eth1: 1 });
    // The old route goes before the new one comes; live flows of the heir stay.
    expect(bench.realizer.applied.filter(({ owner }) => owner.kind === 'endpoint').map(({ rows }) => rows.length > 0)).toEqual([false, true]);
    expect(bench.realizer.rows('dp-endpoint')).toMatchObject([{ generation }]);
    await join('web.a', 'a');
    expect(bench.model.endpoint('web.a').interface).toBe('eth0');
    expect(gateways()).toEqual({ eth0: 0, eth1: 1 });
    expect(bench.model.sandbox('a').endpoints).toEqual(['db.a', 'web.a']);
    expect(bench.realizer.rows('dp-endpoint').map(({ sandbox }) => sandbox)).toEqual([1, 1]);
  });

  test('keeps it when another one leaves', async () => {
    await connect('a');
    await connect('a', { network: 'db' });
    bench.realizer.applied.length = 0;
    await made(bench.model.leave('db.a'));
    expect(gateways()).toEqual({ eth0: 1 });
    expect(bench.realizer.applied).toHaveLength(2);
  });

  test('names its interfaces beside those that a foreign namespace has', async () => {
    bench.host.namespaces.set('/run/netns/theirs', ['lo', 'eth0', 'eth2']);
    await made(bench.model.createSandbox({ name: 't', netns: '/run/netns/theirs' }));
    expect((await connect('t')).interface).toBe('eth1');
    expect((await connect('t', { network: 'db' })).interface).toBe('eth3');
  });
});

describe('is refused', () => {
  const cases: [string, Partial<EndpointCreate>, string, string, RegExp][] = [
    ['a bad name', { name: '' }, 'invalid_argument', 'name', /not a name/],
    ['a name in use', { name: 'first' }, 'conflict', 'name', /'first' exists/],
    ['an unknown network', { network: 'none' }, 'not_found', 'network', /'none'/],
    ['an address outside', { ipv4: '10.65.0.2' }, 'invalid_argument', 'ipv4', /outside of the network's subnet 10\.64\.0\.0\/24/],
    ['an address that is none', { ipv4: '10.64.0' }, 'invalid_argument', 'ipv4', /not an IPv4 address/],
    ['an IPv6 address as IPv4', { ipv4: '::1' }, 'invalid_argument', 'ipv4', /not an IPv4 address/],
    ['the gateway’s address', { ipv4: '10.64.0.1' }, 'address_taken', 'ipv4', /gateway/],
    ['an address in use', { ipv4: '10.64.0.2' }, 'address_taken', 'ipv4', /endpoint 'first'/],
    ['the network address', { ipv4: '10.64.0.0' }, 'invalid_argument', 'ipv4', /network address/],
    ['the broadcast address', { ipv4: '10.64.0.255' }, 'invalid_argument', 'ipv4', /broadcast address/],
    ['an IPv6 address', { ipv6: 'fd00::2' }, 'unsupported', 'ipv6', /IPv6/],
    ['a MAC that is none', { mac: '02:42' }, 'invalid_argument', 'mac', /'02:42'/],
    ['a multicast MAC', { mac: '01:00:5e:00:00:01' }, 'invalid_argument', 'mac', /not the MAC/],
    ['a MAC in use', { mac: '02:42:0a:40:00:02' }, 'address_taken', 'mac', /endpoint 'first'/],
    ['a port mapping that is none', { ports: ['80', 'x'] }, 'invalid_argument', 'ports[1]', /'x'/],
    ['ranges of unequal lengths', { ports: ['8000-8010:80'] }, 'invalid_argument', 'ports[0]', /11 host ports for 1/],
    ['an IPv6 host address', { ports: ['[::1]:80:80'] }, 'unsupported', 'ports[0]', /IPv6/],
    ['sctp', { ports: ['80:80/sctp'] }, 'unsupported', 'ports[0]', /sctp/],
    ['a port in use', { ports: ['9000:90'] }, 'port_taken', 'ports', /endpoint 'first'/],
    ['a port in use, behind one that is free', { ports: ['9001:91', '9000:90'] }, 'port_taken', 'ports', /endpoint 'first'/],
    ['a port of a process', { ports: ['2222:22'] }, 'port_taken', 'ports', /process/],
    ['a port twice', { ports: ['81:80', '81:81'] }, 'port_taken', 'ports', /endpoint 'e'/],
    ['a mapping twice', { ports: ['81:80', '0.0.0.0:81:80'] }, 'conflict', 'ports[1]', /already/],
    ['an alias that is none', { aliases: ['ok', 'not ok'] }, 'invalid_argument', 'aliases[1]', /'not ok'/],
  ];
  test.each(cases)('%s', async (_, request, code, field, message) => {
    bench.host.sockets = [{ protocol: 'tcp', address: '0.0.0.0', port: 2222 }];
    await create({ name: 'first', ports: ['9000:90'] });
    for (const dryRun of [false, true]) {
      const before = await snapshot(bench);
      const error = await failure(bench.model.createEndpoint({ name: 'e', network: 'web', ...request }, dryRun));
      expect(error).toMatchObject({ code, field });
      expect(error.message).toMatch(message);
      expect(error.hint).toBeTruthy();
      expect(await snapshot(bench)).toBe(before);
    }
    // Nothing was kept: the next one gets what it would have got.
    expect(await create({ name: 'next', ports: ['9001:91', '81:80', '80'] })).toMatchObject({
      ipv4: '10.64.0.3',
      ports: [{ hostPort: 9001 }, { hostPort: 81 }, { hostPort: 49153 }],
    });
  });

  test('the MAC of the bridge', async () => {
    const mac = bench.realizer.rows('bridge')[0]?.mac as string;
    expect((await failure(create({ mac }))).message).toContain("the network's bridge");
  });

  test('to join twice, or one network twice, or an unknown sandbox', async () => {
    await create();
    await create({ name: 'f' });
    await join('e', 'a');
    const again = await failure(bench.model.join('e', 'b'));
    expect(again).toMatchObject({ code: 'conflict' });
    expect(again.message).toContain("in sandbox 'a' already");
    const twice = await failure(bench.model.join('f', 'a'));
    expect(twice).toMatchObject({ code: 'conflict' });
    expect(twice.message).toContain("by endpoint 'e'");
    expect(await failure(bench.model.join('f', 'none'))).toMatchObject({ code: 'not_found', field: 'sandbox' });
    expect(await failure(bench.model.join('none', 'a'))).toMatchObject({ code: 'not_found' });
  });

  test('to leave without having joined, to be removed without having left', async () => {
    await create();
    expect(await failure(bench.model.leave('e'))).toMatchObject({ code: 'conflict' });
    await join('e', 'a');
    const error = await failure(bench.model.removeEndpoint('e'));
    expect(error).toMatchObject({ code: 'in_use', status: 409 });
    expect(error.message).toContain("'a'");
  });

  test('when the network’s addresses are used up', async () => {
    await made(bench.model.createNetwork({ name: 'tiny', subnets: [{ cidr: '192.0.2.0/30' }] }));
    await create({ network: 'tiny' });
    expect(await failure(create({ name: 'f', network: 'tiny' }))).toMatchObject({ code: 'pool_exhausted', status: 507 });
    await bench.model.removeEndpoint('e');
    await create({ name: 'f', network: 'tiny' });
  });
});

describe('a host network', () => {
  beforeEach(async () => {
    await made(bench.model.createNetwork({ name: 'h', driver: 'host' }));
    await made(bench.model.createSandbox({ name: 'self', netns: '/proc/1/ns/net' }));
  });

  test('is for sandboxes that are the host’s namespace, and changes nothing', async () => {
    bench.realizer.owners.clear();
    const endpoint = await connect('self', { network: 'h' });
    expect(endpoint).toMatchObject({ ipv4: null, mac: '', interface: null, hostInterface: null, state: 'joined' });
    expect(bench.realizer.owners.size).toBe(0);
    expect(bench.model.sandbox('self').endpoints).toEqual(['h.self']);
    await bench.model.disconnect('h', 'self');
  });

  test('is for no others, and those for no other network', async () => {
    expect((await failure(connect('a', { network: 'h' }))).hint).toContain('--netns /proc/1/ns/net');
    const error = await failure(connect('self'));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'sandbox' });
    expect(error.message).toContain('own namespace');
  });

  test('publishes nothing, and gives no addresses', async () => {
    const error = await failure(connect('self', { network: 'h', ports: ['80:80'] }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'ports' });
    expect(error.message).toContain("host's own ports");
    expect(await failure(connect('self', { network: 'h', ipv4: '10.0.0.1' }))).toMatchObject({ field: 'ipv4' });
    expect(await failure(connect('self', { network: 'h', mac: '02:00:00:00:00:01' }))).toMatchObject({ field: 'mac' });
    await connect('self', { network: 'h' });
    expect(await failure(bench.model.publish('h.self', ['80:80']))).toMatchObject({ field: 'ports' });
  });
});

describe('a null network', () => {
  beforeEach(async () => {
    await made(bench.model.createNetwork({ name: 'none', driver: 'null' }));
  });

  test('gives its sandboxes nothing, and must be their only one', async () => {
    expect(await connect('a', { network: 'none' })).toMatchObject({ ipv4: null, interface: null, state: 'joined' });
    expect(bench.realizer.rows('port')).toEqual([]);
    const error = await failure(connect('a'));
    expect(error).toMatchObject({ code: 'conflict' });
    expect(error.hint).toContain("'none' must be the only network");
    await connect('b');
    expect(await failure(connect('b', { network: 'none' }))).toMatchObject({ code: 'conflict' });
    expect(await failure(bench.model.publish('none.a', ['80']))).toMatchObject({ code: 'invalid_argument', field: 'ports' });
  });
});

test('dry runs show the rows and change nothing', async () => {
  await create({ ports: ['8080:80'] });
  const before = await snapshot(bench);
  const applied = bench.realizer.applied.length;
  const kinds = async (answer: Promise<unknown>) => (await planned(answer)).rows.map(({ kind }) => kind);
  const port = ['port', 'neighbour', 'fdb', 'dp-endpoint', 'attachment'];
  expect(await kinds(bench.model.createEndpoint({ name: 'f', network: 'web' }, true))).toEqual([]);
  expect(await kinds(bench.model.join('e', 'a', true))).toEqual([...port, 'publish', 'netns', 'sandbox-files']);
  expect(await kinds(bench.model.connect('a', { network: 'web', ports: ['80', '81'] }, true))).toEqual([
    ...port,
    'publish',
    'publish',
    'netns',
    'sandbox-files',
  ]);
  expect(await kinds(bench.model.publish('e', ['81'], true))).toEqual([]);
  expect(await kinds(bench.model.removeEndpoint('e', true))).toEqual([]);
  expect(await snapshot(bench)).toBe(before);
  await join('e', 'a');
  expect(bench.realizer.rows('dp-endpoint')).toMatchObject([{ slot: 1, member: 1, generation: 1 }]);
  expect(await kinds(bench.model.publish('e', ['81'], true))).toEqual([...port, 'publish', 'publish']);
  expect(await kinds(bench.model.unpublish('e', ['8080:80'], true))).toEqual(port);
  expect(await kinds(bench.model.leave('e', true))).toEqual(['netns', 'sandbox-files']);
  expect(await kinds(bench.model.disconnect('web', 'a', true))).toEqual(['netns', 'sandbox-files']);
  expect(bench.realizer.applied).toHaveLength(applied + 2);
  expect((await made(bench.model.publish('e', ['81']))).ports[1]).toMatchObject({ hostPort: 49153 });
  expect(bench.realizer.rows('publish').map(({ id }) => id)).toEqual([1, 2]);
});

test('changes are told, once they are made', async () => {
  const events: ChangeEvent[] = [];
  const leave = bench.model.onChange((event) => events.push(event));
  bench.model.onChange(() => {
    throw new Error('a listener that fails');
  });
  await create();
  await join('e', 'a');
  await made(bench.model.publish('e', ['8080:80', '53/udp']));
  await made(bench.model.unpublish('e', ['80']));
  await made(bench.model.leave('e'));
  await bench.model.removeEndpoint('e');
  await failure(create({ ipv4: 'x' }));
  await bench.model.createEndpoint({ name: 'e', network: 'web' }, true);
  await bench.model.removeSandbox('a');
  leave();
  await bench.model.removeSandbox('b');
  expect(events.map(({ type, action, name, attributes }) => [type, action, name, attributes])).toEqual([
    ['endpoint', 'create', 'e', { network: 'web' }],
    ['endpoint', 'join', 'e', { sandbox: 'a' }],
    ['endpoint', 'publish', 'e', { ports: '8080:80/tcp,49153:53/udp' }],
    ['endpoint', 'unpublish', 'e', { ports: '8080:80/tcp' }],
    ['endpoint', 'leave', 'e', { sandbox: 'a' }],
    ['endpoint', 'remove', 'e', {}],
    ['sandbox', 'remove', 'a', {}],
  ]);
  expect(events[0]?.time).toBe(bench.clock.now());
});
