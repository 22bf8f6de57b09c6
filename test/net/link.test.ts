// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isNativeError } from '../../src/base/errors.js';
import { followEvents, type NetEvent } from '../../src/link/events.js';
import type { Netlink } from '../../src/link/netlink.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';

const native = netNative();
const netns = new Netns(native);
const MAC = '02:42:0a:40:00:02';

let host: string;
let inner: string;
let netlink: Netlink;

/** The kernel's state by somebody else's tool. */
function inNetns<T>(path: string, ...command: string[]): T {
  return JSON.parse(
    execFileSync('nsenter', [`--net=${path}`, ...command], { encoding: 'utf8' }) || '[]',
  ) as T;
}

async function rejection(promise: Promise<unknown>): Promise<{ code: string; syscall: string; log: string }> {
  const e = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isNativeError(e)) throw new Error(`expected a native error, got ${String(e)}`);
  return e;
}

beforeEach(async () => {
  const suffix = randomBytes(4).toString('hex');
  host = `/run/netns/sluice-link-${suffix}-a`;
  inner = `/run/netns/sluice-link-${suffix}-b`;
  await netns.createNetns(host);
  await netns.createNetns(inner);
  netlink = await netns.netlinkIn(host);
});

afterEach(async () => {
  netlink.close();
  await netns.deleteNetns(host);
  await netns.deleteNetns(inner);
});

describe('namespaces', () => {
  it('makes one with its loopback up, which ip-netns sees', () => {
    const name = host.split('/').at(-1);
    const listed = JSON.parse(execFileSync('ip', ['-j', 'netns'], { encoding: 'utf8' })) as {
      name: string;
    }[];
    expect(listed.map((n) => n.name)).toContain(name);
    const [lo] = inNetns<{ flags: string[] }[]>(host, 'ip', '-j', 'link', 'show', 'lo');
    expect(lo?.flags).toContain('UP');
  });

  it('refuses to make one where a file is', async () => {
    expect(await rejection(netns.createNetns(host))).toMatchObject({ code: 'EEXIST' });
  });

  it('tells a network namespace from other files', async () => {
    expect(await netns.isNetns(host)).toBe(true);
    expect(await netns.isNetns('/etc/passwd')).toBe(false);
    expect(await netns.isNetns('/proc/self/ns/mnt')).toBe(false);
    expect(await netns.isNetns('/nonexistent')).toBe(false);
    const [a, b] = [await netns.info(host), await netns.info(inner)];
    expect(a?.cookie).not.toBe(b?.cookie);
    expect(a?.inode).not.toBe(b?.inode);
  });

  it('reads and writes a sysctl inside, and is back outside afterwards', async () => {
    const key = 'net/ipv4/conf/lo/rp_filter';
    const outside = execFileSync('cat', [`/proc/sys/${key}`], { encoding: 'utf8' }).trim();
    await netns.writeSysctlIn(inner, key, outside === '2' ? '1' : '2');
    expect(await netns.readSysctlIn(inner, key)).toBe(outside === '2' ? '1' : '2');
    expect(execFileSync('cat', [`/proc/sys/${key}`], { encoding: 'utf8' }).trim()).toBe(outside);
    expect(await rejection(netns.writeSysctlIn(inner, 'net/ipv4/nothing', '1'))).toMatchObject({
      code: 'ENOENT',
    });
  });

  it('leaves no descriptor open', async () => {
    const count = () => readdirSync('/proc/self/fd').length;
    await netns.info(host);
    const before = count();
    for (let i = 0; i < 20; i++) {
      const other = await netns.netlinkIn(inner);
      await other.links();
      other.close();
      await netns.info(inner);
    }
    expect(count()).toBe(before);
  });
});

