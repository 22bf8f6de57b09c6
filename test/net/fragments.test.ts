// SPDX-License-Identifier: Apache-2.0
/** Fragments, whole datagrams looked at on both sides: every checksum, hop count and order. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Capture, DATAGRAMS, type Datagram } from '../support/capture.js';
import { askDatagram, serveDatagrams } from '../support/datagrams.js';
import { type Background, must, run, until } from '../support/process.js';
import { EXT1, EXT2, HOST, Testbed } from '../support/testbed.js';

const PYTHON = '/usr/bin/python3';
const HOST6 = 'fd77::1';
const EXT1_6 = 'fd77::2';
const ICMP = 1;
const UDP = 17;

let bed: Testbed;
let one: { ns: string; ip: string };
let one6: string;
let mac: string;
let inside: Background;
let outside: Background;

/** Fragments of a datagram from outside to the published port, in an order of their own. */
function send(to: string, dport: number, size: number, order: string, sport = 4000): string {
  const [from, ns] = to.includes(':') ? [EXT1_6, bed.ext1] : [EXT1, bed.ext1];
  const command = ['send', 'eth0', mac, from, to, sport, dport, size, order].map(String);
  return must(ns, [PYTHON, DATAGRAMS, ...command]).trim();
}

async function seen(captures: Capture[]): Promise<Datagram[][]> {
  const all: Datagram[][] = [];
  for (const capture of captures) all.push(await capture.datagrams());
  return all;
}

const captures = (): Promise<Capture[]> =>
  Promise.all([bed.capture(one.ns, 'eth0', 'ip or ip6'), bed.capture(bed.ext1, 'eth0', 'ip or ip6')]);

function macOf(ns: string, link: string): string {
  return (JSON.parse(must(ns, ['ip', '-j', 'link', 'show', link])) as [{ address: string }])[0].address;
}

/** The link of the host whose name begins so. */
function linkOf(prefix: string): string {
  const links = JSON.parse(must(bed.host, ['ip', '-j', 'link'])) as { ifname: string }[];
  return links.find(({ ifname }) => ifname.startsWith(prefix))?.ifname ?? '';
}

/** The reassembly namespace of the daemon. */
const reassembly = (): string => `sluice-fragments-${linkOf('slf').slice(3)}`;

beforeAll(async () => {
  bed = await Testbed.start();
  for (const [ns, link, address] of [
    [bed.host, 'up0', HOST6],
    [bed.ext1, 'eth0', EXT1_6],
  ] as const)
    must(ns, ['ip', 'addr', 'add', `${address}/64`, 'dev', link, 'nodad']);
  bed.ok('network', 'create', '--ipv6', 'lan');
  one = bed.container('one', 'lan', '-p', '6000:7000/udp');
  one6 = bed.list<[{ ipv6: string }]>('endpoint', 'ls')[0].ipv6;
  mac = macOf(bed.host, 'up0');
  for (const ns of [one.ns, bed.ext1]) bed.offloadsOff(ns, 'eth0');
  inside = await serveDatagrams(bed, one.ns, 7000);
  outside = await serveDatagrams(bed, bed.ext1, 9000);
  must(bed.host, ['iptables', '-P', 'FORWARD', 'DROP']);
  must(bed.host, ['ip6tables', '-P', 'FORWARD', 'DROP']);
  await until(() => run(one.ns, ['ping', '-c', '1', '-W', '1', EXT1_6]).code === 0, 'IPv6 works');
});
afterAll(() => bed.stop());

