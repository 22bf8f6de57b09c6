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
const hosts = (sandbox: string) =>
  bench.realizer.rows('sandbox-files').find(({ name }) => name === sandbox)?.hosts;

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
      origin: 'sluice',
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
      {
        kind: 'dp-endpoint',
        ...place,
        net: 1,
        member: 1,
        sandbox: 1,
        mac,
        ipv4: '10.64.0.2',
        ipv6: null,
        link,
        maxFlows: null,
        newFlowsPerSecond: null,
      },
      { kind: 'attachment', link, hook: 'endpoint_ingress' },
      { kind: 'socket-member', netns: '/run/netns/a', net: 1, slot: 1 },
      {
        kind: 'publish',
        service: false,
        id: 1,
        ...place,
        protocol: 'tcp',
        hostIp: null,
        hostPort: 8080,
        hostPortEnd: 8080,
        port: 80,
        ipv4: '10.64.0.2',
        ipv6: null,
        allow: [],
      },
      {
        kind: 'publish',
        service: false,
        id: 2,
        ...place,
        protocol: 'udp',
        hostIp: '127.0.0.1',
        hostPort: 9000,
        hostPortEnd: 9009,
        port: 90,
        ipv4: '10.64.0.2',
        ipv6: null,
        allow: [],
      },
    ]);
    expect(bench.model.sandbox('a').endpoints).toEqual(['e']);
    expect(hosts('a')).toContain('10.64.0.2\ta\n');
  });

  test('that leaves gives back its place, and gets a new generation when it returns', async () => {
    const { id } = await create({ ports: ['8080:80'] });
    await join('e', 'a');
    const left = await made(bench.model.leave('e'));
    expect(left).toMatchObject({
      sandbox: null,
      interface: null,
      hostInterface: null,
      state: 'created',
      ipv4: '10.64.0.2',
    });
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
    expect(await connect('a', { ports: ['80'] })).toMatchObject({
      name: 'web.a',
      sandbox: 'a',
      state: 'joined',
    });
    expect(await made(bench.model.connect('b', { network: 'web', name: 'mine' }))).toMatchObject({
      name: 'mine',
    });
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
    expect(
      bench.realizer.applied
        .filter(({ owner }) => owner.kind === 'endpoint')
        .map(({ rows }) => rows.length > 0),
    ).toEqual([false, true]);
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

  test('whose namespace is gone lets endpoints leave, not join', async () => {
    bench.host.namespaces.set('/run/netns/theirs', []);
    await made(bench.model.createSandbox({ name: 't', netns: '/run/netns/theirs' }));
    await connect('t');
    bench.host.namespaces.clear();
    bench.host.linksIn = async () => null;
    const error = await failure(connect('t', { network: 'db' }));
    expect(error).toMatchObject({ code: 'conflict', field: 'sandbox' });
    expect(error.message).toContain('/run/netns/theirs');
    await bench.model.disconnect('web', 't');
    await bench.model.removeSandbox('t');
  });

  test('names services by their addresses only where it could reach containers by theirs', async () => {
    await made(bench.model.createNetwork({ name: 'shut', options: { icc: 'false' } }));
    const { id } = await connect('a', { network: 'shut' });
    const kinds = rowsOf(id)?.map(({ kind }) => kind);
    expect(kinds).toContain('dp-endpoint');
    expect(kinds).not.toContain('socket-member');
  });

  test('names its interfaces beside those that a foreign namespace has', async () => {
    bench.host.namespaces.set('/run/netns/theirs', ['lo', 'eth0', 'eth2']);
    await made(bench.model.createSandbox({ name: 't', netns: '/run/netns/theirs' }));
    expect((await connect('t')).interface).toBe('eth1');
    expect((await connect('t', { network: 'db' })).interface).toBe('eth3');
  });
});

test('dry runs show the rows and change nothing', async () => {
  await create({ ports: ['8080:80'] });
  const before = await snapshot(bench);
  const applied = bench.realizer.applied.length;
  const kinds = async (answer: Promise<unknown>) => (await planned(answer)).rows.map(({ kind }) => kind);
  const port = ['port', 'neighbour', 'fdb', 'dp-endpoint', 'attachment', 'socket-member'];
  expect(await kinds(bench.model.createEndpoint({ name: 'f', network: 'web' }, true))).toEqual([]);
  expect(await kinds(bench.model.join('e', 'a', true))).toEqual([
    ...port,
    'publish',
    'netns',
    'sandbox-files',
  ]);
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
