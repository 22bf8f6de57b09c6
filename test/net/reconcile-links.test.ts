// SPDX-License-Identifier: Apache-2.0
/** Bridges, ports and their entries in a real kernel, checked with other people's tools. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BridgeRow, PortRow } from '../../src/cnm/rows.js';
import type { Netlink } from '../../src/link/netlink.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';
import { Identity } from '../../src/reconcile/identity.js';
import { LinkTable } from '../../src/reconcile/links.js';
import { BridgeOps } from '../../src/reconcile/ops/bridge.js';
import { FdbOps } from '../../src/reconcile/ops/fdb.js';
import { NeighbourOps } from '../../src/reconcile/ops/neighbour.js';
import { NetnsOps } from '../../src/reconcile/ops/netns.js';
import { PortOps } from '../../src/reconcile/ops/port.js';
import { Tables } from '../../src/reconcile/tables.js';

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
  const options = { netlink, netns, links, tables, identity, mtu: () => mtu, writeSysctl };
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

async function both(): Promise<void> {
  await bridges.update(bridge());
  await ports.update(port());
  await ports.raise(port());
  await bridges.raise(bridge());
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
    expect(outer).toMatchObject({ master: 'slb1', mtu: 1400, inet6_addr_gen_mode: 'none' });
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
