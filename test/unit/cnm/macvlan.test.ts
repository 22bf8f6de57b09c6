// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { EndpointCreate, NetworkCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  for (const name of ['up0', 'up1', 'br0', 'up0.10']) bench.host.links.add(name);
  bench.host.on.set('up0', { cidrs: ['192.168.50.0/24'], addresses: ['192.168.50.10', '192.168.50.2'] });
  bench.host.on.set('up1', { cidrs: ['192.168.60.0/24'], addresses: ['192.168.60.10'] });
  for (const name of ['a', 'b']) await made(bench.model.createSandbox({ name }));
});

const LAN: NetworkCreate = {
  name: 'lan',
  driver: 'macvlan',
  subnets: [{ cidr: '192.168.50.0/24', gateway: '192.168.50.1' }],
  options: { parent: 'up0' },
};
const create = (more: Partial<NetworkCreate> = {}) => made(bench.model.createNetwork({ ...LAN, ...more }));
const connect = (sandbox: string, more: Partial<EndpointCreate> = {}) =>
  made(bench.model.connect(sandbox, { network: 'lan', ...more }));

describe('a macvlan network', () => {
  test('is on its parent’s own subnet, and makes nothing on the host', async () => {
    const network = await create();
    expect(network).toMatchObject({
      driver: 'macvlan',
      subnets: [{ cidr: '192.168.50.0/24', gateway: '192.168.50.1', ipRange: null }],
      interface: null,
      options: { parent: 'up0' },
    });
    expect([...bench.realizer.owners.keys()].filter((key) => key.startsWith('network/'))).toEqual([]);
    // Bridges keep the numbers of the dataplane to themselves.
    await made(bench.model.createNetwork({ name: 'web' }));
    expect(bench.realizer.rows('dp-network').map(({ net }) => net)).toEqual([1]);
    await bench.model.removeNetwork('lan');
    await create();
  });

  test('plans one macvlan link for an endpoint, with the default route to the router', async () => {
    await create();
    expect(await connect('a')).toMatchObject({
      ipv4: '192.168.50.3',
      interface: 'eth0',
      hostInterface: null,
      state: 'joined',
    });
    expect(bench.realizer.owners.get(`endpoint/${bench.model.endpoint('lan.a').id}`)).toEqual([
      {
        kind: 'macvlan',
        parent: 'up0',
        mode: 'bridge',
        netns: '/run/netns/a',
        interface: 'eth0',
        mac: '02:42:c0:a8:32:03',
        mtu: null,
        addresses: ['192.168.50.3/24'],
        gateways: ['192.168.50.1'],
        ipv6: false,
      },
    ]);
    await bench.model.leave('lan.a');
    expect(bench.realizer.rows('macvlan')).toEqual([]);
  });

  test.each(['private', 'vepa', 'passthru', 'bridge'])('takes mode %s and an MTU', async (mode) => {
    const subnets = [{ cidr: '192.168.70.0/24' }];
    await create({ subnets, options: { parent: 'up0.10', macvlan_mode: mode, mtu: '1400' } });
    await connect('a');
    expect(bench.realizer.rows('macvlan')).toMatchObject([{ parent: 'up0.10', mode, mtu: 1400 }]);
  });

  test('gives out no address that the host has, then or now', async () => {
    await create({ subnets: [{ cidr: '192.168.50.0/29', gateway: '192.168.50.1' }] });
    // .1 is the router, .2 and .10 the host's; .3 becomes the host's.
    bench.host.on.get('up0')?.addresses.push('192.168.50.3');
    expect((await connect('a')).ipv4).toBe('192.168.50.4');
    const error = await failure(connect('b', { ipv4: '192.168.50.3' }));
    expect(error).toMatchObject({ code: 'address_taken', field: 'ipv4' });
    expect(error.message).toContain('belongs to this host');
    expect((await failure(connect('b', { ipv4: '192.168.50.1' }))).message).toContain("network's gateway");
    for (const name of ['c', 'd']) await made(bench.model.createEndpoint({ name, network: 'lan' }));
    expect(await failure(connect('b'))).toMatchObject({ code: 'pool_exhausted' });
    // An address that the host gives up can be had.
    bench.host.on.get('up0')?.addresses.splice(1);
    expect((await connect('b')).ipv4).toBe('192.168.50.2');
  });

  test('lies beside a bridge network in one sandbox; who joins first has the default route', async () => {
    await create();
    await made(bench.model.createNetwork({ name: 'web' }));
    await connect('a');
    await made(bench.model.connect('a', { network: 'web' }));
    const gateways = () => [
      bench.realizer.rows('macvlan').flatMap((row) => row.gateways),
      bench.realizer.rows('port').flatMap((row) => row.gateways),
    ];
    expect(gateways()).toEqual([['192.168.50.1'], []]);
    expect(bench.realizer.rows('port')).toMatchObject([{ interface: 'eth1' }]);
    await bench.model.disconnect('lan', 'a');
    expect(gateways()).toEqual([[], ['10.64.0.1']]);
    await connect('a');
    expect(bench.realizer.rows('macvlan')).toMatchObject([{ interface: 'eth0', gateways: [] }]);
  });

  test('is planned by a dry run, which leaves no trace', async () => {
    const before = await snapshot(bench);
    expect((await planned(bench.model.createNetwork(LAN, true))).rows).toEqual([]);
    expect(await snapshot(bench)).toBe(before);
    await create();
    const { rows } = await planned(bench.model.connect('a', { network: 'lan' }, true));
    expect(rows.map(({ kind }) => kind)).toContain('macvlan');
    expect((await connect('a')).ipv4).toBe('192.168.50.3');
  });

  test('is there again after a restart, with its rows', async () => {
    await create({ options: { parent: 'up0', macvlan_mode: 'passthru' } });
    await connect('a');
    const rows = bench.realizer.rows('macvlan');
    const again = await startModel({ store: bench.store, host: bench.host });
    expect(again.realizer.rows('macvlan')).toEqual(rows);
    const error = await failure(again.model.connect('b', { network: 'lan' }));
    expect(error).toMatchObject({ code: 'conflict', field: 'network' });
  });
});

