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
    ['internal', { internal: true }, 'unsupported', 'internal', /internal/],
    ['ipv6', { ipv6: true }, 'unsupported', 'ipv6', /IPv6/],
    ['an IPAM driver', { ipamDriver: 'dhcp' }, 'unsupported', 'ipamDriver', /dhcp/],
    ['an IPv6 subnet', { subnets: [{ cidr: 'fd00::/64' }] }, 'unsupported', 'subnets[0].cidr', /fd00::\/64/],
    [
      'a second IPv6 subnet',
      { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: 'fd00::/64' }] },
      'unsupported',
      'subnets[1].cidr',
      /fd00/,
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
      'a subnet in the host’s routes',
      { subnets: [{ cidr: '198.51.100.0/25' }] },
      'overlap',
      'subnets[0].cidr',
      /198\.51\.100\.0\/24, which this host routes/,
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
    ['icc', { options: { icc: 'false' } }, 'unsupported', 'options.icc', /icc/],
    [
      'host-access',
      { options: { 'host-access': 'false' } },
      'unsupported',
      'options.host-access',
      /host-access/,
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
    bench.host.cidrs = ['198.51.100.0/24'];
    bench.host.addresses = ['203.0.113.7'];
    await create({ name: 'first' });
    const before = await snapshot(bench);
    const error = await failure(create(request));
    expect(error).toMatchObject({ code, field });
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
    // Nothing was kept: the next one gets what it would have got.
    expect((await create({ name: 'next' })).subnets[0]?.cidr).toBe('10.64.1.0/24');
    expect(bench.realizer.rows('dp-network').map(({ net }) => net)).toEqual([1, 2]);
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