describe('links', () => {
  it('makes a bridge with the MAC and the settings asked for', async () => {
    const made = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01', mtu: 1400 });
    await netlink.setLink(made.ifindex, { up: true, forwarding4: true, alias: 'sluice:x' });
    const [bridge] = inNetns<Record<string, never>[]>(host, 'ip', '-j', '-d', 'link', 'show', 'slb0');
    expect(bridge).toMatchObject({
      ifindex: made.ifindex,
      address: '02:00:00:00:00:01',
      mtu: 1400,
      ifalias: 'sluice:x',
      linkinfo: { info_kind: 'bridge', info_data: { stp_state: 0, mcast_snooping: 0, forward_delay: 0 } },
    });
    expect(await netns.readSysctlIn(host, 'net/ipv4/conf/slb0/forwarding')).toBe('1');
    expect(await netns.readSysctlIn(host, 'net/ipv4/conf/all/forwarding')).toBe('0');
  });

  it('makes a veth pair across two namespaces in one request', async () => {
    const bridge = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' });
    const veth = await netlink.createVeth({
      name: 'slv0',
      mtu: 1400,
      peer: { name: 'eth0', mac: MAC, mtu: 1400, netns: inner },
    });
    const port = { learning: false, flood: false, mcastFlood: false, bcastFlood: false };
    await netlink.setLink(veth.ifindex, { master: bridge.ifindex, up: true, alias: 'a', bridgePort: port });
    expect(await netlink.linkByName('slv0')).toMatchObject({
      kind: 'veth',
      master: bridge.ifindex,
      up: true,
      mtu: 1400,
    });
    const [peer] = inNetns<Record<string, never>[]>(inner, 'ip', '-j', 'link', 'show', 'eth0');
    expect(peer).toMatchObject({ address: MAC, mtu: 1400 });
    const [flags] = inNetns<Record<string, never>[]>(
      host,
      'bridge',
      '-j',
      '-d',
      'link',
      'show',
      'dev',
      'slv0',
    );
    expect(flags).toMatchObject({ learning: false, flood: false, mcast_flood: false, bcast_flood: false });
  });

  it('says what the kernel refused, by errno', async () => {
    const bridge = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' });
    expect(await rejection(netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' }))).toMatchObject({
      code: 'EEXIST',
      syscall: 'RTM_NEWLINK',
    });
    expect(await rejection(netlink.deleteLink(99999))).toMatchObject({ code: 'ENODEV' });
    expect(await rejection(netlink.addAddress(99999, '10.1.1.1/24'))).toMatchObject({ code: 'ENODEV' });
    const mtu = await rejection(netlink.setLink(bridge.ifindex, { mtu: 1 }));
    expect(mtu).toMatchObject({ code: 'EINVAL' });
    expect(mtu.log).toContain('mtu');
    expect(await netlink.linkByName('nothing')).toBeUndefined();
  });

  it('makes 100 veth pairs asked for at once', async () => {
    const bridge = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' });
    const made = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const peer = {
          name: `p${i}`,
          mac: `02:00:00:00:01:${(i + 16).toString(16)}`,
          mtu: 1500,
          netns: inner,
        };
        const veth = await netlink.createVeth({ name: `v${i}`, mtu: 1500, peer });
        await netlink.setLink(veth.ifindex, { master: bridge.ifindex, up: true });
        return veth;
      }),
    );
    expect(new Set(made.map((v) => v.ifindex)).size).toBe(100);
    const links = await netlink.links();
    expect(links.filter((x) => x.master === bridge.ifindex && x.up)).toHaveLength(100);
    expect(inNetns<unknown[]>(inner, 'ip', '-j', 'link')).toHaveLength(101);
  });
});

