// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { NetworkCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
});
const create = (request: Partial<NetworkCreate> = {}) =>
  made(bench.model.createNetwork({ name: 'web', ...request }));

describe('a bridge network', () => {
  test('has Docker’s defaults', async () => {
    const network = await create();
    expect(network).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{64}$/),
      name: 'web',
      driver: 'bridge',
      subnets: [{ cidr: '10.64.0.0/24', gateway: '10.64.0.1', ipRange: null }],
      internal: false,
      ipv6: false,
      options: {},
      labels: {},
      interface: `slb${network.id.slice(0, 11)}`,
      origin: 'sluice',
      created: '2026-01-01T00:00:00.000Z',
    });
  });

  test('wants a bridge with the gateway’s address, its place in the dataplane, and a program', async () => {
    const { id } = await create();
    const link = `slb${id.slice(0, 11)}`;
    const mac = `02:${id.slice(0, 10).replace(/(..)(?=.)/g, '$1:')}`;
    expect(bench.realizer.owners.get(`network/${id}`)).toEqual([
      { kind: 'bridge', link, mac, mtu: null, addresses: ['10.64.0.1/24'] },
      {
        kind: 'dp-network',
        net: 1,
        link,
        mac,
        gateway4: '10.64.0.1',
        gateway6: null,
        masquerade: true,
        internal: false,
        icc: true,
        hostAccess: true,
      },
      { kind: 'attachment', link, hook: 'bridge_egress' },
    ]);
  });

  test('follows its options', async () => {
    const network = await create({
      subnets: [{ cidr: '192.0.2.0/25', gateway: '192.0.2.126', ipRange: '192.0.2.64/26' }],
      options: { mtu: '1400', masquerade: 'false', 'com.docker.network.bridge.name': 'br-web' },
      labels: { team: 'a' },
    });
    expect(network).toMatchObject({
      interface: 'br-web',
      labels: { team: 'a' },
      subnets: [{ cidr: '192.0.2.0/25', gateway: '192.0.2.126', ipRange: '192.0.2.64/26' }],
    });
    expect(bench.realizer.rows('bridge')).toMatchObject([
      { link: 'br-web', mtu: 1400, addresses: ['192.0.2.126/25'] },
    ]);
    expect(bench.realizer.rows('dp-network')).toMatchObject([{ masquerade: false, gateway4: '192.0.2.126' }]);
  });

  test('takes the same option in both spellings if they agree', async () => {
    await create({ options: { mtu: '1400', 'com.docker.network.driver.mtu': '1400' } });
    const error = await failure(
      create({ name: 'x', options: { mtu: '1400', 'com.docker.network.driver.mtu': '1300' } }),
    );
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'options.mtu' });
  });

  test.each<[Partial<NetworkCreate>, object]>([
    [{ options: { icc: 'false' } }, { icc: false, hostAccess: true, internal: false }],
    [{ options: { 'com.docker.network.bridge.enable_icc': 'false' } }, { icc: false }],
    [{ options: { 'host-access': 'false' } }, { icc: true, hostAccess: false, internal: false }],
    [{ internal: true }, { internal: true, hostAccess: false, gateway4: '10.64.0.1' }],
    [
      { internal: true, options: { 'host-access': 'true' } },
      { internal: true, hostAccess: false },
    ],
  ])('is isolated as %j asks', async (request, row) => {
    expect((await create(request)).internal).toBe(request.internal ?? false);
    expect(bench.realizer.rows('dp-network')).toMatchObject([row]);
    expect(bench.realizer.rows('bridge')).toMatchObject([{ addresses: ['10.64.0.1/24'] }]);
  });

  test('limits the flows of each container', async () => {
    await create({ options: { 'max-flows': '1000', 'max-new-flows': '50' } });
    await made(bench.model.createSandbox({ name: 'a' }));
    await made(bench.model.connect('a', { network: 'web' }));
    expect(bench.realizer.rows('dp-endpoint')).toMatchObject([{ maxFlows: 1000, newFlowsPerSecond: 50 }]);
  });

  test('without a way out gives no default route and publishes nothing', async () => {
    await create({ internal: true });
    await create({ name: 'out' });
    await made(bench.model.createSandbox({ name: 'a' }));
    await made(bench.model.connect('a', { network: 'web' }));
    expect(bench.realizer.rows('port').map(({ gateways }) => gateways)).toEqual([[]]);
    await made(bench.model.connect('a', { network: 'out' }));
    expect(bench.realizer.rows('port').map(({ gateways }) => gateways)).toEqual([[], ['10.64.1.1']]);
    const before = await snapshot(bench);
    for (const run of [
      () => bench.model.publish('web.a', ['80:80']),
      () => bench.model.createEndpoint({ name: 'e', network: 'web', ports: ['80:80'] }),
    ]) {
      const error = await failure(run());
      expect(error).toMatchObject({ code: 'invalid_argument', field: 'ports' });
      expect(error.message).toContain("internal network 'web'");
    }
    expect(await snapshot(bench)).toBe(before);
  });

  test('gets the next free subnet, and the lowest again once it is free', async () => {
    bench.host.cidrs = ['0.0.0.0/0', '10.64.1.0/24'];
    expect((await create()).subnets[0]?.cidr).toBe('10.64.0.0/24');
    expect((await create({ name: 'b' })).subnets[0]?.cidr).toBe('10.64.2.0/24');
    await bench.model.removeNetwork('web');
    expect((await create({ name: 'c' })).subnets[0]?.cidr).toBe('10.64.0.0/24');
  });

  test('may ask for a part of what the host routes, or more, and is told what is lost', async () => {
    bench.host.cidrs = ['10.0.0.0/8', '172.30.4.0/24', '2001:db8:1::/64'];
    bench.host.addresses = ['2001:db8:1::1'];
    bench.host.connected = ['2001:db8:1::1/64'];
    const inside = await create({
      subnets: [{ cidr: '10.98.0.0/24' }, { cidr: '2001:db8:1:0:bb::/80' }],
    });
    expect(inside.warnings).toEqual([
      expect.stringMatching(/10\.98\.0\.0\/24 lies in 10\.0\.0\.0\/8, which this host routes/),
      expect.stringMatching(/2001:db8:1:0:bb::\/80 lies in 2001:db8:1::\/64/),
    ]);
    const around = await create({ name: 'around', subnets: [{ cidr: '172.30.0.0/16' }] });
    expect(around.warnings).toEqual([expect.stringMatching(/contains 172\.30\.4\.0\/24/)]);
    // who does not ask gets none of it, and no warning
    const chosen = await create({ name: 'chosen' });
    expect(chosen.subnets[0]?.cidr).toBe('172.16.0.0/24');
    expect(chosen.warnings).toBeUndefined();
    expect(bench.model.network('web').warnings).toBeUndefined();
  });

  test('can be a /31, and can be drawn from pools of one’s own', async () => {
    bench = await startModel({ pools: ['198.51.100.0/24,28'] });
    expect((await create()).subnets[0]).toMatchObject({ cidr: '198.51.100.0/28', gateway: '198.51.100.1' });
    const tiny = await create({ name: 'tiny', subnets: [{ cidr: '10.0.0.4/31' }] });
    expect(tiny.subnets[0]?.gateway).toBe('10.0.0.4');
  });
});

