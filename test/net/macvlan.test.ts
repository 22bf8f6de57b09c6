// SPDX-License-Identifier: Apache-2.0
/** Containers on the testbed's LAN by macvlan links: who hears whom, under which MAC, and what is left afterwards. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { must, run, until } from '../support/process.js';
import { EXT1, EXT2, EXT3, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed | undefined;

afterEach(async () => {
  await bed?.stop();
  bed = undefined;
});

/** A daemon, and on up0's own subnet a macvlan network whose router is ext2. */
async function withLan(...flags: string[]): Promise<Testbed> {
  const started = await Testbed.start();
  bed = started;
  createLan(started, ...flags);
  return started;
}

function createLan(on: Testbed, ...flags: string[]): void {
  const subnet = ['--subnet', '192.168.77.0/24', '--gateway', EXT2, '--ip-range', '192.168.77.64/26'];
  on.ok('network', 'create', '-d', 'macvlan', ...subnet, '-o', 'parent=up0', ...flags, 'lan');
}

interface Link {
  ifindex: number;
  ifname: string;
  address: string;
  mtu: number;
  ifalias?: string;
  operstate: string;
  linkinfo?: { info_kind: string; info_data?: { mode?: string } };
  addr_info: { local: string; prefixlen: number }[];
}

function linkIn(ns: string, name = 'eth0'): Link {
  const [link] = JSON.parse(must(ns, ['ip', '-j', '-d', '-4', 'addr', 'show', name])) as Link[];
  return link as Link;
}

function macvlansIn(ns: string): string[] {
  const links = JSON.parse(must(ns, ['ip', '-j', 'link', 'show', 'type', 'macvlan']) || '[]') as Link[];
  return links.filter((link) => link.ifname !== undefined).map((link) => link.ifname);
}

function macOf(ns: string, name: string): string {
  return (JSON.parse(must(ns, ['ip', '-j', 'link', 'show', name])) as [Link])[0].address;
}

const pings = (ns: string, address: string): boolean =>
  run(ns, ['ping', '-c', '1', '-W', '1', address]).code === 0;

const error = (on: Testbed, endpoint: string): string | null =>
  (JSON.parse(on.ok('endpoint', 'inspect', endpoint)) as [{ error: string | null }])[0].error;

