// SPDX-License-Identifier: Apache-2.0
/** What a mapping is worth: for how long it lives, who may use it, and for how many there is one. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, must, sleep, until } from '../support/process.js';
import { type Container, EXT1, EXT1_6, EXT2, HOST, HOST_6, Testbed } from '../support/testbed.js';

const MAPPINGS = join(import.meta.dirname, '../support/mappings.py');
/** Seconds. The collector comes by every ten. */
const LIFETIME = 6;

let bed: Testbed;
let one: Container;
let two: Container;

beforeAll(async () => {
  bed = await Testbed.start({
    daemonFlags: [`--timeout-udp-answered=${LIFETIME}s`, `--timeout-udp-oneway=${LIFETIME}s`],
  });
  bed.ok('network', 'create', '--ipv6', 'lan');
  one = bed.container('one', 'lan');
  two = bed.container('two', 'lan');
  await bed.web(bed.ext1, 8000);
  await bed.udpEcho(bed.ext1, 9000);
  await bed.udpEcho(bed.ext1, 9001);
  await bed.udpEcho(bed.ext2, 9000);
});
afterAll(() => bed.stop());

const python = (ns: string, script: string): string => must(ns, ['/usr/bin/python3', '-c', script]);
const mappings = (ns: string, ...args: string[]): Background =>
  bed.background(ns, ['/usr/bin/python3', MAPPINGS, ...args]);
const flowsFrom = (sport: number): number =>
  bed
    .list<{ sourcePort: number; source: string }[]>('conntrack', 'ls', '--port', String(sport))
    .filter((f) => f.sourcePort === sport && f.source === one.ip).length;

describe('a mapping', () => {
  it('is the same for every peer of a socket', () => {
    const seen = python(
      one.ns,
      `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.bind(('', 5400))
for peer in (('${EXT1}', 9000), ('${EXT1}', 9001), ('${EXT2}', 9000)):
    s.sendto(b'x', peer); print(s.recv(99).decode().split()[0])`,
    );
    expect(seen.trim().split('\n')).toEqual(Array(3).fill(`${HOST}:5400`));
  });

  it('has one of the host’s addresses for all flows of a container, where there are several', () => {
    must(bed.host, ['ip', 'addr', 'add', '192.168.77.9/24', 'dev', 'up0']);
    try {
      const seen = Array.from({ length: 20 }, () => bed.udp(two.ns, EXT1, 9000).split(':')[0]);
      expect(new Set(seen)).toEqual(new Set([HOST]));
    } finally {
      must(bed.host, ['ip', 'addr', 'del', '192.168.77.9/24', 'dev', 'up0']);
    }
  });

  it('lives as long as its container sends, or is sent to, and not without', {
    timeout: 120_000,
  }, async () => {
    // 5501 is never answered; 5502 was once and then sends; 5503 was once and then is sent to; 5504 rests
    const peer = mappings(bed.ext1, 'answer', '9100', HOST, '5503');
    await peer.says(/ready/);
    const keeper = mappings(one.ns, 'keep', EXT1, '9100', String(LIFETIME / 2));
    await keeper.says(/opened/);
    const opened = Date.now();
    expect([5501, 5502, 5503, 5504].map(flowsFrom)).toEqual([1, 1, 1, 1]);
    await until(() => flowsFrom(5504) === 0, 'the idle flow is gone', 40_000);
    expect(Date.now() - opened).toBeGreaterThan((LIFETIME - 2) * 1000);
    // three times its life at least
    await sleep(Math.max(0, opened + 3 * LIFETIME * 1000 - Date.now()));
    expect([5501, 5502, 5503, 5504].map(flowsFrom)).toEqual([1, 1, 1, 0]);
    // and it is of use still
    expect(keeper.out).not.toContain('5501: late');
    peer.child.stdin?.write('send 5501\nsend 5502\nsend 5503\nsend 5504\n');
    for (const port of [5501, 5502, 5503]) await keeper.says(new RegExp(`${port}: late`));
    expect(keeper.out).not.toContain('5504: late');
  });
});

describe('somebody else', () => {
  it('who knows the port of a connection gets nothing in, and learns nothing of the container', async () => {
    const held = bed.background(one.ns, [
      '/usr/bin/python3',
      '-c',
      `import socket, time
s = socket.socket(); s.bind(('', 5600)); s.connect(('${EXT1}', 8000)); print('open', flush=True); time.sleep(60)`,
    ]);
    await held.says(/open/);
    const inside = await bed.capture(one.ns, 'eth0', 'ip and (port 5600 or icmp)');
    const outside = await bed.capture(bed.ext2, 'eth0', 'ip');
    const mac = JSON.parse(must(bed.host, ['ip', '-j', 'link', 'show', 'up0'])) as [{ address: string }];
    const to = (what: string): string =>
      `Ether(dst='${mac[0].address}')/IP(src='${EXT2}',dst='${HOST}')/${what}`;
    bed.inject(
      bed.ext2,
      'eth0',
      ...['S', 'SA', 'A', 'R', 'F', 'PA'].flatMap((flags) => [
        to(`TCP(sport=8000,dport=5600,flags='${flags}')`),
        to(`TCP(sport=4444,dport=5600,flags='${flags}',seq=7)/Raw(b'x')`),
      ]),
      to(`UDP(sport=8000,dport=5600)/Raw(b'x')`),
      // about a connection that it is not the peer of
      to(`ICMP(type=3,code=3)/IP(src='${HOST}',dst='${EXT2}')/TCP(sport=5600,dport=8000,seq=1)`),
    );
    await sleep(200);
    expect(await inside.packets()).toEqual([]);
    const seen = await outside.packets();
    expect(seen.filter((p) => p.src === HOST).length).toBeGreaterThan(0);
    expect(seen.filter((p) => JSON.stringify(p).includes(one.ip))).toEqual([]);
    // nor did that end it
    expect(bed.list<unknown[]>('conntrack', 'ls', '--port', '5600')).toMatchObject([
      { state: 'established' },
    ]);
    await held.stop('SIGKILL');
  });
});