describe('references', () => {
  test('are a name, an id or a unique beginning of one', async () => {
    const { id } = await create();
    for (const ref of ['web', id, id.slice(0, 12), id.slice(0, 1)])
      expect(bench.model.network(ref).id).toBe(id);
    const error = await failure(() => bench.model.network('nope'));
    expect(error).toMatchObject({ code: 'not_found' });
    expect(error.message).toContain("'nope'");
    expect((await failure(() => bench.model.network(''))).code).toBe('not_found');
  });

  test('are ambiguous if several ids begin so, unless one is a name', async () => {
    // 17 ids begin with 16 digits, so some two begin with the same one.
    const networks = await Promise.all(Array.from({ length: 17 }, (_, i) => create({ name: `n${i}` })));
    const digits = networks.map(({ id }) => id[0] as string);
    const twice = digits.find((digit, i) => digits.indexOf(digit) !== i) as string;
    const error = await failure(() => bench.model.network(twice));
    expect(error).toMatchObject({ code: 'ambiguous', status: 409 });
    expect(error.message).toContain('several networks');
    const named = await create({ name: twice });
    expect(bench.model.network(twice).id).toBe(named.id);
  });
});

describe('removal', () => {
  test('takes everything away', async () => {
    const { id } = await create();
    await bench.model.removeNetwork('web');
    expect(bench.model.networks()).toEqual([]);
    expect(bench.realizer.owners.size).toBe(0);
    expect(await bench.store.list('networks/')).toEqual([]);
    expect((await failure(bench.model.removeNetwork(id))).code).toBe('not_found');
  });

  test('waits for the endpoints to go', async () => {
    await create();
    await made(bench.model.createEndpoint({ name: 'e', network: 'web' }));
    const error = await failure(bench.model.removeNetwork('web'));
    expect(error).toMatchObject({ code: 'in_use', status: 409 });
    expect(error.message).toContain("'e'");
    await bench.model.removeEndpoint('e');
    await bench.model.removeNetwork('web');
  });

  test('of two at the same time one finds nothing', async () => {
    await create();
    const results = await Promise.allSettled([
      bench.model.removeNetwork('web'),
      bench.model.removeNetwork('web'),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('by prune takes those without endpoints', async () => {
    for (const name of ['a', 'b', 'c']) await create({ name });
    await made(bench.model.createEndpoint({ name: 'e', network: 'b' }));
    expect(await bench.model.pruneNetworks(true)).toEqual(['a', 'c']);
    expect(bench.model.networks()).toHaveLength(3);
    expect(await bench.model.pruneNetworks()).toEqual(['a', 'c']);
    expect(bench.model.networks().map(({ name }) => name)).toEqual(['b']);
  });
});

test('a dry run shows the rows and changes nothing', async () => {
  const before = await snapshot(bench);
  const plan = await planned(bench.model.createNetwork({ name: 'web' }, true));
  expect(plan.dryRun).toBe(true);
  expect(plan.rows.map(({ kind }) => kind)).toEqual(['bridge', 'dp-network', 'attachment']);
  expect(await snapshot(bench)).toBe(before);
  expect(bench.realizer.applied).toEqual([]);
  await create();
  expect(bench.realizer.rows('dp-network')[0]?.net).toBe(1);
  expect(await bench.model.removeNetwork('web', true)).toEqual({ dryRun: true, rows: [] });
  expect(bench.model.networks()).toHaveLength(1);
});