describe('on the LAN', () => {
  it('is seen by its own MAC and address, from both sides, by unicast and broadcast', async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    expect(a.ip).toBe('192.168.77.64');
    const link = linkIn(a.ns);
    expect(link).toMatchObject({
      address: '02:42:c0:a8:4d:40',
      mtu: 1500,
      linkinfo: { info_kind: 'macvlan', info_data: { mode: 'bridge' } },
      addr_info: [{ local: a.ip, prefixlen: 24 }],
    });
    expect(link.ifalias).toMatch(/^sluice:[0-9a-f]{12}:macvlan:eth0$/);
    expect(macvlansIn(b.host)).toEqual([]);
    const { uplinks } = b.list<{ uplinks: { link: string }[] }>('status');
    expect(uplinks.map((uplink) => uplink.link).sort()).toEqual(['up0', 'up1']);

    b.offloadsOff(b.ext1, 'eth0');
    b.offloadsOff(b.host, 'up0');
    for (const ns of [b.ext1, a.ns]) await b.web(ns, 80);
    const capture = await b.capture(b.ext1, 'eth0');
    expect(b.curl(a.ns, `http://${EXT1}/`).out).toBe(a.ip);
    expect(b.curl(b.ext1, `http://${a.ip}/`).out).toBe(EXT1);
    // A DHCP client's first packet.
    b.inject(
      a.ns,
      'eth0',
      `Ether(src="${link.address}",dst="ff:ff:ff:ff:ff:ff")/IP(src="0.0.0.0",dst="255.255.255.255")/UDP(sport=68,dport=67)/Raw(b"discover")`,
    );
    const packets = await capture.packets();
    const ours = packets.filter((p) => p.src === a.ip);
    expect(ours.length).toBeGreaterThan(8);
    for (const p of ours) expect(p).toMatchObject({ ethSrc: link.address, ttl: 64, sumsOk: true });
    for (const p of packets.filter((p) => p.dst === a.ip)) expect(p.ethDst).toBe(link.address);
    const asked = packets.filter((p) => p.arp?.from === a.ip && p.arp.op === 1);
    expect(asked.map((p) => [p.ethSrc, p.ethDst])).toContainEqual([link.address, 'ff:ff:ff:ff:ff:ff']);
    expect(packets.filter((p) => p.dport === 67)).toMatchObject([
      { ethSrc: link.address, ethDst: 'ff:ff:ff:ff:ff:ff', src: '0.0.0.0' },
    ]);
    // None of it was taken for the dataplane's.
    expect(b.list<unknown[]>('conntrack', 'ls')).toEqual([]);
  });

  it('goes out by the physical router', async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    const capture = await b.capture(b.ext2, 'eth0', 'icmp');
    run(a.ns, ['ping', '-c', '1', '-W', '1', '198.51.100.1']);
    expect(await capture.packets()).toContainEqual(
      expect.objectContaining({ src: a.ip, dst: '198.51.100.1', ethDst: macOf(b.ext2, 'eth0') }),
    );
  });

  it('does not reach the host, nor is it reached from there', async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    expect(pings(a.ns, EXT1)).toBe(true);
    expect(pings(a.ns, HOST)).toBe(false);
    expect(pings(b.host, a.ip)).toBe(false);
    expect(pings(b.host, EXT1)).toBe(true);
  });

  it.each([
    ['bridge', true],
    ['private', false],
    ['vepa', false],
  ])('in mode %s, endpoints reach one another: %s', async (mode, reach) => {
    const b = await withLan('-o', `macvlan_mode=${mode}`);
    const [a, c] = [b.container('a', 'lan'), b.container('c', 'lan')];
    expect(linkIn(a.ns).linkinfo?.info_data?.mode).toBe(mode);
    for (const box of [a, c]) expect(pings(box.ns, EXT1)).toBe(true);
    expect(pings(a.ns, c.ip)).toBe(reach);
    expect(pings(c.ns, a.ip)).toBe(reach);
  });

  it('in mode passthru has the parent for itself, which gets its own MAC back', async () => {
    const b = await Testbed.start();
    bed = b;
    const before = macOf(b.host, 'up1');
    const subnet = ['--subnet', '192.168.88.0/24', '--gateway', EXT3];
    const options = ['-o', 'parent=up1', '-o', 'macvlan_mode=passthru', '-o', 'mtu=1400'];
    b.ok('network', 'create', '-d', 'macvlan', ...subnet, ...options, 'far');
    const a = b.container('a', 'far');
    // .1 is the host's, .2 the router's.
    expect(a.ip).toBe('192.168.88.3');
    expect(linkIn(a.ns)).toMatchObject({ address: '02:42:c0:a8:58:03', mtu: 1400 });
    expect(pings(a.ns, EXT3)).toBe(true);
    b.ok('sandbox', 'create', b.box('c'));
    const second = b.cli('connect', 'far', b.box('c'));
    expect(second.code).toBe(1);
    expect(second.err).toContain(`far.${a.ns}`);
    b.ok('disconnect', 'far', a.ns);
    expect(macOf(b.host, 'up1')).toBe(before);
    b.ok('connect', 'far', b.box('c'));
  });
});