describe('a SYN from outside', () => {
  it('that nobody asked for is reset by the host at once, as without us', async () => {
    const outside = await bed.capture(bed.ext1, 'eth0', 'tcp port 5700');
    expect(bed.curl(bed.ext1, `http://${HOST}:5700/`).code).toBe(7);
    const [syn, rst, ...more] = await outside.packets();
    expect([syn?.flags, rst?.flags, more]).toEqual(['S', 'RA', []]);
    expect((rst?.time ?? 9) - (syn?.time ?? 0)).toBeLessThan(1);
  });

  it('that crosses one of the container’s opens the connection from both ends', async () => {
    // the container's first SYN is lost behind its mapping, and the peer's answers nothing
    must(bed.ext1, ['nft', 'add table inet lose']);
    must(bed.ext1, ['nft', 'add chain inet lose in { type filter hook input priority 0; }']);
    must(bed.ext1, ['nft', 'add rule inet lose in tcp dport 9400 tcp flags == syn drop']);
    try {
      const inside = await bed.capture(one.ns, 'eth0', 'tcp port 9400');
      const open = (local: number, address: string, port: number): string => `import socket
s = socket.socket(); s.settimeout(8); s.bind(('', ${local})); print('begin', flush=True)
s.connect(('${address}', ${port})); s.sendall(b'from ${local}')
print(s.recv(99).decode(), flush=True)`;
      const client = bed.background(one.ns, ['/usr/bin/python3', '-c', open(5800, EXT1, 9400)]);
      await client.says(/begin/);
      await until(
        () => bed.list<unknown[]>('conntrack', 'ls', '--port', '5800').length === 1,
        'the mapping is there',
      );
      const peer = bed.background(bed.ext1, ['/usr/bin/python3', '-c', open(9400, HOST, 5800)]);
      await Promise.all([client.says(/from 9400/), peer.says(/from 5800/)]);
      const sent = (await inside.packets()).map((p) => [p.sport, p.flags] as const);
      // a SYN is sent again where the peer takes long to start
      const flags = sent.filter(([port, f], i) => port !== sent[i - 1]?.[0] || f !== sent[i - 1]?.[1]);
      expect(flags.slice(0, 3)).toEqual([
        [5800, 'S'],
        [9400, 'S'],
        [5800, 'SA'],
      ]);
    } finally {
      must(bed.ext1, ['nft', 'delete table inet lose']);
    }
  });
});

describe('a server outside', () => {
  it.each([
    ['IPv4', 'ip', HOST, EXT1],
    ['IPv6', 'ip6', HOST_6, EXT1_6],
  ])('sees the host alone, each packet once: %s', (_, family, host, server) => {
    const own = family === 'ip' ? one.ip : one.ip6;
    const rule = (name: string, source: string) => [
      `add counter inet seen ${name}`,
      `add rule inet seen in ${family} saddr ${source} udp dport 9500 counter name ${name}`,
    ];
    const ruleset = [
      'add table inet seen',
      'add chain inet seen in { type filter hook prerouting priority -300; }',
      ...rule('host', host),
      ...rule('own', own),
    ];
    must(bed.ext1, ['nft', '-f', '-'], ruleset.join('\n'));
    try {
      const kind = family === 'ip' ? 'AF_INET' : 'AF_INET6';
      for (const box of [one, two])
        python(
          box.ns,
          `import socket
s = socket.socket(socket.${kind}, socket.SOCK_DGRAM)
for _ in range(25): s.sendto(b'x' * 100, ('${server}', 9500))`,
        );
      const packets = (name: string): number =>
        Number(/packets (\d+)/.exec(must(bed.ext1, ['nft', 'list', 'counter', 'inet', 'seen', name]))?.[1]);
      expect([packets('host'), packets('own')]).toEqual([50, 0]);
    } finally {
      must(bed.ext1, ['nft', 'delete table inet seen']);
    }
  });
});

describe('a network on what the host is connected to', () => {
  it.each([
    ['a part of it', '192.168.77.128/25'],
    ['all of it and more', '192.168.64.0/19'],
    ['of the second uplink', '192.168.88.0/24'],
    ['of IPv6', '2001:db8:50::/64'],
  ])('is refused: %s', (_, subnet) => {
    const { code, err } = bed.cli('network', 'create', '--subnet', subnet, 'overlapping');
    expect(code).toBe(1);
    expect(err).toMatch(/overlaps/);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(bed.list<{ name: string }[]>('network', 'ls').map((n) => n.name)).toEqual(['lan']);
  });
});
