// SPDX-License-Identifier: Apache-2.0
/** Networks and endpoints with both address families. */
import { beforeEach, describe, expect, test } from 'vitest';
import { formatPrefix, type Prefix, parsePrefix } from '../../../src/base/addresses.js';
import type { EndpointCreate, NetworkCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  // Objects are listed in the order of their creation.
  bench.model.onChange(() => bench.clock.advance(1));
  for (const name of ['a', 'b']) await made(bench.model.createSandbox({ name }));
});
const create = (request: Partial<NetworkCreate> = {}) =>
  made(bench.model.createNetwork({ name: 'six', ipv6: true, ...request }));
const connect = (sandbox: string, request: Partial<EndpointCreate> = {}) =>
  made(bench.model.connect(sandbox, { network: 'six', ...request }));
const FIXED = [{ cidr: '10.9.0.0/24' }, { cidr: 'fd00:9::/64' }];
const restart = async () => startModel({ store: bench.store, host: bench.host });

describe('a network', () => {
  test('gets one subnet of each family, of IPv6 from the node’s own /48', async () => {
    const { subnets, ipv6 } = await create();
    expect(ipv6).toBe(true);
    expect(subnets).toEqual([
      { cidr: '10.64.0.0/24', gateway: '10.64.0.1', ipRange: null },
      {
        cidr: expect.stringMatching(/^fd[0-9a-f]{2}:.*::\/64$/),
        gateway: expect.stringMatching(/^fd.*::1$/),
        ipRange: null,
      },
    ]);
    const own = parsePrefix(subnets[1]?.cidr ?? '') as Prefix;
    const behind = (n: bigint) => formatPrefix({ ...own, network: own.network + (n << 64n) });
    expect((await create({ name: 'b' })).subnets[1]?.cidr).toBe(behind(1n));
    const { model } = await restart();
    expect((await made(model.createNetwork({ name: 'c', ipv6: true }))).subnets[1]?.cidr).toBe(behind(2n));
  });

  test('keeps the node’s /48 from its first use on, not from a dry run', async () => {
    await planned(bench.model.createNetwork({ name: 'six', ipv6: true }, true));
    expect(await bench.store.list('ula')).toEqual([]);
    await create({ name: 'fixed', subnets: FIXED });
    expect(await bench.store.list('ula')).toEqual([]);
    await create();
    expect(await bench.store.list('ula')).toMatchObject([{ value: expect.stringMatching(/^fd.*::\/48$/) }]);
    await bench.store.put('ula', 'fd00::/8');
    expect((await failure(restart())).code).toBe('store');
  });

  test('takes the subnets given, in any order, with or without saying ipv6', async () => {
    const asked = [
      { cidr: 'fd00:9::/64', gateway: 'fd00:9::ffff', ipRange: 'fd00:9:0:0:1::/80' },
      { cidr: '10.9.0.0/24', gateway: '10.9.0.254' },
    ];
    for (const [name, ipv6] of [
      ['implied', undefined],
      ['said', true],
    ] as const) {
      const network = await made(
        bench.model.createNetwork({ name, subnets: asked, ...(ipv6 ? { ipv6 } : {}) }),
      );
      expect(network).toMatchObject({
        ipv6: true,
        subnets: [
          { cidr: '10.9.0.0/24', gateway: '10.9.0.254', ipRange: null },
          { cidr: 'fd00:9::/64', gateway: 'fd00:9::ffff', ipRange: 'fd00:9:0:0:1::/80' },
        ],
      });
      await bench.model.removeNetwork(name);
    }
    const { subnets } = await made(
      bench.model.createNetwork({ name: 'six', subnets: [{ cidr: 'fd00:9::/64' }] }),
    );
    expect(subnets.map(({ cidr }) => cidr)).toEqual(['10.64.0.0/24', 'fd00:9::/64']);
  });

  test('draws from pools of one’s own, and skips what is routed', async () => {
    bench = await startModel({ pools: ['2001:db8::/62,64'] });
    bench.host.cidrs = ['2001:db8::/64', '::/0', 'fe80::/64', 'ff00::/8'];
    bench.host.addresses = ['2001:db8:0:1::5', 'fe80::5'];
    expect((await create()).subnets.map(({ cidr }) => cidr)).toEqual(['10.64.0.0/24', '2001:db8:0:2::/64']);
    await create({ name: 'b' });
    expect((await failure(create({ name: 'c' }))).code).toBe('pool_exhausted');
    expect(await bench.store.list('ula')).toEqual([]);
  });

  test('wants both gateways on its bridge and in the dataplane', async () => {
    await create({ subnets: FIXED });
    expect(bench.realizer.rows('bridge')).toMatchObject([{ addresses: ['10.9.0.1/24', 'fd00:9::1/64'] }]);
    expect(bench.realizer.rows('dp-network')).toMatchObject([
      { gateway4: '10.9.0.1', gateway6: 'fd00:9::1' },
    ]);
  });

  test('of a /126 has room for two', async () => {
    await create({ subnets: [{ cidr: 'fd00:9::/126' }] });
    expect((await connect('a')).ipv6).toBe('fd00:9::2');
    expect((await connect('b')).ipv6).toBe('fd00:9::3');
    const error = await failure(bench.model.createEndpoint({ name: 'x', network: 'six' }));
    expect(error).toMatchObject({ code: 'pool_exhausted' });
    expect(error.message).toContain('fd00:9::/126');
  });
});