describe('what does not apply', () => {
  it('is refused with one line: ports, options, parents, addresses of the host', async () => {
    const b = await withLan();
    const ns = b.box('a');
    b.ok('sandbox', 'create', ns);
    const refused = (...args: string[]): string => {
      const { code, err } = b.cli(...args);
      expect(code).toBe(1);
      return err;
    };
    expect(refused('connect', 'lan', ns, '-p', '8080:80')).toContain('reachable directly');
    expect(refused('connect', 'lan', ns, '--ip', HOST)).toContain('belongs to this host');
    expect(refused('connect', 'lan', ns, '--ip', EXT2)).toContain("network's gateway");
    const create = (subnet: string, ...flags: string[]): string =>
      refused('network', 'create', '-d', 'macvlan', '--subnet', subnet, ...flags, 'x');
    const far = '192.168.99.0/24';
    expect(create(far)).toContain('needs a parent');
    expect(create(far, '-o', 'parent=up0.10')).toContain("'up0.10' does not exist");
    expect(create(far, '-o', 'parent=lo')).toContain('no Ethernet frames');
    expect(create(far, '-o', 'parent=up0', '-o', 'icc=false')).toContain('no effect on a macvlan network');
    expect(create('192.168.88.0/24', '-o', 'parent=up0')).toContain('which this host is connected to');
    expect(create('192.168.88.0/24', '-o', 'parent=up1')).toContain("this host's own address");
    b.ok('network', 'create', '-o', 'com.docker.network.bridge.name=br-web', 'web');
    const { ns: onWeb } = b.container('w', 'web');
    const [{ hostInterface }] = JSON.parse(b.ok('endpoint', 'inspect', `web.${onWeb}`)) as [
      { hostInterface: string },
    ];
    expect(create(far, '-o', `parent=${hostInterface}`)).toContain("a port of 'br-web'");
    expect(create(far, '-o', 'parent=br-web')).toContain("the bridge of network 'web'");
    expect(b.list<{ name: string }[]>('network', 'ls').map((n) => n.name)).toEqual(['lan', 'web']);
  });
});

describe('beside a bridge network', () => {
  it('both work in one sandbox, and the default route is that of who joined first', async () => {
    const b = await withLan();
    b.ok('network', 'create', 'web');
    const a = b.container('a', 'lan');
    const onWeb = b.container('a', 'web', '-p', '8080:80').ip;
    const other = b.container('c', 'web');
    const defaults = (): string[] =>
      (
        JSON.parse(must(a.ns, ['ip', '-j', 'route', 'show', 'default'])) as { gateway: string; dev: string }[]
      ).map(({ gateway, dev }) => `${gateway} ${dev}`);
    expect(defaults()).toEqual([`${EXT2} eth0`]);
    await b.web(a.ns, 80);
    expect(b.curl(b.ext1, `http://${a.ip}/`).out).toBe(EXT1);
    expect(b.curl(other.ns, `http://${onWeb}/`).out).toBe(other.ip);
    b.ok('disconnect', 'lan', a.ns);
    expect(defaults()).toEqual(['10.64.0.1 eth1']);
    expect(b.curl(b.ext3, 'http://192.168.88.1:8080/').out).toBe(EXT3);
    b.ok('connect', 'lan', a.ns);
    expect(linkIn(a.ns, 'eth0').linkinfo?.info_kind).toBe('macvlan');
    expect(defaults()).toEqual(['10.64.0.1 eth1']);
    expect(pings(a.ns, EXT1)).toBe(true);
  });
});