describe.each([
  ['IPv4', EXT1, HOST],
  ['IPv6', EXT1_6, HOST6],
])('%s', (family, remote, host) => {
  const own = (): string => (family === 'IPv4' ? one.ip : one6);

  it.each([4_096, 61_440])('carries %i bytes out and back, masqueraded', async (size) => {
    const taken = await captures();
    const [sent, answer] = askDatagram(one.ns, remote, 9000, size);
    const [within, without] = (await seen(taken)).map((d) => d.filter((x) => x.protocol === UDP));
    expect(answer).toBe(sent);
    await outside.says(new RegExp(`${sent} ${size} ${host}`));
    const common = { whole: true, sumsOk: true, digest: sent };
    const there = within?.find((d) => d.src === own());
    expect(there).toMatchObject({ ...common, dst: remote });
    expect(without?.find((d) => d.dst === remote)).toMatchObject({
      ...common,
      src: host,
      dport: 9000,
      fragments: there?.fragments,
      inOrder: true,
      largest: there?.largest,
      hops: there?.hops.map((h) => h - 1),
    });
    const back = without?.find((d) => d.src === remote);
    expect(within?.find((d) => d.dst === own())).toMatchObject({
      ...common,
      src: remote,
      sport: 9000,
      fragments: back?.fragments,
      inOrder: true,
      hops: back?.hops.map((h) => h - 1),
    });
  });

  it.each([4_096, 61_440])('carries %i bytes to a published port and back', async (size) => {
    const taken = await captures();
    const [sent, answer] = askDatagram(bed.ext1, host, 6000, size);
    const [within, without] = await seen(taken);
    expect(answer).toBe(sent);
    await inside.says(new RegExp(`${sent} ${size} ${remote}`));
    expect(within?.find((d) => d.dst === own() && d.digest === sent)).toMatchObject({
      src: remote,
      dport: 7000,
      inOrder: true,
      sumsOk: true,
    });
    expect(without?.find((d) => d.src === host && d.digest === sent)).toMatchObject({
      sport: 6000,
      inOrder: true,
      sumsOk: true,
    });
  });

  it.each([
    ['in order', 4_096],
    ['reversed', 4_096],
    ['shuffled', 4_096],
    ['reversed', 61_440],
    ['shuffled', 61_440],
  ])('takes fragments %s, %i bytes', async (order, size) => {
    const taken = await captures();
    const sent = send(host, 6000, size, order, 4100);
    await inside.says(new RegExp(`${sent} ${size} ${remote}`));
    const [within, without] = await seen(taken);
    const arrived = within?.find((d) => d.digest === sent && d.dst === own());
    const original = without?.find((d) => d.digest === sent && d.dst === host);
    expect(arrived).toMatchObject({ src: remote, sport: 4100, dport: 7000, inOrder: true, sumsOk: true });
    expect(arrived).toMatchObject({ fragments: original?.fragments, largest: original?.largest });
    expect(without?.find((d) => d.digest === sent && d.src === host)).toMatchObject({
      sport: 6000,
      dport: 4100,
      inOrder: true,
      sumsOk: true,
    });
  });

  it.each(['4096', '60000'])('echoes %s bytes out and in', async (size) => {
    const taken = await captures();
    const ping = run(one.ns, ['ping', '-c', '2', '-i', '0.2', '-W', '2', '-s', size, remote]);
    expect(ping.out).toMatch(/ 2 received/);
    const [within, without] = await seen(taken);
    const echoes = [...(within ?? []), ...(without ?? [])].filter((d) => d.fragments > 1);
    expect(echoes).toHaveLength(8);
    expect(echoes.every((d) => d.sumsOk && d.inOrder)).toBe(true);
    if (family === 'IPv4') expect(echoes.every((d) => d.protocol === ICMP)).toBe(true);
  });

  it("leaves the host's own traffic alone", async () => {
    const server = await serveDatagrams(bed, bed.host, 9100);
    const [sent, answer] = askDatagram(bed.ext1, host, 9100, 20_000);
    expect(answer).toBe(sent);
    await server.says(new RegExp(`${sent} 20000 ${remote}`));
    const [mine, theirs] = askDatagram(bed.host, remote, 9000, 20_000);
    expect(theirs).toBe(mine);
    for (const order of ['reversed', 'shuffled']) {
      const digest = send(host, 9100, 20_000, order, 4200);
      await server.says(new RegExp(`${digest} 20000`));
    }
    await server.stop('SIGKILL');
  });
});

