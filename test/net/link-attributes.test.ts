// SPDX-License-Identifier: Apache-2.0
/** What links are made of and turn into, attribute by attribute, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinkInfo, Netlink } from '../../src/link/netlink.js';
import { bridge, inside, ip, ipLink, Lab, netns } from './link-support.js';

const BRIDGE_MAC = '02:42:0a:40:00:01';
const PEER_MAC = '02:42:0a:40:00:02';

describe('link attributes', () => {
  const lab = new Lab();
  let host: string;
  let box: string;
  let netlink: Netlink;

  beforeAll(async () => {
    host = await lab.namespace('host');
    box = await lab.namespace('box');
    netlink = await lab.netlink(host);
  });
  afterAll(() => lab.close());

  async function link(name: string): Promise<LinkInfo> {
    const found = await netlink.linkByName(name);
    if (found === undefined) throw new Error(`no link ${name}`);
    return found;
  }

  test('a fresh namespace has its loopback and nothing else', async () => {
    expect(await netlink.links()).toMatchObject([
      {
        ifindex: 1,
        name: 'lo',
        kind: null,
        up: true,
        loopback: true,
        arphrd: 772,
        master: 0,
        linkIndex: 0,
        alias: '',
      },
    ]);
  });

  test('a bridge is answered as it is, and filters nothing', async () => {
    const made = await netlink.createBridge({ name: 'br-mtu', mac: BRIDGE_MAC, mtu: 1400 });
    expect(made).toMatchObject({ name: 'br-mtu', kind: 'bridge', mac: BRIDGE_MAC, mtu: 1400, up: false });
    expect(ipLink(host, 'br-mtu')?.linkinfo).toMatchObject({
      info_data: { vlan_filtering: 0, mcast_snooping: 0 },
    });
    expect(await netlink.createBridge({ name: 'br-plain', mac: '02:42:0a:40:00:09' })).toMatchObject({
      mtu: 1500,
    });
  });

  test('the answer to a creation says where the other end is', async () => {
    const peer = { name: 'eth0', mac: PEER_MAC, mtu: 1400, netns: box };
    const made = await netlink.createVeth({ name: 'veth-a', mtu: 1400, peer });
    expect(ipLink(box, 'eth0')).toMatchObject({ ifindex: made.linkIndex, address: PEER_MAC });
    expect(ip(host, 'link').map((l) => l.ifname)).not.toContain('eth0');
    expect(await link('veth-a')).toEqual(made);
    expect((await netlink.links()).find((l) => l.name === 'veth-a')).toEqual(made);
  });

  test('port flags change one by one', async () => {
    const port = await link('veth-a');
    await netlink.setLink(port.ifindex, { master: (await link('br-mtu')).ifindex });
    const off = { learning: false, flood: false, mcastFlood: false, bcastFlood: false };
    for (const [flag, printed] of Object.entries({
      learning: 'learning',
      flood: 'flood',
      mcastFlood: 'mcast_flood',
      bcastFlood: 'bcast_flood',
    })) {
      await netlink.setLink(port.ifindex, { bridgePort: { ...off, [flag]: true } });
      const seen = bridge(host, 'link', 'show', 'dev', 'veth-a')[0] ?? {};
      expect(
        ['learning', 'flood', 'mcast_flood', 'bcast_flood'].filter((name) => seen[name] === true),
        flag,
      ).toEqual([printed]);
    }
  });

  test('flags of a link that is no port are refused', async () => {
    const all = { learning: true, flood: true, mcastFlood: true, bcastFlood: true };
    await expect(netlink.setLink(1, { bridgePort: all })).rejects.toMatchObject({
      kind: 'native',
      code: 'EOPNOTSUPP',
    });
  });

  test('a bridge that was told its MTU keeps it as ports come and go', async () => {
    const peer = { name: 'eth1', mac: '02:42:0a:40:00:03', mtu: 9000, netns: box };
    const port = await netlink.createVeth({ name: 'veth-big', mtu: 9000, peer });
    await netlink.setLink(port.ifindex, { master: (await link('br-mtu')).ifindex });
    expect((await link('br-mtu')).mtu).toBe(1400);
    await netlink.deleteLink('veth-big');
    expect((await link('br-mtu')).mtu).toBe(1400);
  });

  test('forwarding is switched on one device only, and back', async () => {
    const { ifindex } = await link('br-mtu');
    const forwarding = (name: string) => netns.readSysctlIn(host, `net/ipv4/conf/${name}/forwarding`);
    await netlink.setLink(ifindex, { forwarding4: true });
    expect([await forwarding('br-mtu'), await forwarding('all'), await forwarding('br-plain')]).toEqual([
      '1',
      '0',
      '0',
    ]);
    await netlink.setLink(ifindex, { forwarding4: false });
    expect(await forwarding('br-mtu')).toBe('0');
  });

  test('a device asked to have no IPv6 address of its own has none when it comes up in the same call', async () => {
    const inner = await lab.netlink(box);
    const outer = await link('veth-a');
    await netlink.setLink(outer.ifindex, { up: true });
    await inner.setLink(outer.linkIndex, { addrGenMode: 'none', up: true });
    expect(ipLink(box, 'eth0')).toMatchObject({ inet6_addr_gen_mode: 'none' });
    expect((await inner.linkByName('eth0'))?.running).toBe(true);
    expect(await inner.addresses(outer.linkIndex)).toEqual([]);
  });

  test('MAC, MTU, alias and state change, and a port leaves its master', async () => {
    const { ifindex } = await link('veth-a');
    await netlink.setLink(ifindex, {
      mac: '02:42:0a:40:00:77',
      mtu: 1300,
      up: false,
      master: 0,
      alias: 'ö port',
    });
    const wanted = { mac: '02:42:0a:40:00:77', mtu: 1300, up: false, master: 0, alias: 'ö port' };
    expect(await link('veth-a')).toMatchObject(wanted);
    expect(ipLink(host, 'veth-a')).toMatchObject({
      address: '02:42:0a:40:00:77',
      mtu: 1300,
      ifalias: 'ö port',
    });
    expect(ipLink(host, 'veth-a')).not.toHaveProperty('master');
  });

  test('a link whose settings are refused does not come up', async () => {
    const { ifindex } = await link('veth-a');
    await expect(netlink.setLink(ifindex, { mtu: 1, up: true })).rejects.toMatchObject({
      code: 'EINVAL',
      log: expect.stringMatching(/mtu/i),
    });
    const noPort = { learning: false, flood: false, mcastFlood: false, bcastFlood: false };
    await expect(netlink.setLink(ifindex, { bridgePort: noPort, up: true })).rejects.toMatchObject({
      kind: 'native',
    });
    expect(await link('veth-a')).toMatchObject({ up: false, mtu: 1300 });
  });

  test('a device without an Ethernet header is read for what it is', async () => {
    inside(host, 'ip', ['tuntap', 'add', 'dev', 'tun-x', 'mode', 'tun']);
    expect(await link('tun-x')).toMatchObject({ kind: 'tun', mac: null, arphrd: 65534 });
  });

  test('deleting one end removes both; a second time it is ENODEV', async () => {
    const { ifindex } = await link('veth-a');
    await netlink.deleteLink(ifindex);
    expect(await netlink.linkByName('veth-a')).toBeUndefined();
    expect(ipLink(box, 'eth0')).toBeUndefined();
    const gone = { kind: 'native', code: 'ENODEV', errno: 19, syscall: 'RTM_DELLINK' };
    await expect(netlink.deleteLink(ifindex)).rejects.toMatchObject(gone);
    await expect(netlink.deleteLink('veth-a')).rejects.toMatchObject(gone);
    await expect(netlink.setLink(ifindex, { up: true })).rejects.toMatchObject({ code: 'ENODEV' });
  });

  test('a name that is taken on either side makes neither end', async () => {
    const veth = (name: string, inner: string) =>
      netlink.createVeth({ name, mtu: 1500, peer: { name: inner, mac: PEER_MAC, mtu: 1500, netns: box } });
    await veth('veth-b', 'eth0');
    await expect(veth('veth-c', 'eth0')).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await netlink.linkByName('veth-c')).toBeUndefined();
    await expect(veth('veth-b', 'eth1')).rejects.toMatchObject({ code: 'EEXIST' });
    expect(ipLink(box, 'eth1')).toBeUndefined();
  });

  test('what no device can be is refused and leaves nothing', async () => {
    const peer = { name: 'eth5', mac: PEER_MAC, mtu: 1500, netns: box };
    await expect(netlink.createVeth({ name: 'veth-d', mtu: 5, peer })).rejects.toMatchObject({
      code: 'EINVAL',
    });
    expect(ipLink(box, 'eth5')).toBeUndefined();
    await expect(netlink.createBridge({ name: 'br-mc', mac: '01:00:5e:00:00:01' })).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
    });
    expect(await netlink.linkByName('br-mc')).toBeUndefined();
    await expect(netlink.createBridge({ name: 'br-sixteen-chars', mac: BRIDGE_MAC })).rejects.toMatchObject({
      code: 'ERANGE',
    });
  });

  test('a peer namespace that is none, or is not there, is refused', async () => {
    const veth = (path: string) =>
      netlink.createVeth({
        name: 'veth-e',
        mtu: 1500,
        peer: { name: 'eth6', mac: PEER_MAC, mtu: 1500, netns: path },
      });
    await expect(veth('/etc/passwd')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(veth(`${host}-there-is-none`)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await netlink.linkByName('veth-e')).toBeUndefined();
  });

  test('closed twice is closed; a request then is EBADF', async () => {
    const closed = await lab.netlink(host);
    closed.close();
    closed.close();
    await expect(closed.links()).rejects.toMatchObject({ kind: 'native', code: 'EBADF' });
  });
});
