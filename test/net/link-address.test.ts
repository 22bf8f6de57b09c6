// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinkInfo, Netlink } from '../../src/link/netlink.js';
import { bridge, ip, Lab } from './link-support.js';

describe('addresses, routes, neighbours and forwarding entries', () => {
  const lab = new Lab();
  let box: string;
  let inner: Netlink;
  let eth0: number;
  let host: string;
  let outer: Netlink;
  let port: LinkInfo;
  let br: LinkInfo;

  beforeAll(async () => {
    host = await lab.namespace('host');
    box = await lab.namespace('box');
    outer = await lab.netlink(host);
    inner = await lab.netlink(box);
    br = await outer.createBridge({ name: 'br0', mac: '02:42:0a:40:00:01' });
    const peer = { name: 'eth0', mac: '02:42:0a:40:00:02', mtu: 1500, netns: box };
    port = await outer.createVeth({ name: 'veth0', mtu: 1500, peer });
    eth0 = port.linkIndex;
    await outer.setLink(port.ifindex, { master: br.ifindex, up: true });
    await outer.setLink(br.ifindex, { up: true });
    await inner.setLink(eth0, { addrGenMode: 'none', up: true });
  });
  afterAll(() => lab.close());

  function seenAddresses(): unknown[] {
    return (ip(box, 'address', 'show', 'dev', 'eth0')[0]?.addr_info ?? []) as unknown[];
  }

  test('IPv4: prefix, broadcast and scope as ip gives them', async () => {
    await inner.addAddress(eth0, '10.64.0.2/24');
    expect(await inner.addresses(eth0)).toEqual([
      { ifindex: eth0, family: 4, address: '10.64.0.2', prefixLength: 24, scope: 'global' },
    ]);
    expect(seenAddresses()).toMatchObject([
      { family: 'inet', local: '10.64.0.2', prefixlen: 24, broadcast: '10.64.0.255', scope: 'global' },
    ]);
  });

  test('IPv6: at once, without duplicate detection', async () => {
    await inner.addAddress(eth0, 'fd00:64::2/64');
    const seen = seenAddresses().find((a) => (a as { family: string }).family === 'inet6');
    expect(seen).toMatchObject({ local: 'fd00:64::2', prefixlen: 64, scope: 'global', nodad: true });
    expect(seen).not.toHaveProperty('tentative');
    expect(await inner.addresses(eth0)).toContainEqual({
      ifindex: eth0,
      family: 6,
      address: 'fd00:64::2',
      prefixLength: 64,
      scope: 'global',
    });
  });

  test('all addresses of the namespace, loopback included', async () => {
    const all = (await inner.addresses()).map((a) => `${a.address}/${a.prefixLength} ${a.scope}`);
    expect(all).toContain('127.0.0.1/8 host');
    expect(all).toContain('::1/128 host');
    expect(all).toContain('10.64.0.2/24 global');
  });

  test('an address twice is EEXIST, on no device ENODEV, one that is not there EADDRNOTAVAIL', async () => {
    await expect(inner.addAddress(eth0, '10.64.0.2/24')).rejects.toMatchObject({
      code: 'EEXIST',
      syscall: 'RTM_NEWADDR',
    });
    await expect(inner.addAddress(4_000_000, '10.64.0.2/24')).rejects.toMatchObject({ code: 'ENODEV' });
    await expect(inner.deleteAddress(eth0, '10.64.0.3/24')).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  });

  test('default routes of both families', async () => {
    await inner.addRoute({ dst: null, gateway: '10.64.0.1', ifindex: eth0 });
    await inner.addRoute({ dst: null, gateway: 'fd00:64::1', ifindex: eth0 });
    const defaults = (await inner.routes()).filter((r) => r.dst === null && r.table === 254);
    expect(defaults).toContainEqual({
      family: 4,
      dst: null,
      gateway: '10.64.0.1',
      ifindex: eth0,
      table: 254,
      type: 'unicast',
      via: [eth0],
    });
    expect(defaults).toContainEqual({
      family: 6,
      dst: null,
      gateway: 'fd00:64::1',
      ifindex: eth0,
      table: 254,
      type: 'unicast',
      via: [eth0],
    });
    expect(ip(box, 'route', 'show', 'default')).toMatchObject([
      { dst: 'default', gateway: '10.64.0.1', dev: 'eth0' },
    ]);
    expect(ip(box, '-6', 'route', 'show', 'default')).toMatchObject([
      { dst: 'default', gateway: 'fd00:64::1', dev: 'eth0' },
    ]);
    await expect(inner.addRoute({ dst: null, gateway: '10.64.0.1', ifindex: eth0 })).rejects.toMatchObject({
      code: 'EEXIST',
    });
  });

  test('routes to a prefix, by gateway and by device', async () => {
    await inner.addRoute({ dst: '192.0.2.0/24', gateway: '10.64.0.1' });
    await inner.addRoute({ dst: '198.51.100.0/25', ifindex: eth0 });
    await inner.addRoute({ dst: '2001:db8::/32', gateway: 'fd00:64::1', ifindex: eth0 });
    const seen = [...ip(box, 'route'), ...ip(box, '-6', 'route')].map(
      (r) => `${r.dst} ${r.gateway ?? '-'} ${r.scope ?? ''}`,
    );
    expect(seen).toContain('192.0.2.0/24 10.64.0.1 global');
    expect(seen).toContain('198.51.100.0/25 - link');
    expect(seen.some((r) => r.startsWith('2001:db8::/32 fd00:64::1'))).toBe(true);
    const read = (await inner.routes()).map((r) => `${r.dst} ${r.gateway ?? '-'} ${r.type}`);
    expect(read).toContain('198.51.100.0/25 - unicast');
    expect(read).toContain('10.64.0.2/32 - local');
  });

  test('a gateway out of reach is ENETUNREACH with the kernel saying why', async () => {
    await expect(inner.addRoute({ dst: '203.0.113.0/24', gateway: '172.31.0.1' })).rejects.toMatchObject({
      code: 'ENETUNREACH',
      log: expect.stringMatching(/gateway/i),
    });
  });

  test('routes go; one that is not there is ESRCH', async () => {
    await inner.deleteRoute({ dst: '192.0.2.0/24', gateway: '10.64.0.1' });
    await inner.deleteRoute({ dst: '2001:db8::/32', gateway: 'fd00:64::1', ifindex: eth0 });
    await inner.deleteRoute({ dst: null, gateway: '10.64.0.1', ifindex: eth0 });
    await inner.deleteRoute({ dst: null, gateway: 'fd00:64::1', ifindex: eth0 });
    expect([...ip(box, 'route', 'show', 'default'), ...ip(box, '-6', 'route', 'show', 'default')]).toEqual(
      [],
    );
    await expect(inner.deleteRoute({ dst: '192.0.2.0/24' })).rejects.toMatchObject({ code: 'ESRCH' });
  });

  test('neighbours are permanent, and replaced when set again', async () => {
    await inner.setNeighbour(eth0, '10.64.0.9', '02:42:0a:40:00:09');
    await inner.setNeighbour(eth0, 'fd00:64::9', '02:42:0a:40:00:09');
    expect(ip(box, 'neigh', 'show', 'dev', 'eth0')).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ dst: '10.64.0.9', lladdr: '02:42:0a:40:00:09', state: ['PERMANENT'] }),
        expect.objectContaining({ dst: 'fd00:64::9', lladdr: '02:42:0a:40:00:09', state: ['PERMANENT'] }),
      ]),
    );
    await inner.setNeighbour(eth0, '10.64.0.9', '02:42:0a:40:00:99');
    expect(await inner.neighbours(eth0)).toContainEqual({
      ifindex: eth0,
      address: '10.64.0.9',
      mac: '02:42:0a:40:00:99',
      permanent: true,
    });
    await inner.deleteNeighbour(eth0, '10.64.0.9');
    await inner.deleteNeighbour(eth0, 'fd00:64::9');
    expect((await inner.neighbours(eth0)).filter((n) => n.permanent && n.address.endsWith('9'))).toEqual([]);
    await expect(inner.deleteNeighbour(eth0, '10.64.0.9')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('forwarding entries are static, apart from those of the ports themselves', async () => {
    const mac = '02:42:0a:40:00:02';
    await outer.setFdb(port.ifindex, mac);
    await outer.setFdb(port.ifindex, mac);
    expect(await outer.fdb(port.ifindex)).toContainEqual({ ifindex: port.ifindex, mac, static: true });
    expect(bridge(host, 'fdb', 'show', 'br', 'br0')).toContainEqual(
      expect.objectContaining({ mac, ifname: 'veth0', state: 'static', master: 'br0' }),
    );
    const own = (await outer.fdb()).find((f) => f.mac === port.mac);
    expect(own).toMatchObject({ ifindex: port.ifindex, static: false });
    await outer.deleteFdb(port.ifindex, mac);
    expect((await outer.fdb()).map((f) => f.mac)).not.toContain(mac);
    await expect(outer.deleteFdb(port.ifindex, mac)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(outer.setFdb(br.ifindex + 1000, mac)).rejects.toMatchObject({ code: 'ENODEV' });
  });

  test('addresses go', async () => {
    await inner.deleteAddress(eth0, '10.64.0.2/24');
    await inner.deleteAddress(eth0, 'fd00:64::2/64');
    expect(await inner.addresses(eth0)).toEqual([]);
    expect(seenAddresses()).toEqual([]);
  });
});
