// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { EndpointCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  for (const name of ['web', 'db']) await made(bench.model.createNetwork({ name }));
  for (const name of ['a', 'b']) await made(bench.model.createSandbox({ name }));
});
const create = (request: Partial<EndpointCreate> = {}) =>
  made(bench.model.createEndpoint({ name: 'e', network: 'web', ...request }));
const join = (endpoint: string, sandbox: string) => made(bench.model.join(endpoint, sandbox));

describe('is refused', () => {
  const cases: [string, Partial<EndpointCreate>, string, string, RegExp][] = [
    ['a bad name', { name: '' }, 'invalid_argument', 'name', /not a name/],
    ['a name in use', { name: 'first' }, 'conflict', 'name', /'first' exists/],
    ['an unknown network', { network: 'none' }, 'not_found', 'network', /'none'/],
    [
      'an address outside',
      { ipv4: '10.65.0.2' },
      'invalid_argument',
      'ipv4',
      /outside of the network's subnet 10\.64\.0\.0\/24/,
    ],
    ['an address that is none', { ipv4: '10.64.0' }, 'invalid_argument', 'ipv4', /not an IPv4 address/],
    ['an IPv6 address as IPv4', { ipv4: '::1' }, 'invalid_argument', 'ipv4', /not an IPv4 address/],
    ['the gateway’s address', { ipv4: '10.64.0.1' }, 'address_taken', 'ipv4', /gateway/],
    ['an address in use', { ipv4: '10.64.0.2' }, 'address_taken', 'ipv4', /endpoint 'first'/],
    ['the network address', { ipv4: '10.64.0.0' }, 'invalid_argument', 'ipv4', /network address/],
    ['the broadcast address', { ipv4: '10.64.0.255' }, 'invalid_argument', 'ipv4', /broadcast address/],
    ['an IPv6 address', { ipv6: 'fd00::2' }, 'invalid_argument', 'ipv6', /network 'web' has no IPv6/],
    ['an IPv4 address as IPv6', { ipv6: '10.64.0.9' }, 'invalid_argument', 'ipv6', /not an IPv6 address/],
    ['a MAC that is none', { mac: '02:42' }, 'invalid_argument', 'mac', /'02:42'/],
    ['a multicast MAC', { mac: '01:00:5e:00:00:01' }, 'invalid_argument', 'mac', /not the MAC/],
    ['a MAC in use', { mac: '02:42:0a:40:00:02' }, 'address_taken', 'mac', /endpoint 'first'/],
    ['a port mapping that is none', { ports: ['80', 'x'] }, 'invalid_argument', 'ports[1]', /'x'/],
    [
      'ranges of unequal lengths',
      { ports: ['8000-8010:80'] },
      'invalid_argument',
      'ports[0]',
      /11 host ports for 1/,
    ],
    ['an IPv6 host address', { ports: ['[::1]:80:80'] }, 'invalid_argument', 'ports[0]', /IPv6/],
    ['sctp', { ports: ['81', '81:80/sctp'] }, 'invalid_argument', 'ports[1]', /SCTP/],
    ['a port in use', { ports: ['9000:90'] }, 'port_taken', 'ports', /endpoint 'first'/],
    [
      'a port in use, behind one that is free',
      { ports: ['9001:91', '9000:90'] },
      'port_taken',
      'ports',
      /endpoint 'first'/,
    ],
    ['a port of a process', { ports: ['2222:22'] }, 'port_taken', 'ports', /process/],
    ['a port twice', { ports: ['81:80', '81:81'] }, 'port_taken', 'ports', /endpoint 'e'/],
    ['a mapping twice', { ports: ['81:80', '81:80/tcp'] }, 'conflict', 'ports[1]', /already/],
    ['an alias that is none', { aliases: ['ok', 'not ok'] }, 'invalid_argument', 'aliases[1]', /'not ok'/],
  ];
  test.each(cases)('%s', async (_, request, code, field, message) => {
    bench.host.sockets = [{ protocol: 'tcp', address: '0.0.0.0', port: 2222 }];
    await create({ name: 'first', ports: ['9000:90'] });
    for (const dryRun of [false, true]) {
      const before = await snapshot(bench);
      const error = await failure(
        bench.model.createEndpoint({ name: 'e', network: 'web', ...request }, dryRun),
      );
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
    expect(await failure(bench.model.join('f', 'none'))).toMatchObject({
      code: 'not_found',
      field: 'sandbox',
    });
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
    expect(await failure(create({ name: 'f', network: 'tiny' }))).toMatchObject({
      code: 'pool_exhausted',
      status: 507,
    });
    await bench.model.removeEndpoint('e');
    await create({ name: 'f', network: 'tiny' });
  });
});