describe('is refused', () => {
  const options = (more: Record<string, string>) => ({ options: { parent: 'up0', ...more } });
  const cases: [string, Partial<NetworkCreate>, string, string, RegExp][] = [
    ['no subnet', { subnets: [] }, 'invalid_argument', 'subnets', /needs a subnet/],
    [
      'a gateway without subnet',
      { subnets: [{ gateway: '192.168.50.1' }] },
      'invalid_argument',
      'subnets',
      /needs a subnet/,
    ],
    ['no parent', { options: {} }, 'invalid_argument', 'options.parent', /needs a parent/],
    [
      'a parent that is not there',
      { options: { parent: 'up0.20' } },
      'invalid_argument',
      'options.parent',
      /'up0\.20' does not exist/,
    ],
    [
      'a name that is none',
      { options: { parent: 'a/b' } },
      'invalid_argument',
      'options.parent',
      /not an interface name/,
    ],
    ['a port of a bridge', { options: { parent: 'up9' } }, 'conflict', 'options.parent', /a port of 'br0'/],
    [
      'a bridge of ours',
      { options: { parent: 'slbweb' } },
      'conflict',
      'options.parent',
      /bridge of network 'web'/,
    ],
    [
      'a macvlan link',
      { options: { parent: 'mv0' } },
      'invalid_argument',
      'options.parent',
      /is a macvlan link itself/,
    ],
    ['a tunnel', { options: { parent: 'wg0' } }, 'invalid_argument', 'options.parent', /no Ethernet frames/],
    [
      'a mode that is none',
      options({ macvlan_mode: 'l2' }),
      'invalid_argument',
      'options.macvlan_mode',
      /l2/,
    ],
    ['a bad MTU', options({ mtu: '9' }), 'invalid_argument', 'options.mtu', /not an MTU/],
    [
      'an unknown option',
      options({ ipvlan_mode: 'l2' }),
      'invalid_argument',
      'options.ipvlan_mode',
      /ipvlan/,
    ],
    ...['icc', 'masquerade', 'host-access', 'com.docker.network.bridge.enable_icc'].map(
      (key): [string, Partial<NetworkCreate>, string, string, RegExp] => [
        key,
        options({ [key]: 'false' }),
        'unsupported',
        `options.${key}`,
        /no effect on a macvlan network/,
      ],
    ),
    ['internal', { internal: true }, 'unsupported', 'internal', /cannot be internal/],
    ['IPv6', { ipv6: true }, 'unsupported', 'ipv6', /IPv4 addresses only/],
    [
      'an IPv6 subnet',
      { subnets: [{ cidr: '192.168.50.0/24' }, { cidr: 'fd00::/64' }] },
      'unsupported',
      'subnets[1].cidr',
      /IPv4 addresses only/,
    ],
    [
      'the host as gateway',
      { subnets: [{ cidr: '192.168.50.0/24', gateway: '192.168.50.10' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /own address/,
    ],
    [
      'the subnet behind another link',
      { subnets: [{ cidr: '192.168.60.0/24' }] },
      'overlap',
      'subnets[0].cidr',
      /192\.168\.60\.0\/24, which this host is connected to/,
    ],
    [
      'a subnet that holds what another link is connected to',
      { subnets: [{ cidr: '192.168.50.0/23', gateway: '192.168.50.1' }] },
      'overlap',
      'subnets[0].cidr',
      /192\.168\.51\.0\/24/,
    ],
    [
      'the subnet of another network',
      { subnets: [{ cidr: '10.64.0.0/16' }] },
      'overlap',
      'subnets[0].cidr',
      /of network 'web'/,
    ],
  ];
  test.each(cases)('%s', async (_, request, code, field, message) => {
    const { host } = bench;
    host.connected = ['192.168.51.0/24'];
    for (const name of ['up9', 'mv0', 'wg0']) host.links.add(name);
    host.kinds.set('up9', { master: 'br0' }).set('mv0', { kind: 'macvlan' }).set('wg0', { ethernet: false });
    const name = { 'com.docker.network.bridge.name': 'slbweb' };
    await made(bench.model.createNetwork({ name: 'web', options: name }));
    host.links.add('slbweb');
    const before = await snapshot(bench);
    const error = await failure(create(request));
    expect(error).toMatchObject({ code, field });
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
    await create();
  });

  test('a port, at creation and later', async () => {
    await create();
    const error = await failure(connect('a', { ports: ['8080:80'] }));
    expect(error).toMatchObject({ code: 'unsupported', field: 'ports' });
    expect(error.hint).toContain('reachable directly');
    await connect('a');
    expect(await failure(bench.model.publish('lan.a', ['8080:80']))).toMatchObject({ code: 'unsupported' });
  });

  test('the host’s own namespace', async () => {
    await create();
    await made(bench.model.createSandbox({ name: 'self', netns: '/proc/1/ns/net' }));
    expect(await failure(connect('self'))).toMatchObject({ code: 'invalid_argument', field: 'sandbox' });
  });

  test('a bridge network on the subnet of a macvlan network, asked for or chosen', async () => {
    await create({ subnets: [{ cidr: '10.64.0.0/24' }] });
    const subnets = [{ cidr: '10.64.0.0/25' }];
    const error = await failure(bench.model.createNetwork({ name: 'web', subnets }));
    expect(error.message).toContain("of network 'lan'");
    expect((await made(bench.model.createNetwork({ name: 'web' }))).subnets[0]?.cidr).toBe('10.64.1.0/24');
  });

  test('a second endpoint of a passthru network, until the first one is removed', async () => {
    await create({ options: { parent: 'up0', macvlan_mode: 'passthru' } });
    await connect('a');
    const error = await failure(connect('b'));
    expect(error).toMatchObject({ code: 'conflict', field: 'network' });
    expect(error.message).toContain("'lan.a'");
    await bench.model.disconnect('lan', 'a');
    await connect('b');
  });

  test('a second network on a passthru parent; others share theirs', async () => {
    await create({ options: { parent: 'up0', macvlan_mode: 'passthru' } });
    const other = { name: 'other', subnets: [{ cidr: '192.168.70.0/24' }] };
    const error = await failure(create(other));
    expect(error).toMatchObject({ code: 'conflict', field: 'options.parent' });
    expect(error.message).toContain("network 'lan'");
    await bench.model.removeNetwork('lan');
    await create();
    await create(other);
    const third = { name: 'third', subnets: [{ cidr: '192.168.71.0/24' }] };
    expect(
      await failure(create({ ...third, options: { parent: 'up0', macvlan_mode: 'passthru' } })),
    ).toMatchObject({ code: 'conflict', field: 'options.parent' });
  });
});