describe('an endpoint', () => {
  beforeEach(() => create({ subnets: FIXED }));

  test('has an address of each family, everywhere where one is needed', async () => {
    const endpoint = await connect('a', { ports: ['8080:80'] });
    expect(endpoint).toMatchObject({ ipv4: '10.9.0.2', ipv6: 'fd00:9::2', mac: '02:42:0a:09:00:02' });
    const { mac } = endpoint;
    expect(bench.realizer.rows('port')).toMatchObject([
      {
        addresses: ['10.9.0.2/24', 'fd00:9::2/64'],
        gateways: ['10.9.0.1', 'fd00:9::1'],
        ipv6: true,
      },
    ]);
    const bridge = bench.model.network('six').interface;
    expect(bench.realizer.rows('neighbour')).toEqual([
      { kind: 'neighbour', link: bridge, address: '10.9.0.2', mac },
      { kind: 'neighbour', link: bridge, address: 'fd00:9::2', mac },
    ]);
    expect(bench.realizer.rows('dp-endpoint')).toMatchObject([{ ipv4: '10.9.0.2', ipv6: 'fd00:9::2' }]);
    expect(bench.realizer.rows('publish')).toMatchObject([{ ipv4: '10.9.0.2', ipv6: 'fd00:9::2' }]);
    expect(bench.realizer.rows('sandbox-files').find(({ name }) => name === 'a')?.hosts).toContain(
      '10.9.0.2\ta\nfd00:9::2\ta\n',
    );
  });

  test('has the address that it asked for, which nobody else then gets', async () => {
    expect((await connect('a', { ipv6: 'fd00:9:0::2' })).ipv6).toBe('fd00:9::2');
    expect((await connect('b')).ipv6).toBe('fd00:9::3');
    await bench.model.disconnect('six', 'a');
    expect((await connect('a', { ipv6: 'fd00:9::2' })).ipv6).toBe('fd00:9::2');
  });

  test.each([
    ['fd00:8::2', 'invalid_argument', /outside of the network's subnet fd00:9::\/64/],
    ['fd00:9::', 'invalid_argument', /subnet-router anycast/],
    ['fd00:9::1', 'address_taken', /gateway/],
    ['fd00:9::2', 'address_taken', /endpoint 'first'/],
    ['10.9.0.7', 'invalid_argument', /not an IPv6 address/],
    ['fd00:9::7%eth0', 'invalid_argument', /not an IPv6 address/],
  ])('cannot have %s', async (ipv6, code, message) => {
    await made(bench.model.createEndpoint({ name: 'first', network: 'six' }));
    const before = await snapshot(bench);
    const error = await failure(bench.model.createEndpoint({ name: 'e', network: 'six', ipv6 }));
    expect(error).toMatchObject({ code, field: 'ipv6' });
    expect(error.message).toMatch(message);
    expect(await snapshot(bench)).toBe(before);
    // The IPv4 address went back as well.
    expect(await made(bench.model.createEndpoint({ name: 'e', network: 'six' }))).toMatchObject({
      ipv4: '10.9.0.3',
      ipv6: 'fd00:9::3',
    });
  });

  test('of a host network has none', async () => {
    await made(bench.model.createNetwork({ name: 'h', driver: 'host' }));
    const error = await failure(bench.model.createEndpoint({ name: 'e', network: 'h', ipv6: 'fd00:9::5' }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'ipv6' });
  });

  test('is restored with its addresses', async () => {
    await connect('a');
    const again = await restart();
    expect(JSON.parse(await snapshot(again))).toEqual(JSON.parse(await snapshot(bench)));
    const taken = again.model.createEndpoint({ name: 'e', network: 'six', ipv6: 'fd00:9::2' });
    expect((await failure(taken)).code).toBe('address_taken');
  });

  test('resolves by IPv6 servers of the host where it has IPv6', async () => {
    bench.host.resolv =
      'nameserver ::1\nnameserver fe80::1\nnameserver 2001:db8::53\nnameserver 192.0.2.53\n';
    const servers = () =>
      bench.realizer
        .rows('sandbox-files')
        .find(({ name }) => name === 'a')
        ?.resolvConf.match(/\S+$/gm);
    await made(bench.model.createNetwork({ name: 'four' }));
    await connect('a', { network: 'four' });
    expect(servers()).toEqual(['192.0.2.53']);
    await connect('a');
    expect(servers()).toEqual(['2001:db8::53', '192.0.2.53']);
  });
});

test('a sandbox has the default route of each family by the first network that has it', async () => {
  await made(bench.model.createNetwork({ name: 'four', subnets: [{ cidr: '10.8.0.0/24' }] }));
  await create({ subnets: FIXED });
  await create({ name: 'other', subnets: [{ cidr: '10.10.0.0/24' }, { cidr: 'fd00:10::/64' }] });
  const gateways = () =>
    Object.fromEntries(bench.realizer.rows('port').map((row) => [row.interface, row.gateways]));
  for (const network of ['four', 'six', 'other']) await connect('a', { network });
  expect(gateways()).toEqual({ eth0: ['10.8.0.1'], eth1: ['fd00:9::1'], eth2: [] });
  await bench.model.disconnect('six', 'a');
  expect(gateways()).toEqual({ eth0: ['10.8.0.1'], eth2: ['fd00:10::1'] });
  await bench.model.disconnect('four', 'a');
  expect(gateways()).toEqual({ eth2: ['10.10.0.1', 'fd00:10::1'] });
});

interface Stored {
  readonly ipv6: null;
  readonly ports: { readonly allow: readonly string[] }[];
}

test('what an earlier version stored is read: endpoints without IPv6, ports for everybody', async () => {
  await made(bench.model.createNetwork({ name: 'four' }));
  await connect('a', { network: 'four', ports: ['8080:80'] });
  const before = await snapshot(bench);
  const key = `endpoints/${bench.model.endpoint('four.a').id}`;
  const [stored] = (await bench.store.list(key)).map(({ value }) => value as unknown as Stored);
  const { ipv6, ports, ...rest } = stored as Stored;
  expect(ipv6).toBeNull();
  const old = ports.map(({ allow, ...port }) => {
    expect(allow).toEqual([]);
    return port;
  });
  await bench.store.put(key, { ...rest, ports: old });
  await bench.store.put('schema', 1);
  const again = await restart();
  expect(again.model.endpoints()).toEqual(bench.model.endpoints());
  expect(JSON.parse(before).rows).toEqual(JSON.parse(await snapshot(again)).rows);
  expect((await again.store.get('schema'))?.value).toBe(3);
});

describe('a host without IPv6', () => {
  test('gets IPv4 networks, and a clear refusal of others', async () => {
    bench.host.ipv6 = false;
    const none = { code: 'invalid_argument', message: 'this host has no IPv6', field: 'ipv6' };
    expect(await failure(create())).toMatchObject(none);
    expect(await failure(bench.model.createNetwork({ name: 'six', subnets: FIXED }))).toMatchObject(none);
    expect((await create({ ipv6: false })).subnets).toHaveLength(1);
    const pool = { space: 'local', cidr: null, range: null, ipv6: true };
    expect(await failure(bench.model.leases.requestPool(pool))).toMatchObject(none);
    const { id } = await bench.model.leases.requestPool({ ...pool, cidr: 'fd00:9::/64', replayed: true });
    expect(id).not.toBe('');
  });
});