describe('coming and going', () => {
  it('leaves nothing in an adopted namespace, and nothing of others is touched there', async () => {
    const b = await withLan();
    const ns = b.namespace(b.box('mine'));
    b.pair(ns, 'eth0', '10.9.9.1/24', b.ext3, 'mine0', null);
    const adopted = b.box('adopted');
    b.ok('sandbox', 'create', adopted, '--netns', `/run/netns/${ns}`);
    b.ok('connect', 'lan', adopted);
    expect(macvlansIn(ns)).toEqual(['eth1']);
    expect(pings(ns, EXT1)).toBe(true);
    b.ok('disconnect', 'lan', adopted);
    expect(macvlansIn(ns)).toEqual([]);
    expect(linkIn(ns, 'eth0').addr_info).toMatchObject([{ local: '10.9.9.1' }]);
    expect(existsSync(join(b.bpffs, 'macvlan')) ? readdirSync(join(b.bpffs, 'macvlan')) : []).toEqual([]);
    b.ok('sandbox', 'rm', adopted);
    b.ok('network', 'rm', 'lan');
  });

  it('leaves where the namespace is gone already', async () => {
    const b = await withLan();
    const ns = b.namespace(b.box('mine'));
    const adopted = b.box('adopted');
    b.ok('sandbox', 'create', adopted, '--netns', `/run/netns/${ns}`);
    b.ok('connect', 'lan', adopted);
    must(null, ['ip', 'netns', 'del', ns]);
    b.ok('disconnect', 'lan', adopted);
    b.ok('sandbox', 'rm', adopted);
  });

  it('goes on while the daemon is dead, and is adopted untouched by the next one', async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    const link = must(a.ns, ['ip', '-j', '-d', 'addr', 'show', 'eth0']);
    const routes = must(a.ns, ['ip', '-j', 'route']);
    const events = b.background(a.ns, ['ip', 'monitor', 'link', 'address', 'route']);
    await b.killDaemon('SIGKILL');
    expect(pings(a.ns, EXT1)).toBe(true);
    await b.startDaemon();
    expect(must(a.ns, ['ip', '-j', '-d', 'addr', 'show', 'eth0'])).toBe(link);
    expect(must(a.ns, ['ip', '-j', 'route'])).toBe(routes);
    expect(events.out).toBe('');
    must(a.ns, ['ip', 'addr', 'add', '192.0.2.1/32', 'dev', 'lo']);
    await until(() => events.out.includes('192.0.2.1'), 'the monitor tells of a change');
    expect(pings(a.ns, EXT1)).toBe(true);
    expect(b.list<{ problems: unknown[] }>('status').problems).toEqual([]);
  });

  it('is repaired by a restart where it was taken away or changed meanwhile', async () => {
    const b = await withLan();
    const [a, c] = [b.container('a', 'lan'), b.container('c', 'lan')];
    await b.killDaemon('SIGKILL');
    must(a.ns, ['ip', 'link', 'del', 'eth0']);
    must(c.ns, ['ip', 'addr', 'flush', 'dev', 'eth0']);
    must(c.ns, ['ip', 'link', 'set', 'eth0', 'type', 'macvlan', 'mode', 'private']);
    await b.startDaemon();
    for (const { ns, ip } of [a, c]) {
      expect(linkIn(ns)).toMatchObject({
        linkinfo: { info_data: { mode: 'bridge' } },
        addr_info: [{ local: ip, prefixlen: 24 }],
      });
      expect(pings(ns, EXT1)).toBe(true);
      expect(must(ns, ['ip', 'route', 'show', 'default'])).toContain(EXT2);
    }
    expect(pings(a.ns, c.ip)).toBe(true);
  });

  it('finishes what a daemon was killed in the middle of', async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    await b.killDaemon('SIGKILL');
    // Made, but not named yet.
    must(a.ns, ['ip', 'link', 'del', 'eth0']);
    must(b.host, [
      'ip',
      'link',
      'add',
      'slm-eth0',
      'link',
      'up0',
      'netns',
      a.ns,
      'type',
      'macvlan',
      'mode',
      'bridge',
    ]);
    await b.startDaemon();
    expect(macvlansIn(a.ns)).toEqual(['eth0']);
    expect(pings(a.ns, EXT1)).toBe(true);
  });

  it('is removed by a daemon that knows nothing of it any more', async () => {
    const b = await withLan();
    const ns = b.namespace(b.box('mine'));
    const adopted = b.box('adopted');
    b.ok('sandbox', 'create', adopted, '--netns', `/run/netns/${ns}`);
    b.ok('connect', 'lan', adopted);
    must(b.host, ['ip', 'link', 'add', 'eth9', 'link', 'up0', 'netns', ns, 'type', 'macvlan']);
    await b.killDaemon('SIGKILL');
    rmSync(join(b.directory, 'state'), { recursive: true });
    await b.startDaemon(['--adopt-empty-state']);
    expect(macvlansIn(ns)).toEqual(['eth9']);
  });

  it("leaves another's link of the same name alone, and says so", async () => {
    const b = await withLan();
    const a = b.container('a', 'lan');
    await b.killDaemon('SIGKILL');
    must(a.ns, ['ip', 'link', 'del', 'eth0']);
    must(b.host, ['ip', 'link', 'add', 'theirs', 'link', 'up0', 'netns', a.ns, 'type', 'macvlan']);
    must(a.ns, ['ip', 'link', 'set', 'theirs', 'name', 'eth0']);
    const mac = macOf(a.ns, 'eth0');
    await b.startDaemon();
    expect(error(b, `lan.${a.ns}`)).toContain('exists in');
    expect(macOf(a.ns, 'eth0')).toBe(mac);
    b.ok('disconnect', 'lan', a.ns);
    expect(macOf(a.ns, 'eth0')).toBe(mac);
  });

  it('is in error while its parent is gone, and comes back with it', async () => {
    const b = await Testbed.start();
    bed = b;
    const far = b.namespace(b.box('far'));
    const plug = (): void => b.pair(b.host, 'usb0', null, far, 'eth0', '192.168.99.1/24');
    plug();
    const subnet = ['--subnet', '192.168.99.0/24', '--gateway', '192.168.99.1'];
    b.ok('network', 'create', '-d', 'macvlan', ...subnet, '-o', 'parent=usb0', 'usb');
    const a = b.container('a', 'usb');
    const endpoint = `usb.${a.ns}`;
    expect(pings(a.ns, '192.168.99.1')).toBe(true);
    must(b.host, ['ip', 'link', 'del', 'usb0']);
    await until(() => error(b, endpoint) !== null, 'the endpoint is in error');
    expect(error(b, endpoint)).toContain('usb0');
    expect(macvlansIn(a.ns)).toEqual([]);
    plug();
    await until(() => error(b, endpoint) === null, 'the endpoint is back', 20_000);
    expect(pings(a.ns, '192.168.99.1')).toBe(true);
    expect(linkIn(a.ns).addr_info).toMatchObject([{ local: a.ip }]);
  });

  it('goes with cleanup, also from namespaces that stay', async () => {
    const b = await withLan();
    const mine = b.namespace(b.box('mine'));
    const adopted = b.box('adopted');
    b.ok('sandbox', 'create', adopted, '--netns', `/run/netns/${mine}`);
    b.ok('connect', 'lan', adopted);
    const a = b.container('a', 'lan');
    // Keeps the namespace alive when its name is gone.
    const holder = b.background(a.ns, ['sleep', '1000']);
    const inside = (): string[] =>
      (
        JSON.parse(must(null, ['nsenter', `--net=/proc/${holder.pid}/ns/net`, 'ip', '-j', 'link'])) as Link[]
      ).map((link) => link.ifname);
    await until(() => inside().includes('eth0'), 'the holder is inside');
    await b.killDaemon('SIGTERM');
    const said = must(b.host, b.daemonCommand('cleanup', '--state'));
    expect(said).toContain(`removed macvlan /run/netns/${mine}/eth0`);
    expect(inside()).toEqual(['lo']);
    expect(macvlansIn(mine)).toEqual([]);
    expect(existsSync(`/run/netns/${a.ns}`)).toBe(false);
    expect(existsSync(b.bpffs)).toBe(false);
    expect(must(b.host, ['ip', '-d', 'link', 'show', 'up0'])).toMatch(/promiscuity 0/);
  });
});