describe('addresses, routes, neighbours, forwarding entries', () => {
  it('puts them where ip and bridge find them, and takes them away', async () => {
    const bridge = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' });
    const veth = await netlink.createVeth({
      name: 'slv0',
      mtu: 1500,
      peer: { name: 'eth0', mac: MAC, mtu: 1500, netns: inner },
    });
    await netlink.setLink(veth.ifindex, { master: bridge.ifindex, up: true });
    await netlink.addAddress(bridge.ifindex, '10.64.0.1/24');
    await netlink.addAddress(bridge.ifindex, 'fd00:64::1/64');
    await netlink.setLink(bridge.ifindex, { up: true });
    await netlink.setNeighbour(bridge.ifindex, '10.64.0.2', MAC);
    await netlink.setFdb(veth.ifindex, MAC);
    const inside = await netns.netlinkIn(inner);
    const eth0 = await inside.linkByName('eth0');
    if (!eth0) throw new Error('no eth0');
    await inside.addAddress(eth0.ifindex, '10.64.0.2/24');
    await inside.setLink(eth0.ifindex, { up: true });
    await inside.addRoute({ dst: null, gateway: '10.64.0.1' });

    const [address] = inNetns<{ addr_info: unknown[] }[]>(host, 'ip', '-j', 'addr', 'show', 'slb0');
    expect(address?.addr_info).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ local: '10.64.0.1', prefixlen: 24, broadcast: '10.64.0.255' }),
        expect.objectContaining({ local: 'fd00:64::1', prefixlen: 64 }),
      ]),
    );
    expect(inNetns(inner, 'ip', '-j', 'route', 'show', 'default')).toMatchObject([
      { gateway: '10.64.0.1', dev: 'eth0' },
    ]);
    expect(inNetns(host, 'ip', '-j', 'neigh', 'show', '10.64.0.2')).toMatchObject([
      { lladdr: MAC, state: ['PERMANENT'] },
    ]);
    expect(inNetns(host, 'bridge', '-j', 'fdb', 'show', 'dev', 'slv0')).toEqual(
      expect.arrayContaining([expect.objectContaining({ mac: MAC, state: 'static' })]),
    );
    expect(await netlink.addresses(bridge.ifindex)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ address: '10.64.0.1', prefixLength: 24, scope: 'global' }),
      ]),
    );
    expect(await inside.routes()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ dst: null, gateway: '10.64.0.1', family: 4, type: 'unicast' }),
      ]),
    );
    expect(await netlink.neighbours(bridge.ifindex)).toContainEqual({
      ifindex: bridge.ifindex,
      address: '10.64.0.2',
      mac: MAC,
      permanent: true,
    });
    expect(await netlink.fdb(veth.ifindex)).toContainEqual({ ifindex: veth.ifindex, mac: MAC, static: true });

    await netlink.deleteFdb(veth.ifindex, MAC);
    await netlink.deleteNeighbour(bridge.ifindex, '10.64.0.2');
    await netlink.deleteAddress(bridge.ifindex, '10.64.0.1/24');
    await inside.deleteRoute({ dst: null, gateway: '10.64.0.1' });
    inside.close();
    expect(inNetns(inner, 'ip', '-j', 'route', 'show', 'default')).toEqual([]);
    expect(inNetns(host, 'ip', '-j', 'neigh', 'show', '10.64.0.2')).toEqual([]);
    expect(await netlink.fdb(veth.ifindex)).not.toContainEqual({
      ifindex: veth.ifindex,
      mac: MAC,
      static: true,
    });
  });
});

describe('events', () => {
  it('tells of links, addresses and routes', async () => {
    const seen: NetEvent[] = [];
    const follower = await followEvents(native, (e) => seen.push(e), host);
    const bridge = await netlink.createBridge({ name: 'slb0', mac: '02:00:00:00:00:01' });
    await netlink.setLink(bridge.ifindex, { up: true });
    await netlink.addAddress(bridge.ifindex, '10.64.0.1/24');
    await netlink.deleteLink('slb0');
    await expect
      .poll(() => seen.some((e) => e.type === 'link' && e.gone && e.link.name === 'slb0'))
      .toBe(true);
    follower.close();
    expect(seen).toContainEqual(
      expect.objectContaining({
        type: 'link',
        gone: false,
        link: expect.objectContaining({ name: 'slb0', up: true }),
      }),
    );
    expect(seen).toContainEqual(
      expect.objectContaining({
        type: 'address',
        gone: false,
        address: expect.objectContaining({ address: '10.64.0.1' }),
      }),
    );
    expect(seen.some((e) => e.type === 'route' && e.route.dst === '10.64.0.0/24')).toBe(true);
  });
});