describe('what goes wrong', () => {
  it('drops overlapping fragments, and takes the next datagram', async () => {
    const torn = send(HOST, 6000, 4_096, 'overlapping', 4300);
    const sent = send(HOST, 6000, 4_096, 'in order', 4301);
    await inside.says(new RegExp(sent));
    expect(inside.out).not.toContain(torn);
  });

  it("refuses fragments to a container's own address", async () => {
    const before = bed.dropped('direct_routing');
    must(bed.ext1, ['ip', 'route', 'add', one.ip, 'via', HOST]);
    expect(askDatagram(bed.ext1, one.ip, 7000, 4_096)[1]).toBe('nothing');
    expect(bed.dropped('direct_routing')).toBeGreaterThanOrEqual(before + 3);
  });

  it('refuses fragments with an address that is not the container’s', async () => {
    const before = bed.dropped('spoofed_address');
    const gateway = macOf(bed.host, linkOf('slb'));
    const command = ['send', 'eth0', gateway, EXT2, EXT1, 4400, 9000, 4_096, 'in order'].map(String);
    const digest = must(one.ns, [PYTHON, DATAGRAMS, ...command]).trim();
    await expect.poll(() => bed.dropped('spoofed_address'), { timeout: 10_000 }).toBe(before + 3);
    expect(outside.out).not.toContain(digest);
  });

  it('keeps memory bounded in a flood of first fragments, which other traffic does not feel', async () => {
    send(HOST, 6000, 4_096, 'first-only', 4500);
    const used = must(reassembly(), ['grep', 'FRAG', '/proc/net/sockstat']);
    const [, memory] = /FRAG: inuse \d+ memory (\d+)/.exec(used) as RegExpExecArray;
    expect(Number(memory)).toBeGreaterThan(0);
    expect(Number(memory)).toBeLessThanOrEqual(8 << 20);
    expect(run(one.ns, ['ping', '-c', '1', '-W', '10', EXT1]).code).toBe(0);
    const [sent, answer] = askDatagram(bed.ext1, HOST, 6000, 1_000);
    expect(answer).toBe(sent);
  });
});

describe('a way out that takes less than the container sends', () => {
  beforeAll(async () => {
    must(bed.host, ['ip', 'route', 'add', `${EXT2}/32`, 'dev', 'up0', 'mtu', 'lock', '1250']);
    bed.offloadsOff(bed.ext2, 'eth0');
    await serveDatagrams(bed, bed.ext2, 9000);
  });

  it.each([
    ['one packet', 1_400],
    ['fragments', 4_096],
    ['fragments', 60_000],
  ])('gets %s (%i bytes) cut smaller', async (_, size) => {
    const capture = await bed.capture(bed.ext2, 'eth0', 'ip');
    const [sent, answer] = askDatagram(one.ns, EXT2, 9000, size, 'off');
    expect(answer).toBe(sent);
    const there = (await capture.datagrams()).find((d) => d.dst === EXT2 && d.digest === sent);
    expect(there).toMatchObject({ src: HOST, dport: 9000, whole: true, inOrder: true, sumsOk: true });
    expect(there?.hops).toEqual([63]);
    expect(there?.largest).toBeLessThanOrEqual(1_250);
    // each but the last as large as that lets it be, rounded to a size that there is a way for
    expect(there?.fragments).toBe(Math.ceil((size + 8) / 984));
  });

  it('tells the sender where it must not be cut', () => {
    const ping = run(one.ns, ['ping', '-c', '1', '-W', '1', '-M', 'do', '-s', '1300', EXT2]);
    expect(ping.out).toMatch(/mtu = 1250/);
  });
});

describe('without the daemon, and after it', () => {
  const published = (): void => {
    const [sent, answer] = askDatagram(bed.ext1, HOST, 6000, 20_000);
    expect(answer).toBe(sent);
  };

  it('goes on when the daemon is killed, and is adopted by the next', async () => {
    const before = linkOf('slf');
    await bed.killDaemon();
    published();
    await bed.startDaemon();
    expect(linkOf('slf')).toBe(before);
    published();
  });

  it.each([
    ['veth', () => must(bed.host, ['ip', 'link', 'del', linkOf('slf')])],
    ['route', () => must(reassembly(), ['ip', 'route', 'flush', 'table', 'main'])],
    ['namespace', () => must(null, ['ip', 'netns', 'del', reassembly()])],
  ])('is repaired by the next daemon when its %s is gone', async (_, destroy) => {
    await bed.killDaemon();
    destroy();
    await bed.startDaemon();
    published();
  });

  it('is repaired by the daemon that runs when its veth is gone', async () => {
    must(bed.host, ['ip', 'link', 'del', linkOf('slf')]);
    await until(() => askDatagram(bed.ext1, HOST, 6000, 20_000)[1] !== 'nothing', 'fragments arrive again');
  });

  it('leaves neither namespace nor link behind', async () => {
    const [link, netns] = [linkOf('slf'), reassembly()];
    expect(existsSync(`/run/netns/${netns}`)).toBe(true);
    await bed.killDaemon('SIGTERM');
    must(bed.host, bed.daemonCommand('cleanup'));
    expect(existsSync(`/run/netns/${netns}`)).toBe(false);
    expect(run(bed.host, ['ip', 'link', 'show', link]).code).not.toBe(0);
    expect(existsSync(bed.bpffs)).toBe(false);
  });
});
