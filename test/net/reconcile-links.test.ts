// SPDX-License-Identifier: Apache-2.0
/** Bridges, ports and their entries in a real kernel, checked with other people's tools. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/base/log.js';
import type { BridgeRow, PortRow } from '../../src/cnm/rows.js';
import { Announcer } from '../../src/link/announce.js';
import type { Netlink } from '../../src/link/netlink.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';
import { Announcements } from '../../src/reconcile/announcements.js';
import { Identity } from '../../src/reconcile/identity.js';
import { LinkTable } from '../../src/reconcile/links.js';
import { BridgeOps } from '../../src/reconcile/ops/bridge.js';
import { FdbOps } from '../../src/reconcile/ops/fdb.js';
import { NeighbourOps } from '../../src/reconcile/ops/neighbour.js';
import { NetnsOps } from '../../src/reconcile/ops/netns.js';
import { PortOps } from '../../src/reconcile/ops/port.js';
import { Tables } from '../../src/reconcile/tables.js';
import { until } from '../support/process.js';

const netns = new Netns(netNative());

let suffix: string;
let host: string;
let box: string;
let bpffs: string;
let netlink: Netlink;
let links: LinkTable;
let tables: Tables;
let identity: Identity;
let bridges: BridgeOps;
let ports: PortOps;
let spaces: NetnsOps;
let mtu: number;

function run(where: string, ...command: string[]): string {
  return execFileSync('nsenter', [`--net=${where}`, ...command], { encoding: 'utf8' });
}

// biome-ignore lint/suspicious/noExplicitAny: what other people's tools print
function json(where: string, ...command: string[]): any {
  return JSON.parse(run(where, ...command) || '[]');
}

beforeEach(async () => {
  suffix = randomBytes(4).toString('hex');
  host = `/run/netns/sluice-rec-${suffix}-h`;
  box = `/run/netns/sluice-rec-${suffix}-b`;
  bpffs = `/sys/fs/bpf/sluice-test-${suffix}`;
  mkdirSync(bpffs);
  await netns.createNetns(host);
  netlink = await netns.netlinkIn(host);
  links = new LinkTable(netlink);
  tables = new Tables();
  identity = new Identity(bpffs);
  mtu = 1400;
  const writeSysctl = (key: string, value: string) => netns.writeSysctlIn(host, key, value);
  const announcements = new Announcements(new Announcer(netNative()), silentLog());
  const guards = { put: async () => {} };
  const options = {
    guards,
    announcements,
    netlink,
    netns,
    links,
    tables,
    identity,
    mtu: () => mtu,
    writeSysctl,
  };
  bridges = new BridgeOps(options);
  ports = new PortOps(options);
  spaces = new NetnsOps(netns, identity);
  tables.replace({ kind: 'sandbox', id: 's' }, [{ kind: 'netns', path: box }]);
  await spaces.update({ kind: 'netns', path: box });
});

afterEach(async () => {
  netlink.close();
  await spaces.delete({ path: box });
  await netns.deleteNetns(host);
  for (const kind of ['netns', 'link']) {
    for (const name of identity.marked(kind as 'link')) identity.unmark(kind as 'link', name);
    try {
      rmdirSync(join(bpffs, kind));
    } catch {
      // was never made
    }
  }
  rmdirSync(bpffs);
});

function bridge(more: Partial<BridgeRow> = {}): BridgeRow {
  return {
    kind: 'bridge',
    link: 'slb1',
    mac: '02:00:00:00:00:01',
    mtu: null,
    addresses: ['10.64.0.1/24'],
    ...more,
  };
}

function port(more: Partial<PortRow> = {}): PortRow {
  return {
    kind: 'port',
    link: 'slv1',
    bridge: 'slb1',
    netns: box,
    interface: 'eth0',
    mac: '02:42:0a:40:00:02',
    mtu: null,
    addresses: ['10.64.0.2/24'],
    gateways: ['10.64.0.1'],
    ipv6: false,
    ...more,
  };
}

async function both(outer: BridgeRow = bridge(), inner: PortRow = port()): Promise<void> {
  await bridges.update(outer);
  await ports.update(inner);
  await ports.raise(inner);
  await bridges.raise(outer);
}

/**
 * The kernel gives a device its link-local address when it has seen that the
 * carrier is there, which its own worker tells it some time after both ends are
 * up. Nothing of ours waits for that.
 */
async function linkLocal(where: string, link: string): Promise<void> {
  const there = () => run(where, 'ip', '-6', 'addr', 'show', 'dev', link, 'scope', 'link') !== '';
  await until(there, `${link} has its link-local address`);
}

