// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { NetworkCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
});
const create = (request: Partial<NetworkCreate> = {}) =>
  made(bench.model.createNetwork({ name: 'web', ...request }));

describe('is refused', () => {
  const cases: [string, Partial<NetworkCreate>, string, string | undefined, RegExp][] = [
    ['a bad name', { name: '-x' }, 'invalid_argument', 'name', /'-x' is not a name/],
    ['an unknown driver', { driver: 'brigde' }, 'invalid_argument', 'driver', /no driver 'brigde'/],
    ['overlay', { driver: 'overlay' }, 'unsupported', 'driver', /overlay/],
    [
      'an internal host network',
      { driver: 'host', internal: true },
      'invalid_argument',
      'internal',
      /host network/,
    ],
    ['a null network with IPv6', { driver: 'null', ipv6: true }, 'invalid_argument', 'ipv6', /null network/],
    ['an IPAM driver', { ipamDriver: 'dhcp' }, 'unsupported', 'ipamDriver', /dhcp/],
    [
      'an IPv6 subnet of a network without IPv6',
      { ipv6: false, subnets: [{ cidr: 'fd00::/64' }] },
      'invalid_argument',
      'ipv6',
      /without IPv6/,
    ],
    [
      'two IPv6 subnets',
      { subnets: [{ cidr: 'fd00::/64' }, { cidr: '10.0.0.0/24' }, { cidr: 'fd00:0:0:1::/64' }] },
      'invalid_argument',
      'subnets[2]',
      /one subnet per/,
    ],
    ...(
      [
        ['fd00::1/64', /behind its prefix/],
        ['fd00::/129', /not a subnet/],
        ['fd00::2/127', /no room/],
        ['fd00::2/128', /no room/],
        ['ff02::/64', /ff00::\/8, .*multicast/],
        ['fe80::/64', /fe80::\/10, .*link-local/],
        ['::/64', /::1\/128, .*loopback/],
        ['::ffff:a00:0/120', /::ffff:0:0\/96, .*IPv4/],
        ['::/0', /no host can use/],
      ] as const
    ).map(([cidr, why]): [string, Partial<NetworkCreate>, string, string, RegExp] => [
      `the subnet ${cidr}`,
      { subnets: [{ cidr }] },
      'invalid_argument',
      'subnets[0].cidr',
      why,
    ]),
    [
      'an IPv6 subnet that is one of the host’s routes',
      { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: '2001:db8:1::/48' }] },
      'overlap',
      'subnets[1].cidr',
      /2001:db8:1::\/48, which this host routes/,
    ],
    [
      'an IPv6 subnet of another network',
      { subnets: [{ cidr: 'fd00:5::/32' }] },
      'overlap',
      'subnets[0].cidr',
      /fd00:5::\/64 of network 'six'/,
    ],
    [
      'an IPv4 gateway for an IPv6 subnet',
      { subnets: [{ cidr: 'fd00::/64', gateway: '10.0.0.1' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /outside/,
    ],
    [
      'the subnet-router anycast address as gateway',
      { subnets: [{ cidr: 'fd00::/64', gateway: 'fd00::' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /anycast/,
    ],
    [
      'an MTU too small for IPv6',
      { ipv6: true, options: { mtu: '1279' } },
      'invalid_argument',
      'options.mtu',
      /1279 is too small for IPv6/,
    ],
    [
      'two IPv4 subnets',
      { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.1.0/24' }] },
      'invalid_argument',
      'subnets[1]',
      /one subnet per/,
    ],
    [
      'a malformed subnet',
      { subnets: [{ cidr: '10.0.0.0' }] },
      'invalid_argument',
      'subnets[0].cidr',
      /not a subnet/,
    ],
    [
      'host bits',
      { subnets: [{ cidr: '10.0.0.5/24' }] },
      'invalid_argument',
      'subnets[0].cidr',
      /behind its prefix/,
    ],
    [
      'loopback',
      { subnets: [{ cidr: '127.0.0.0/24' }] },
      'invalid_argument',
      'subnets[0].cidr',
      /127\.0\.0\.0\/8/,
    ],
    [
      'everything',
      { subnets: [{ cidr: '0.0.0.0/0' }] },
      'invalid_argument',
      'subnets[0].cidr',
      /no host can use/,
    ],
    [
      'multicast',
      { subnets: [{ cidr: '224.1.0.0/16' }] },
      'invalid_argument',
      'subnets[0].cidr',
      /no host can use/,
    ],
    ['a /32', { subnets: [{ cidr: '10.0.0.1/32' }] }, 'invalid_argument', 'subnets[0].cidr', /no room/],
    [
      'a gateway without subnet',
      { subnets: [{ gateway: '10.0.0.1' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /needs a subnet/,
    ],
    [
      'an ip-range without subnet',
      { subnets: [{ ipRange: '10.0.0.0/28' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /needs a subnet/,
    ],
    [
      'a gateway outside',
      { subnets: [{ cidr: '10.0.0.0/24', gateway: '10.0.1.1' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /outside/,
    ],
    [
      'the network address as gateway',
      { subnets: [{ cidr: '10.0.0.0/24', gateway: '10.0.0.0' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /network address/,
    ],
    [
      'the broadcast address as gateway',
      { subnets: [{ cidr: '10.0.0.0/24', gateway: '10.0.0.255' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /broadcast address/,
    ],
    [
      'a gateway that is none',
      { subnets: [{ cidr: '10.0.0.0/24', gateway: 'x' }] },
      'invalid_argument',
      'subnets[0].gateway',
      /not an IP address/,
    ],
    [
      'an ip-range outside',
      { subnets: [{ cidr: '10.0.0.0/24', ipRange: '10.0.1.0/28' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /outside/,
    ],
    [
      'an ip-range around',
      { subnets: [{ cidr: '10.0.0.0/24', ipRange: '10.0.0.0/16' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /outside/,
    ],
    [
      'an ip-range with host bits',
      { subnets: [{ cidr: '10.0.0.0/24', ipRange: '10.0.0.1/28' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /behind its prefix/,
    ],
    [
      'an ip-range of nothing usable',
      { subnets: [{ cidr: '10.0.0.0/24', ipRange: '10.0.0.0/31' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /no address/,
    ],
    [
      'an ip-range that is none',
      { subnets: [{ cidr: '10.0.0.0/24', ipRange: '10.0.0.0' }] },
      'invalid_argument',
      'subnets[0].ipRange',
      /not a range/,
    ],
    [
      'a subnet that is one of the host’s routes',
      { subnets: [{ cidr: '198.51.100.0/24' }] },
      'overlap',
      'subnets[0].cidr',
      /198\.51\.100\.0\/24, which this host routes/,
    ],
    [
      'a part of what the host is connected to',
      { subnets: [{ cidr: '198.18.5.0/25' }] },
      'overlap',
      'subnets[0].cidr',
      /198\.18\.5\.0\/24, which this host is connected to/,
    ],
    [
      'more than the IPv6 prefix that the host is connected to',
      { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: '2001:db8:7::/60' }] },
      'overlap',
      'subnets[1].cidr',
      /2001:db8:7:5::\/64, which this host is connected to/,
    ],
    [
      'the part of that prefix which has the host’s own address',
      { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: '2001:db8:7:5::/80' }] },
      'overlap',
      'subnets[1].cidr',
      /2001:db8:7:5::1\/128, an address of this host/,
    ],
    [
      'a subnet around the host’s address',
      { subnets: [{ cidr: '203.0.113.0/24' }] },
      'overlap',
      'subnets[0].cidr',
      /203\.0\.113\.7\/32/,
    ],
    [
      'a subnet of another network',
      { subnets: [{ cidr: '10.64.0.128/25' }] },
      'overlap',
      'subnets[0].cidr',
      /10\.64\.0\.0\/24 of network 'first'/,
    ],
    [
      'an unknown option',
      { options: { mut: '1400' } },
      'invalid_argument',
      'options.mut',
      /'mut' is not an option/,
    ],
    ['icc', { options: { icc: 'no' } }, 'invalid_argument', 'options.icc', /neither true nor false/],
    [
      'icc in both spellings',
      { options: { icc: 'true', 'com.docker.network.bridge.enable_icc': 'false' } },
      'invalid_argument',
      'options.icc',
      /contradict/,
    ],
    [
      'host-access',
      { options: { 'host-access': '' } },
      'invalid_argument',
      'options.host-access',
      /neither true nor false/,
    ],
    ['no flows', { options: { 'max-flows': '0' } }, 'invalid_argument', 'options.max-flows', /not a limit/],
    [
      'too many new flows',
      { options: { 'max-new-flows': '4294967296' } },
      'invalid_argument',
      'options.max-new-flows',
      /not a limit/,
    ],
    [
      'the parent of a bridge network',
      { options: { parent: 'eth0' } },
      'invalid_argument',
      'options.parent',
      /'parent' is not an option of a bridge network/,
    ],
    ['a small MTU', { options: { mtu: '67' } }, 'invalid_argument', 'options.mtu', /not an MTU/],
    ['a large MTU', { options: { mtu: '65536' } }, 'invalid_argument', 'options.mtu', /not an MTU/],
    ['an MTU that is none', { options: { mtu: '1e3' } }, 'invalid_argument', 'options.mtu', /not an MTU/],
    [
      'no boolean',
      { options: { masquerade: 'maybe' } },
      'invalid_argument',
      'options.masquerade',
      /neither true nor false/,
    ],
    [
      'a long link name',
      { options: { 'com.docker.network.bridge.name': 'a'.repeat(16) } },
      'invalid_argument',
      'options.com.docker.network.bridge.name',
      /not an interface name/,
    ],
    [
      'a link name in use',
      { options: { 'com.docker.network.bridge.name': 'eth0' } },
      'conflict',
      'options.com.docker.network.bridge.name',
      /has an interface 'eth0'/,
    ],
    [
      'a host address that is none',
      { options: { 'com.docker.network.bridge.host_binding_ipv4': '::1' } },
      'invalid_argument',
      'options.com.docker.network.bridge.host_binding_ipv4',
      /not an IPv4 address/,
    ],
    ['a name in use', { name: 'first' }, 'conflict', 'name', /'first' exists/],
    [
      'a subnet of a host network',
      { driver: 'host', subnets: [{}] },
      'invalid_argument',
      'subnets',
      /no subnets/,
    ],
    [
      'an option of a null network',
      { driver: 'null', options: { mtu: '1400' } },
      'invalid_argument',
      'options.mtu',
      /null network/,
    ],
  ];
  test.each(cases)('%s', async (_, request, code, field, message) => {
    bench.host.cidrs = ['198.51.100.0/24', '2001:db8:1::/48', 'fe80::/64', '::/0'];
    bench.host.addresses = ['203.0.113.7', '2001:db8:7:5::1'];
    bench.host.connected = ['198.18.5.7/24', '2001:db8:7:5::1/64'];
    await create({ name: 'first' });
    await create({ name: 'six', subnets: [{ cidr: '192.0.2.0/24' }, { cidr: 'fd00:5::/64' }] });
    const before = await snapshot(bench);
    const error = await failure(create(request));
    expect(error).toMatchObject({ code, field });
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
    // Nothing was kept: the next one gets what it would have got.
    expect((await create({ name: 'next' })).subnets[0]?.cidr).toBe('10.64.1.0/24');
    expect(bench.realizer.rows('dp-network').map(({ net }) => net)).toEqual([1, 2, 3]);
  });

  test('a bridge that another network has', async () => {
    const options = { 'com.docker.network.bridge.name': 'br-x' };
    await create({ options });
    bench.host.links.add('br-x');
    const error = await failure(create({ name: 'b', options }));
    expect(error.code).toBe('conflict');
    expect(error.message).toContain("'br-x' belongs to network 'web'");
  });

  test('a second host or null network, other kinds of them not', async () => {
    await create({ name: 'h', driver: 'host' });
    await create({ name: 'n', driver: 'null' });
    const error = await failure(create({ name: 'h2', driver: 'host' }));
    expect(error).toMatchObject({ code: 'conflict', field: 'driver' });
    expect(error.message).toContain("network 'h'");
    await bench.model.removeNetwork('h');
    await create({ name: 'h2', driver: 'host' });
    expect(bench.model.network('h2')).toMatchObject({ subnets: [], interface: null });
    expect(bench.realizer.owners.size).toBe(0);
  });

  test('one of two of the same name at the same time', async () => {
    const results = await Promise.allSettled([create(), create()]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });
});
