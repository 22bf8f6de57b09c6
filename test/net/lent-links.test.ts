// SPDX-License-Identifier: Apache-2.0
/** Links of which somebody else takes an end, in a real kernel. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/base/log.js';
import type { LentMacvlanRow, LentPortRow } from '../../src/cnm/rows.js';
import { Announcer } from '../../src/link/announce.js';
import type { Netlink } from '../../src/link/netlink.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';
import { Announcements } from '../../src/reconcile/announcements.js';
import { Identity } from '../../src/reconcile/identity.js';
import { LinkTable } from '../../src/reconcile/links.js';
import { BridgeOps } from '../../src/reconcile/ops/bridge.js';
import { LentMacvlanOps } from '../../src/reconcile/ops/lent-macvlan.js';
import { LentPortOps } from '../../src/reconcile/ops/lent-port.js';
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
let own: PortOps;
let ports: LentPortOps;
let macvlans: LentMacvlanOps;
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
  host = `/run/netns/sluice-lent-${suffix}-h`;
  box = `/run/netns/sluice-lent-${suffix}-b`;
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
  own = new PortOps(options);
  ports = new LentPortOps(options);
  macvlans = new LentMacvlanOps(options);
  spaces = new NetnsOps(netns, identity);
  tables.replace({ kind: 'sandbox', id: 's' }, [{ kind: 'netns', path: box }]);
  await spaces.update({ kind: 'netns', path: box });
  await bridges.update({ kind: 'bridge', link: 'slb1', mac: '02:00:00:00:00:01', mtu: null, addresses: [] });
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

function port(more: Partial<LentPortRow> = {}): LentPortRow {
  return {
    kind: 'lent-port',
    link: 'slv1',
    bridge: 'slb1',
    peer: 'slp1',
    mac: '02:42:0a:40:00:02',
    mtu: null,
    make: true,
    ...more,
  };
}

const KEPT = port({ make: false });
const names = (): string[] => json(host, 'ip', '-j', 'link').map((l: { ifname: string }) => l.ifname);
/** As Docker does, who sets up what it took. */
const take = (): void => {
  run(host, 'ip', 'link', 'set', 'slp1', 'netns', box, 'name', 'eth0');
  run(box, 'ip', 'link', 'set', 'eth0', 'address', '02:42:0a:40:00:02', 'mtu', '1300', 'up');
};

describe('a lent port', () => {
  it('is a pair in the host’s namespace, with our end on the bridge', async () => {
    await ports.update(port());
    await ports.raise(port());
    const [outer] = json(host, 'ip', '-j', '-d', 'link', 'show', 'slv1');
    expect(outer).toMatchObject({ master: 'slb1', mtu: 1400, link: 'slp1' });
    expect(outer.linkinfo.info_slave_data).toMatchObject({
      learning: false,
      flood: false,
      mcast_flood: false,
    });
    const [peer] = json(host, 'ip', '-j', 'link', 'show', 'slp1');
    expect(peer).toMatchObject({ address: '02:42:0a:40:00:02', mtu: 1400 });
    expect(peer.flags).not.toContain('UP');
    expect(identity.owns({ name: 'slp1', alias: peer.ifalias })).toBe(true);
    tables.replace({ kind: 'endpoint', id: 'e' }, [port()]);
    expect((await ports.read()).holds(port())).toBe(true);
    expect((await own.read()).strays(() => false)).toEqual([]);
  });

  it('is left alone wherever the other end is, and whatever became of it', async () => {
    await ports.update(port());
    await ports.raise(port());
    take();
    expect((await ports.read()).holds(KEPT)).toBe(true);
    mtu = 1200;
    await ports.update(KEPT);
    expect((await ports.read()).holds(KEPT)).toBe(true);
    expect(json(host, 'ip', '-j', 'link', 'show', 'slv1')[0].mtu).toBe(1400);
    expect(json(box, 'ip', '-j', 'link', 'show', 'eth0')[0]).toMatchObject({ mtu: 1300 });
    run(host, 'ip', 'link', 'set', 'slv1', 'nomaster', 'down');
    expect((await ports.read()).holds(KEPT)).toBe(false);
    await ports.update(KEPT);
    await ports.raise(KEPT);
    expect((await ports.read()).holds(KEPT)).toBe(true);
  });

  it('that is lost is not made again', async () => {
    await ports.update(port());
    take();
    run(box, 'ip', 'link', 'del', 'eth0');
    await links.refresh();
    await expect(ports.update(KEPT)).rejects.toThrow(/its pair slv1 is gone, with the container/);
    expect(names()).not.toContain('slv1');
    await ports.update(port());
    expect(names()).toContain('slp1');
  });

  it('goes with both ends, and is found when nobody wants it, alias or not', async () => {
    await ports.update(port());
    take();
    await ports.delete(port());
    expect(names()).toEqual(['lo', 'slb1']);
    expect(json(box, 'ip', '-j', 'link')).toHaveLength(1);
    await ports.delete(port());
    await ports.update(port());
    for (const { remove } of (await ports.read()).strays(() => false)) await remove();
    expect(names()).toEqual(['lo', 'slb1']);

    identity.mark('link', 'slv1');
    run(host, 'ip', 'link', 'add', 'slv1', 'type', 'veth', 'peer', 'name', 'slp1');
    const strays = (await own.read()).strays(() => false);
    expect(strays.map(({ what }) => what)).toEqual(['veth slv1']);
    for (const { remove } of strays) await remove();
    expect(names()).toEqual(['lo', 'slb1']);
  });

  it('does not take a link of somebody else’s', async () => {
    run(host, 'ip', 'link', 'add', 'slv1', 'type', 'veth', 'peer', 'name', 'other');
    await expect(ports.update(port())).rejects.toMatchObject({ code: 'conflict' });
    await ports.delete(port());
    expect(names()).toContain('slv1');
  });
});

describe('a lent macvlan link', () => {
  const row = (more: Partial<LentMacvlanRow> = {}): LentMacvlanRow => ({
    kind: 'lent-macvlan',
    link: 'slp1',
    parent: 'up0',
    mode: 'bridge',
    mac: '02:42:0a:40:00:02',
    mtu: null,
    make: true,
    ...more,
  });

  it('is made, taken away, left alone, and removed when it comes back', async () => {
    run(host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'far');
    run(host, 'ip', 'link', 'set', 'up0', 'up');
    await links.refresh();
    await macvlans.update(row());
    await macvlans.update(row());
    expect((await macvlans.read()).holds(row())).toBe(true);
    expect(json(host, 'ip', '-j', '-d', 'link', 'show', 'slp1')[0]).toMatchObject({
      address: '02:42:0a:40:00:02',
      linkinfo: { info_kind: 'macvlan', info_data: { mode: 'bridge' } },
    });
    take();
    const kept = row({ make: false });
    expect((await macvlans.read()).holds(kept)).toBe(true);
    await macvlans.update(kept);
    expect(names()).not.toContain('slp1');
    run(box, 'ip', 'link', 'set', 'eth0', 'down');
    run(box, 'ip', 'link', 'set', 'eth0', 'netns', host, 'name', 'slp1');
    await macvlans.delete(kept);
    expect(names()).not.toContain('slp1');
    await macvlans.update(row());
    for (const { remove } of (await macvlans.read()).strays(() => false)) await remove();
    expect(names()).not.toContain('slp1');
  });
});
