// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it } from 'vitest';
import { NET, network, type Plugin, startPlugin } from './support.js';

let plugin: Plugin;

beforeEach(async () => {
  plugin = await startPlugin({ pools: ['10.90.0.0/16,24', 'fd90::/48,64'] });
});

const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' };
const pool = (more: object = {}) => ({
  AddressSpace: 'SluiceLocal',
  Pool: '',
  SubPool: '',
  Options: {},
  V6: false,
  ...more,
});
const address = async (id: unknown, Address = '', Options: object | null = null): Promise<unknown> =>
  (await plugin.ok('IpamDriver.RequestAddress', { PoolID: id, Address, Options })).Address;

describe('a pool', () => {
  it('comes from those of the daemon, and no network of ours gets it meanwhile', async () => {
    const first = await plugin.ok('IpamDriver.RequestPool', pool());
    expect(first).toEqual({ PoolID: 'SluiceLocal/10.90.0.0/24', Pool: '10.90.0.0/24', Data: {} });
    expect(await plugin.ok('IpamDriver.RequestPool', pool())).toMatchObject({ Pool: '10.90.1.0/24' });
    expect(await plugin.ok('IpamDriver.RequestPool', pool({ V6: true }))).toMatchObject({
      Pool: 'fd90::/64',
    });
    const own = await plugin.model.createNetwork({ name: 'own' });
    expect(own.subnets).toMatchObject([{ cidr: '10.90.2.0/24' }]);
    await expect(
      plugin.model.createNetwork({ name: 'x', subnets: [{ cidr: '10.90.1.0/24' }] }),
    ).rejects.toThrow(/overlaps 10\.90\.1\.0\/24, which is a pool of Docker's/);
  });

  it('is the same for the same request, until its last holder gives it back', async () => {
    const request = pool({ Pool: '10.50.0.0/24', SubPool: '10.50.0.128/25' });
    const { PoolID } = await plugin.ok('IpamDriver.RequestPool', request);
    expect(await plugin.ok('IpamDriver.RequestPool', request)).toMatchObject({ PoolID });
    expect(PoolID).toBe('SluiceLocal/10.50.0.0/24/10.50.0.128/25');
    await address(PoolID, '10.50.0.1', GATEWAY);
    await plugin.ok('IpamDriver.ReleasePool', { PoolID });
    plugin = await startPlugin({ store: plugin.store });
    expect(await address(PoolID)).toBe('10.50.0.128/24');
    await plugin.ok('IpamDriver.ReleasePool', { PoolID });
    await plugin.ok('IpamDriver.ReleasePool', { PoolID });
    expect(await plugin.store.list('pools/')).toEqual([]);
    expect(await plugin.store.list('leases/')).toEqual([]);
    expect(await plugin.refused('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null })).toMatch(
      /there is no address pool/,
    );
  });

  it('may become a network, and no second one', async () => {
    await plugin.ok('IpamDriver.RequestPool', pool({ Pool: '10.50.0.0/24' }));
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    await plugin.ok('NetworkDriver.CreateNetwork', network(NET));
    expect(await plugin.refused('NetworkDriver.CreateNetwork', network('c'.repeat(64)))).toMatch(/overlaps/);
  });

  it.each([
    ['another one', pool({ Pool: '10.50.0.0/25' }), /overlaps 10\.50\.0\.0\/24/],
    ['the same range in part', pool({ Pool: '10.50.0.0/24', SubPool: '10.50.0.0/25' }), /overlaps/],
    ['what the host routes', pool({ Pool: '10.77.5.0/24' }), /which this host routes/],
    ['a range of nothing', pool({ SubPool: '10.50.0.0/25' }), /an ip-range needs a subnet/],
    ['an unknown option', pool({ Options: { io: '1' } }), /'io' is not an option/],
    ['an unknown space', pool({ AddressSpace: 'Stub' }), /there is no address space 'Stub'/],
    ['no range at all', pool({ Pool: '10.50.0.7/24' }), /has bits behind its prefix/],
  ])('is refused for %s', async (_, request, why) => {
    plugin.host.cidrs = ['10.77.5.0/24'];
    await plugin.ok('IpamDriver.RequestPool', pool({ Pool: '10.50.0.0/24' }));
    expect(await plugin.refused('IpamDriver.RequestPool', request)).toMatch(why);
  });
});

describe('an address', () => {
  let id: unknown;
  beforeEach(async () => {
    ({ PoolID: id } = await plugin.ok('IpamDriver.RequestPool', pool({ Pool: '10.50.0.0/29' })));
  });

  it('is the first for a gateway, the next one that has rested longest for others, outside of the ip-range too if named', async () => {
    expect(await address(id, '', GATEWAY)).toBe('10.50.0.1/29');
    expect(await address(id)).toBe('10.50.0.2/29');
    await plugin.ok('IpamDriver.ReleaseAddress', { PoolID: id, Address: '10.50.0.2' });
    expect(await address(id)).toBe('10.50.0.3/29');
    expect(await address(id, '10.50.0.6')).toBe('10.50.0.6/29');
    const { PoolID } = await plugin.ok(
      'IpamDriver.RequestPool',
      pool({ Pool: '10.51.0.0/24', SubPool: '10.51.0.128/25' }),
    );
    expect(await address(PoolID, '10.51.0.53')).toBe('10.51.0.53/24');
    expect(await address(PoolID)).toBe('10.51.0.128/24');
  });

  it('is refused where it is taken or none is left, and given back once or more', async () => {
    await address(id, '', GATEWAY);
    for (let i = 0; i < 5; i++) await address(id);
    expect(
      await plugin.refused('IpamDriver.RequestAddress', { PoolID: id, Address: '', Options: null }),
    ).toMatch(/10\.50\.0\.0\/29 has no free address left/);
    expect(await plugin.refused('IpamDriver.RequestAddress', { PoolID: id, Address: '10.50.0.1' })).toMatch(
      /10\.50\.0\.1 belongs to a network's gateway/,
    );
    expect(await plugin.refused('IpamDriver.RequestAddress', { PoolID: id, Address: '10.9.0.1' })).toMatch(
      /is outside/,
    );
    for (let i = 0; i < 2; i++)
      await plugin.ok('IpamDriver.ReleaseAddress', { PoolID: id, Address: '10.50.0.4' });
    expect(await address(id)).toBe('10.50.0.4/29');
    await plugin.ok('IpamDriver.ReleaseAddress', { PoolID: 'gone', Address: '10.50.0.4' });
  });

  it('of IPv6 likewise', async () => {
    const { PoolID } = await plugin.ok('IpamDriver.RequestPool', pool({ V6: true }));
    expect(await address(PoolID, '', GATEWAY)).toBe('fd90::1/64');
    expect(await address(PoolID)).toBe('fd90::2/64');
    await plugin.ok('IpamDriver.ReleaseAddress', { PoolID, Address: 'fd90:0:0:0::2' });
    expect(await address(PoolID, 'fd90::2')).toBe('fd90::2/64');
  });

  it('is there again after a restart', async () => {
    await address(id, '', GATEWAY);
    await address(id);
    plugin = await startPlugin({ store: plugin.store });
    expect(await address(id)).toBe('10.50.0.3/29');
  });
});

describe('the global address space', () => {
  const request = pool({ AddressSpace: 'SluiceGlobal', Pool: '10.77.0.0/24' });

  it('is of a manager that says everything again when it starts, and means the same', async () => {
    const { PoolID } = await plugin.ok('IpamDriver.RequestPool', request);
    const serial = { 'com.docker.network.ipam.serial': 'true' };
    expect(await address(PoolID, '10.77.0.1', { ...GATEWAY, ...serial })).toBe('10.77.0.1/24');
    expect(await address(PoolID, '', serial)).toBe('10.77.0.2/24');
    plugin = await startPlugin({ store: plugin.store });
    expect(await plugin.ok('IpamDriver.RequestPool', request)).toMatchObject({ PoolID });
    expect(await address(PoolID, '10.77.0.1', { ...GATEWAY, ...serial })).toBe('10.77.0.1/24');
    expect(await address(PoolID, '10.77.0.2', serial)).toBe('10.77.0.2/24');
    expect(await address(PoolID, '', serial)).toBe('10.77.0.3/24');
    await plugin.ok('IpamDriver.ReleasePool', { PoolID });
    expect(await plugin.store.list('pools/')).toEqual([]);
    expect(await plugin.store.list('leases/')).toEqual([]);
  });

  it('may have the same range as the local one, of which a node makes the network', async () => {
    await plugin.ok('IpamDriver.RequestPool', request);
    await plugin.ok('IpamDriver.RequestPool', pool({ Pool: '10.77.0.0/24' }));
    await plugin.ok('NetworkDriver.CreateNetwork', {
      ...network('ilmzd20mu6v7jgc2yw9r050bt'),
      IPv4Data: [{ AddressSpace: 'SluiceLocal', Pool: '10.77.0.0/24', Gateway: '10.77.0.1/24' }],
    });
  });
});