/** `DEVICE ADDRESS` of every IPv6 address but loopback's. */
function ipv6(where: string): string[] {
  const devices: Device[] = json(where, 'ip', '-j', '-6', 'addr', 'show');
  return devices.flatMap(({ ifname, addr_info }) =>
    ifname === 'lo' ? [] : addr_info.map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`),
  );
}

interface Device {
  ifname: string;
  addr_info: { local: string; prefixlen: number; tentative?: boolean }[];
}

describe('bridge', () => {
  it('is made as wanted, and read back so', async () => {
    await bridges.update(bridge());
    expect((await bridges.read()).holds(bridge())).toBe(false);
    await bridges.raise(bridge());
    expect((await bridges.read()).holds(bridge())).toBe(true);
    const [link] = json(host, 'ip', '-j', '-d', 'addr', 'show', 'slb1');
    expect(link).toMatchObject({
      address: '02:00:00:00:00:01',
      mtu: 1400,
      ifalias: `sluice:${identity.instance}:bridge:slb1`,
    });
    expect(link.flags).toContain('UP');
    expect(link.addr_info.map((a: { local: string }) => a.local)).toEqual(['10.64.0.1']);
    expect(
      run(host, 'sysctl', '-n', 'net.ipv4.conf.slb1.forwarding', 'net.ipv6.conf.slb1.disable_ipv6'),
    ).toBe('1\n1\n');
    expect(run(host, 'sysctl', '-n', 'net.ipv4.conf.all.forwarding', 'net.ipv4.conf.lo.forwarding')).toBe(
      '0\n0\n',
    );
  });

  it('is brought back to what it should be', async () => {
    await both();
    run(host, 'ip', 'addr', 'add', '10.9.9.9/24', 'dev', 'slb1');
    run(host, 'ip', 'link', 'set', 'slb1', 'mtu', '1300', 'down');
    expect((await bridges.read()).holds(bridge())).toBe(false);
    await bridges.update(bridge());
    await bridges.raise(bridge());
    expect((await bridges.read()).holds(bridge())).toBe(true);
    mtu = 1280;
    expect((await bridges.read()).holds(bridge())).toBe(false);
  });

  it('that somebody else made is a conflict, and is left alone', async () => {
    run(host, 'ip', 'link', 'add', 'slb1', 'type', 'bridge');
    await expect(bridges.update(bridge())).rejects.toMatchObject({ code: 'conflict' });
    await bridges.delete(bridge());
    expect((await bridges.read()).strays(() => false)).toEqual([]);
    expect(json(host, 'ip', '-j', 'link', 'show', 'slb1')).toHaveLength(1);
  });

  it('goes when nobody wants it, even if its maker died before it had a name of ours on it', async () => {
    identity.mark('link', 'slb1');
    run(host, 'ip', 'link', 'add', 'slb1', 'type', 'bridge');
    const strays = (await bridges.read()).strays(() => false);
    expect(strays.map((s) => s.what)).toEqual(['bridge slb1']);
    await strays[0]?.remove();
    expect(run(host, 'ip', '-br', 'link', 'show', 'type', 'bridge')).toBe('');
    expect(identity.marked('link')).toEqual([]);
  });
});

describe('port', () => {
  it('joins bridge and sandbox with everything in place', async () => {
    await both();
    expect((await ports.read()).holds(port())).toBe(false);
    tables.replace({ kind: 'endpoint', id: 'e' }, [port()]);
    expect((await ports.read()).holds(port())).toBe(true);
    const [outer] = json(host, 'ip', '-j', '-d', 'link', 'show', 'slv1');
    expect(outer).toMatchObject({ master: 'slb1', mtu: 1400 });
    expect(outer.linkinfo.info_slave_data).toMatchObject({
      learning: false,
      flood: false,
      mcast_flood: false,
      bcast_flood: false,
    });
    const [inner] = json(box, 'ip', '-j', 'addr', 'show', 'eth0');
    expect(inner).toMatchObject({ address: '02:42:0a:40:00:02', mtu: 1400, operstate: 'UP' });
    expect(inner.addr_info).toHaveLength(1);
    expect(inner.addr_info[0]).toMatchObject({ local: '10.64.0.2', prefixlen: 24 });
    expect(json(box, 'ip', '-j', 'route', 'show', 'default')).toMatchObject([
      { gateway: '10.64.0.1', dev: 'eth0' },
    ]);
    expect(run(box, 'sysctl', '-n', 'net.ipv6.conf.eth0.disable_ipv6', 'net.ipv4.conf.eth0.rp_filter')).toBe(
      '1\n2\n',
    );
    expect(run(host, 'sysctl', '-n', 'net.ipv6.conf.slv1.disable_ipv6')).toBe('1\n');
    for (const where of [host, box]) {
      expect(ipv6(where)).toEqual([]);
    }
    // The ports do not flood: the way back is an entry's business.
    await new FdbOps(netlink, links, tables).update({ kind: 'fdb', link: 'slv1', mac: '02:42:0a:40:00:02' });
    run(box, 'ping', '-c1', '-W2', '10.64.0.1');
  });

  it('is the same in a namespace that was there before', async () => {
    const other = `${box}-other`;
    await netns.createNetns(other);
    try {
      await bridges.update(bridge());
      await ports.update(port({ netns: other }));
      expect(
        run(other, 'sysctl', '-n', 'net.ipv6.conf.eth0.disable_ipv6', 'net.ipv4.conf.eth0.rp_filter'),
      ).toBe('1\n2\n');
    } finally {
      await netns.deleteNetns(other);
    }
  });

  it('is made again when it was taken away, and follows its row', async () => {
    await both();
    run(box, 'ip', 'link', 'del', 'eth0');
    await links.refresh();
    expect(links.byName('slv1')).toBeUndefined();
    await ports.update(port());
    const changed = port({ addresses: ['10.64.0.3/24'], gateways: [] });
    await ports.update(changed);
    await ports.raise(changed);
    tables.replace({ kind: 'endpoint', id: 'e' }, [changed]);
    expect((await ports.read()).holds(changed)).toBe(true);
    expect(json(box, 'ip', '-j', 'route', 'show', 'default')).toEqual([]);
    run(box, 'ip', 'link', 'set', 'eth0', 'down');
    expect((await ports.read()).holds(changed)).toBe(false);
    await ports.update(changed);
    expect((await ports.read()).holds(changed)).toBe(true);
  });

  it('is deleted once and twice, and pruned', async () => {
    await both();
    await ports.delete(port());
    await ports.delete(port());
    expect(json(box, 'ip', '-j', 'link')).toHaveLength(1);
    await ports.update(port());
    const strays = (await ports.read()).strays(() => false);
    expect(strays.map((s) => s.what)).toEqual(['veth slv1']);
    await strays[0]?.remove();
    expect((await ports.read()).strays(() => false)).toEqual([]);
  });

  it('does not touch a veth of others', async () => {
    run(host, 'ip', 'link', 'add', 'slv1', 'type', 'veth', 'peer', 'name', 'x');
    await bridges.update(bridge());
    await expect(ports.update(port())).rejects.toMatchObject({ code: 'conflict' });
    await ports.delete(port());
    expect((await ports.read()).strays(() => false)).toEqual([]);
    expect(json(host, 'ip', '-j', 'link', 'show', 'slv1')).toHaveLength(1);
  });
});

describe('IPv6', () => {
  const bridge6 = (more: Partial<BridgeRow> = {}) =>
    bridge({ addresses: ['10.64.0.1/24', 'fd00:64::1/64'], ...more });
  const port6 = (more: Partial<PortRow> = {}) =>
    port({
      addresses: ['10.64.0.2/24', 'fd00:64::2/64'],
      gateways: ['10.64.0.1', 'fd00:64::1'],
      ipv6: true,
      ...more,
    });
  const others = () =>
    run(host, 'sysctl', '-a')
      .split('\n')
      .filter((line) => line.startsWith('net.ipv6.conf.') && !/\.(slb|slv)/.test(line));

  it('is there at once on both sides, and only on our devices', async () => {
    const before = others();
    await both(bridge6(), port6());
    tables.replace({ kind: 'endpoint', id: 'e' }, [port6()]);
    expect((await bridges.read()).holds(bridge6())).toBe(true);
    expect((await ports.read()).holds(port6())).toBe(true);
    expect(ipv6(host)).toEqual(['slb1 fd00:64::1/64']);
    await linkLocal(box, 'eth0');
    // The link-local address is by the MAC.
    expect(ipv6(box)).toEqual(['eth0 fd00:64::2/64', 'eth0 fe80::42:aff:fe40:2/64']);
    for (const where of [host, box]) expect(run(where, 'ip', '-6', 'addr', 'show', 'tentative')).toBe('');
    const settings = (where: string, link: string, ...keys: string[]) =>
      keys.map((key) => run(where, 'sysctl', '-n', `net.ipv6.conf.${link}.${key}`).trim()).join();
    expect(settings(host, 'slb1', 'forwarding', 'accept_ra', 'autoconf', 'disable_ipv6')).toBe('1,0,0,0');
    expect(settings(host, 'slv1', 'disable_ipv6')).toBe('1');
    expect(settings(box, 'eth0', 'accept_ra', 'autoconf', 'accept_dad', 'forwarding')).toBe('0,0,0,0');
    expect(json(box, 'ip', '-j', '-6', 'route', 'show', 'default')).toMatchObject([
      { gateway: 'fd00:64::1', dev: 'eth0' },
    ]);
    expect(others()).toEqual(before);
    await new FdbOps(netlink, links, tables).update({ kind: 'fdb', link: 'slv1', mac: '02:42:0a:40:00:02' });
    await new NeighbourOps(netlink, links, tables).update({
      kind: 'neighbour',
      link: 'slb1',
      address: 'fd00:64::2',
      mac: '02:42:0a:40:00:02',
    });
    run(box, 'ping', '-6', '-c1', '-W2', 'fd00:64::1');
  });

  it('is the same in a namespace that was there before, whose defaults stay', async () => {
    const other = `${box}-other`;
    await netns.createNetns(other);
    try {
      await both(bridge6(), port6({ netns: other }));
      await linkLocal(other, 'eth0');
      expect(ipv6(other)).toEqual(['eth0 fd00:64::2/64', 'eth0 fe80::42:aff:fe40:2/64']);
      expect(
        run(other, 'sysctl', '-n', 'net.ipv6.conf.default.accept_ra', 'net.ipv6.conf.all.accept_dad'),
      ).toBe('1\n0\n');
    } finally {
      await netns.deleteNetns(other);
    }
  });

  it('is brought back, with forwarding', async () => {
    await both(bridge6(), port6());
    tables.replace({ kind: 'endpoint', id: 'e' }, [port6()]);
    // As somebody does who switches it off for the whole namespace.
    run(host, 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
    run(host, 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=0');
    expect((await bridges.read()).holds(bridge6())).toBe(false);
    run(host, 'ip', 'link', 'set', 'slb1', 'down');
    run(box, 'ip', 'link', 'set', 'eth0', 'down');
    expect(ipv6(host)).toEqual([]);
    expect((await ports.read()).holds(port6())).toBe(false);
    await both(bridge6(), port6());
    expect((await bridges.read()).holds(bridge6())).toBe(true);
    expect((await ports.read()).holds(port6())).toBe(true);
    expect(run(host, 'sysctl', '-n', 'net.ipv6.conf.slb1.forwarding')).toBe('1\n');
  });

  it('needs an MTU of 1280; without it less will do', async () => {
    mtu = 1279;
    await expect(bridges.update(bridge6())).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('MTU of 1279'),
    });
    mtu = 68;
    await both();
    tables.replace({ kind: 'endpoint', id: 'e' }, [port()]);
    expect((await bridges.read()).holds(bridge())).toBe(true);
    expect((await ports.read()).holds(port())).toBe(true);
    // The kernel makes IPv6 anew when there is room for it.
    mtu = 1500;
    await both();
    expect([...ipv6(host), ...ipv6(box)]).toEqual([]);
  });

  it('has permanent neighbour entries, which are found unwanted', async () => {
    await both(bridge6(), port6());
    const neighbours = new NeighbourOps(netlink, links, tables);
    const row = {
      kind: 'neighbour',
      link: 'slb1',
      address: 'fd00:64::2',
      mac: '02:42:0a:40:00:02',
    } as const;
    await neighbours.update(row);
    expect((await neighbours.read()).holds(row)).toBe(true);
    expect(json(host, 'ip', '-j', '-6', 'neigh', 'show', 'dev', 'slb1')).toMatchObject([
      { dst: 'fd00:64::2', lladdr: row.mac, state: ['PERMANENT'] },
    ]);
    tables.replace({ kind: 'network', id: 'n' }, [bridge6()]);
    const strays = (await neighbours.read()).strays(() => false);
    expect(strays.map(({ what }) => what)).toEqual(['neighbour fd00:64::2 on slb1']);
    await strays[0]?.remove();
    expect((await neighbours.read()).strays(() => false)).toEqual([]);
  });
});

describe('a host that learned its default route from a router', () => {
  let router: string;
  const SEND = `
import logging, sys
logging.getLogger('scapy.runtime').setLevel(logging.ERROR)
from scapy.all import *
mac = get_if_hwaddr('up1')
ra = IPv6(src=sys.argv[1], dst='ff02::1', hlim=255) / ICMPv6ND_RA(routerlifetime=1800, prf=1)
sendp(Ether(src=mac, dst='33:33:00:00:00:01') / ra / ICMPv6NDOptSrcLLAddr(lladdr=mac), iface='up1', verbose=0)
`;

  interface Route {
    gateway: string;
    dev: string;
    metric: number;
    protocol: string;
    pref: string;
    expires?: number;
  }
  const defaults = (): Route[] => json(host, 'ip', '-j', '-6', 'route', 'show', 'default');

  async function advertise(): Promise<void> {
    run(router, '/usr/bin/python3', '-c', SEND, 'fe80::99');
    const end = Date.now() + 20_000;
    while (!defaults().some(({ metric }) => metric === 1024)) {
      if (Date.now() > end) throw new Error('the kernel did not take the advertisement');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  beforeEach(async () => {
    router = `${host}-router`;
    await netns.createNetns(router);
    run(host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1', 'netns', router.slice(11));
    run(host, 'sysctl', '-qw', 'net.ipv6.conf.up0.accept_ra=1', 'net.ipv6.conf.up0.accept_dad=0');
    run(router, 'sysctl', '-qw', 'net.ipv6.conf.up1.accept_dad=0');
    run(host, 'ip', 'link', 'set', 'up0', 'up');
    run(router, 'ip', 'link', 'set', 'up1', 'up');
    await advertise();
  });
  afterEach(() => netns.deleteNetns(router));

  it('keeps a way out when a bridge begins to forward, and gets the route back', async () => {
    const [learned] = defaults();
    expect(learned).toMatchObject({ gateway: 'fe80::99', dev: 'up0', metric: 1024, protocol: 'ra' });
    const row = bridge({ addresses: ['10.64.0.1/24', 'fd00:64::1/64'] });
    await bridges.update(row);
    const [standIn, ...rest] = defaults();
    expect(rest).toEqual([]);
    expect(standIn).toMatchObject({ ...learned, metric: 1025, expires: expect.any(Number) });
    expect(standIn?.expires).toBeGreaterThan(1700);
    expect(standIn?.expires).toBeLessThanOrEqual(1800);
    // A second one leaves it at that, and neither purges when brought about again.
    await bridges.update(row);
    await bridges.update({ ...row, link: 'slb2', mac: '02:00:00:00:00:02', addresses: ['fd00:65::1/64'] });
    expect(defaults().map(({ metric }) => metric)).toEqual([1025]);
    await advertise();
    expect(defaults().map(({ metric }) => metric)).toEqual([1024, 1025]);
    await bridges.update(row);
    expect(defaults().map(({ metric }) => metric)).toEqual([1024, 1025]);
  });

  it('keeps it as it is on a network without IPv6', async () => {
    const before = defaults().map(({ gateway, metric }) => ({ gateway, metric }));
    await both();
    expect(defaults().map(({ gateway, metric }) => ({ gateway, metric }))).toEqual(before);
  });
});

describe('entries', () => {
  it('are set, read back, found unwanted and removed', async () => {
    await both();
    const neighbours = new NeighbourOps(netlink, links, tables);
    const fdb = new FdbOps(netlink, links, tables);
    const neighbour = {
      kind: 'neighbour',
      link: 'slb1',
      address: '10.64.0.2',
      mac: '02:42:0a:40:00:02',
    } as const;
    const entry = { kind: 'fdb', link: 'slv1', mac: '02:42:0a:40:00:02' } as const;
    await neighbours.update(neighbour);
    await fdb.update(entry);
    expect((await neighbours.read()).holds(neighbour)).toBe(true);
    expect((await fdb.read()).holds(entry)).toBe(true);
    expect(json(host, 'ip', '-j', 'neigh', 'show', 'dev', 'slb1')).toMatchObject([
      { dst: '10.64.0.2', state: ['PERMANENT'] },
    ]);
    expect(
      json(host, 'bridge', '-j', 'fdb', 'show', 'dev', 'slv1').filter(
        (f: { mac: string }) => f.mac === entry.mac,
      ),
    ).toMatchObject([{ state: 'static', master: 'slb1' }]);

    tables.replace({ kind: 'network', id: 'n' }, [bridge()]);
    tables.replace({ kind: 'endpoint', id: 'e' }, [port()]);
    const strays = [
      ...(await neighbours.read()).strays(() => false),
      ...(await fdb.read()).strays(() => false),
    ];
    expect(strays).toHaveLength(2);
    for (const stray of strays) await stray.remove();
    expect((await neighbours.read()).holds(neighbour)).toBe(false);
    expect((await fdb.read()).holds(entry)).toBe(false);
    await neighbours.delete(neighbour);
    await fdb.delete(entry);
  });
});
