// SPDX-License-Identifier: Apache-2.0
/** ICMP errors of both families: about flows, of our own, and what path-MTU discovery makes of them. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Packet } from '../support/capture.js';
import { json, must, run, sleep } from '../support/process.js';
import { type Container, EXT1, EXT1_6, EXT2, EXT2_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

/*
 * far ── 10.50.0.0/24, 2001:db8:99::/64, MTU 1280 ── ext2, a router and the host's default
 * route ── host ── containers
 */
const FAR = '10.50.0.2';
const FAR_6 = '2001:db8:99::2';
const SERVERS = join(import.meta.dirname, '../support/servers.py');

let bed: Testbed;
let far: string;
let box: Container;
let peer: Container;
let other: Container;

const gateway4 = (of: Container): string => of.ip.replace(/\d+$/, '1');
const gateway6 = (of: Container): string => of.ip6.replace(/::.*$/, '::1');
const macOf = (ns: string, link = 'eth0'): string =>
  (json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', link])[0] as { address: string }).address;
const url = (address: string, port: number, path: number | string = ''): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}/${path}`;

/** A frame of the container's to its gateway. */
function toGateway(of: Container): string {
  run(of.ns, ['ping', '-c', '1', '-W', '1', gateway4(of)]);
  const [{ lladdr }] = json<[{ lladdr: string }]>(of.ns, ['ip', '-j', 'neigh', 'show', gateway4(of)]);
  return `Ether(src='${macOf(of.ns)}',dst='${lladdr}')`;
}

function mtu(value: number, ...links: [ns: string, link: string][]): void {
  for (const [ns, link] of links) must(ns, ['ip', 'link', 'set', link, 'mtu', String(value)]);
}

/** Path MTUs that were learnt are forgotten. */
function forgetPaths(): void {
  for (const ns of [box.ns, bed.host, bed.ext1, far])
    for (const family of ['-4', '-6']) must(ns, ['ip', family, 'route', 'flush', 'cache']);
}

const TOO_BIG = 'icmp[0:2] == 0x0304 or ( icmp6 and ip6[40] == 2 )';

beforeAll(async () => {
  bed = await Testbed.start();
  far = bed.namespace(`far-${bed.suffix}`);
  bed.pair(bed.ext2, 'eth1', '10.50.0.1/24', far, 'eth0', `${FAR}/24`);
  must(bed.ext2, ['ip', 'addr', 'add', '2001:db8:99::1/64', 'dev', 'eth1', 'nodad']);
  must(far, ['ip', 'addr', 'add', `${FAR_6}/64`, 'dev', 'eth0', 'nodad']);
  must(far, ['ip', 'route', 'add', 'default', 'via', '10.50.0.1']);
  must(far, ['ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:99::1']);
  must(bed.ext2, ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  for (const ns of [bed.ext1, bed.ext2, far, bed.host])
    must(ns, ['sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0']);
  mtu(1280, [bed.ext2, 'eth1'], [far, 'eth0']);

  // else it would follow the uplinks' MTU, and no packet be too big
  bed.ok('network', 'create', '--ipv6', '-o', 'mtu=1500', 'web');
  bed.ok('network', 'create', '--ipv6', 'other');
  box = bed.container('box', 'web', '-p', '8080:80', '-p', '5301:54/udp');
  peer = bed.container('peer', 'web');
  other = bed.container('other', 'other');
  for (const ns of [box.ns, peer.ns, other.ns])
    must(ns, ['sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0']);
  for (const family of [4, 6] as const) {
    await bed.web(box.ns, 80, family);
    await bed.web(far, 8000, family);
    await bed.web(bed.ext1, 8000, family);
  }
});
afterAll(() => bed.stop());

describe('a route traced from a container', () => {
  it.each([
    ['IPv4', () => [FAR, gateway4(box), EXT2]],
    ['IPv6', () => [FAR_6, gateway6(box), EXT2_6]],
  ])('shows the gateway, the next hop and the end: %s', (_family, hops) => {
    const [end, ...between] = hops() as [string, string, string];
    between.forEach((hop, i) => {
      const said = run(box.ns, ['ping', '-n', '-t', String(i + 1), '-c', '1', '-W', '1', end]).out;
      expect(said).toContain(`From ${hop} icmp_seq=1 Time`);
    });
    expect(run(box.ns, ['ping', '-c', '1', '-W', '10', end]).code).toBe(0);
  });

  it('by TCP and UDP too, with the packet as it was sent', async () => {
    bed.offloadsOff(box.ns, 'eth0');
    const eth = toGateway(box);
    const inside = await bed.capture(box.ns, 'eth0', 'icmp[0] == 11 or ( icmp6 and ip6[40] == 3 )');
    const [v4, v6] = [
      `IP(src='${box.ip}',dst='${FAR}',ttl=2)`,
      `IPv6(src='${box.ip6}',dst='${FAR_6}',hlim=2)`,
    ];
    bed.inject(
      box.ns,
      'eth0',
      ...[v4, v6].flatMap((ip) => [
        `${eth}/${ip}/TCP(sport=3001,dport=80,flags='S')`,
        `${eth}/${ip}/UDP(sport=3002,dport=33434)/Raw(b'x'*20)`,
      ]),
    );
    const errors = await inside.packets();
    expect(errors.filter((p) => !p.sumsOk || !p.quoted?.sumsOk)).toEqual([]);
    expect(errors.map(({ src, dst, quoted: q }) => [src, dst, q?.src, q?.dst, q?.sport, q?.dport])).toEqual([
      [EXT2, box.ip, box.ip, FAR, 3001, 80],
      [EXT2, box.ip, box.ip, FAR, 3002, 33434],
      [EXT2_6, box.ip6, box.ip6, FAR_6, 3001, 80],
      [EXT2_6, box.ip6, box.ip6, FAR_6, 3002, 33434],
    ]);
  });
});

describe('an error from outside', () => {
  const kinds = {
    4: [
      [3, 3, 'ICMP(type=3,code=3)'],
      [3, 4, 'ICMP(type=3,code=4,nexthopmtu=1300)'],
      [11, 0, 'ICMP(type=11,code=0)'],
    ],
    6: [
      [1, 4, 'ICMPv6DestUnreach(code=4)'],
      [2, 0, 'ICMPv6PacketTooBig(mtu=1300)'],
      [3, 0, 'ICMPv6TimeExceeded(code=0)'],
    ],
  } as const;
  const layers = {
    4: [
      "TCP(sport=3101,dport=4001,flags='S')",
      "UDP(sport=3102,dport=4002)/Raw(b'payload')",
      "ICMP(id=3103,seq=1)/Raw(b'payload')",
    ],
    6: [
      "TCP(sport=3101,dport=4001,flags='S')",
      "UDP(sport=3102,dport=4002)/Raw(b'payload')",
      "ICMPv6EchoRequest(id=3103,seq=1,data=b'payload')",
    ],
  } as const;
  const header = (family: 4 | 6, src: string, dst: string): string =>
    `${family === 4 ? 'IP' : 'IPv6'}(src='${src}',dst='${dst}')`;

  it.each([
    [4, () => [box.ip, EXT1, EXT2, HOST]],
    [6, () => [box.ip6, EXT1_6, EXT2_6, HOST_6]],
  ] as const)(
    'about a masqueraded flow reaches the container as if about its own packet: IPv%i',
    async (family, ends) => {
      const [own, far1, router, host] = ends() as [string, string, string, string];
      const eth = toGateway(box);
      bed.offloadsOff(box.ns, 'eth0');
      bed.inject(box.ns, 'eth0', ...layers[family].map((l4) => `${eth}/${header(family, own, far1)}/${l4}`));
      const inside = await bed.capture(box.ns, 'eth0', `icmp or icmp6`);
      const toHost = `Ether(dst='${macOf(bed.host, 'up0')}')/${header(family, router, host)}`;
      const expected: unknown[] = [];
      const frames: string[] = [];
      for (const [type, code, icmp] of kinds[family])
        layers[family].forEach((l4, i) => {
          frames.push(`${toHost}/${icmp}/${header(family, host, far1)}/${l4}`);
          const ports = i === 2 ? { icmpId: 3103 } : { sport: 3101 + i, dport: 4001 + i };
          expected.push({
            dst: own,
            icmpType: type,
            icmpCode: code,
            sumsOk: true,
            quoted: { src: own, dst: far1, sumsOk: true, ...ports },
            ...((code === 4 && family === 4) || type === 2 ? { mtu: 1300 } : {}),
          });
        });
      bed.inject(bed.ext2, 'eth0', ...frames);
      const errors = (await inside.packets()).filter((p) => p.src === router && p.quoted);
      expect(errors).toMatchObject(expected as Packet[]);
      expect(errors).toHaveLength(9);
    },
  );

  it('with no more than the first 8 bytes of a packet is translated too', async () => {
    const eth = toGateway(box);
    bed.inject(box.ns, 'eth0', `${eth}/${header(4, box.ip, EXT1)}/TCP(sport=3111,dport=4001,flags='S')`);
    const inside = await bed.capture(box.ns, 'eth0', `icmp and src ${EXT2}`);
    bed.inject(
      bed.ext2,
      'eth0',
      `Ether(dst='${macOf(bed.host, 'up0')}')/${header(4, EXT2, HOST)}/ICMP(type=11)/Raw(raw(${header(4, HOST, EXT1)}/TCP(sport=3111,dport=4001,flags='S'))[:28])`,
    );
    expect(await inside.packets()).toMatchObject([
      { dst: box.ip, sumsOk: true, quoted: { src: box.ip, sport: 3111, sumsOk: true } },
    ]);
  });

  it('about nothing that was sent is not delivered', async () => {
    const eth = toGateway(box);
    bed.inject(
      box.ns,
      'eth0',
      `${eth}/${header(4, box.ip, EXT1)}/UDP(sport=3121,dport=4001)`,
      `${eth}/${header(6, box.ip6, EXT1_6)}/UDP(sport=3121,dport=4001)`,
    );
    await sleep(200);
    const inside = await bed.capture(box.ns, 'eth0', 'icmp or ( icmp6 and ip6[40] < 128 )');
    const at = `Ether(src='${macOf(bed.ext2)}',dst='${macOf(bed.host, 'up0')}')`;
    const [p4, p6] = [
      `${at}/${header(4, EXT2, HOST)}/ICMP(type=3,code=3)`,
      `${at}/${header(6, EXT2_6, HOST_6)}/ICMPv6DestUnreach(code=4)`,
    ];
    const direct = bed.dropped('direct_routing');
    bed.inject(
      bed.ext2,
      'eth0',
      `${p4}/${header(4, HOST, EXT1)}/UDP(sport=3122,dport=4001)`,
      `${p4}/${header(4, HOST, EXT2)}/UDP(sport=3121,dport=4001)`,
      `${p4}/${header(4, EXT1, HOST)}/UDP(sport=4001,dport=3121)`,
      `${p6}/${header(6, HOST_6, EXT1_6)}/UDP(sport=3122,dport=4001)`,
      `${p6}/${header(6, HOST_6, EXT2_6)}/UDP(sport=3121,dport=4001)`,
      // to the container itself
      `${at}/${header(4, EXT2, box.ip)}/ICMP(type=3,code=3)/${header(4, box.ip, EXT1)}/UDP(sport=3121,dport=4001)`,
      `${at}/${header(6, EXT2_6, box.ip6)}/ICMPv6DestUnreach(code=4)/${header(6, box.ip6, EXT1_6)}/UDP(sport=3121,dport=4001)`,
    );
    expect(await inside.packets()).toEqual([]);
    expect(bed.dropped('direct_routing')).toBe(direct + 2);
  });

  it('from another container about a flow that is not its own goes nowhere', async () => {
    const eth = toGateway(box);
    bed.inject(
      box.ns,
      'eth0',
      `${eth}/${header(4, box.ip, EXT1)}/UDP(sport=3131,dport=4001)`,
      `${eth}/${header(6, box.ip6, EXT1_6)}/UDP(sport=3131,dport=4001)`,
    );
    await sleep(200);
    const seen = await bed.capture(
      bed.ext1,
      'eth0',
      `( icmp and src ${HOST} ) or ( icmp6 and src ${HOST_6} and ip6[40] < 128 )`,
    );
    const dropped = bed.dropped('not_a_flow');
    const lie = toGateway(other);
    bed.inject(
      other.ns,
      'eth0',
      `${lie}/${header(4, other.ip, EXT1)}/ICMP(type=3,code=3)/${header(4, EXT1, box.ip)}/UDP(sport=4001,dport=3131)`,
      `${lie}/${header(6, other.ip6, EXT1_6)}/ICMPv6DestUnreach(code=4)/${header(6, EXT1_6, box.ip6)}/UDP(sport=4001,dport=3131)`,
    );
    expect(await seen.packets()).toEqual([]);
    expect(bed.dropped('not_a_flow')).toBe(dropped + 2);
  });
});

describe("a container's own error", () => {
  it.each([
    ['IPv4', 'icmp', HOST, EXT1],
    ['IPv6', 'icmp6 and ip6[40] == 1', HOST_6, EXT1_6],
  ])(
    'about a published port reaches the client as from the host: %s',
    async (_family, filter, host, client) => {
      bed.offloadsOff(bed.ext1, 'eth0');
      const outside = await bed.capture(bed.ext1, 'eth0', filter);
      expect(bed.many(bed.ext1, host, 5301, 1)).toEqual({ answered: 0, errors: ['ECONNREFUSED'] });
      const packets = (await outside.packets()).filter((p) => p.quoted);
      expect(packets).toHaveLength(1);
      expect(packets).toMatchObject([
        {
          src: host,
          dst: client,
          sumsOk: true,
          quoted: { src: client, dst: host, dport: 5301, sumsOk: true },
        },
      ]);
    },
  );

  it('reaches a container that came by the published port, of the same network or another', () => {
    for (const client of [peer, other])
      for (const host of [HOST, HOST_6])
        expect([client.ns, host, bed.many(client.ns, host, 5301, 1)]).toEqual([
          client.ns,
          host,
          { answered: 0, errors: ['ECONNREFUSED'] },
        ]);
  });
});

describe('a way with a smaller MTU', () => {
  it.each([
    ['IPv4', () => [FAR, box.ip]],
    ['IPv6', () => [FAR_6, box.ip6]],
  ])('is learnt by one error for one datagram: %s', async (_family, ends) => {
    const [end, own] = ends() as [string, string];
    forgetPaths();
    const inside = await bed.capture(box.ns, 'eth0', TOO_BIG);
    const send = `import socket; s = socket.socket(socket.${end.includes(':') ? 'AF_INET6' : 'AF_INET'}, socket.SOCK_DGRAM); s.setsockopt(${end.includes(':') ? '41, 23' : '0, 10'}, 2); s.sendto(b'x' * 1400, ('${end}', 9))`;
    must(box.ns, ['/usr/bin/python3', '-c', send]);
    const errors = await inside.packets();
    expect(errors).toMatchObject([{ dst: own, mtu: 1280, sumsOk: true, quoted: { src: own, dst: end } }]);
    expect(must(box.ns, ['ip', 'route', 'get', end])).toContain('mtu 1280');
    expect(run(box.ns, ['/usr/bin/python3', '-c', send]).err).toContain('Message too long');
  });

  it.each([
    ['IPv4', FAR, HOST],
    ['IPv6', FAR_6, HOST_6],
  ])('carries megabytes, all ways: %s', async (_family, end, host) => {
    const size = ['-o', '/dev/null', '-w', '%{size_download}', '-m', '30'];
    const megabytes = 4 << 20;
    const file = join(bed.directory, 'four');
    must(null, ['truncate', '-s', String(megabytes), file]);
    forgetPaths();
    expect(bed.curl(box.ns, url(end, 8000), '--data-binary', `@${file}`, '-m', '30').out).toBe(
      String(megabytes),
    );
    expect(bed.curl(box.ns, url(end, 8000, megabytes), ...size).out).toBe(String(megabytes));
    forgetPaths();
    expect(bed.curl(far, url(host, 8080, megabytes), ...size).out).toBe(String(megabytes));
    expect(bed.curl(far, url(host, 8080), '--data-binary', `@${file}`, '-m', '30').out).toBe(
      String(megabytes),
    );
  });
});

describe("the uplink's own MTU", () => {
  it.each([
    ['IPv4', EXT1, HOST],
    ['IPv6', EXT1_6, HOST_6],
  ])('may shrink in the middle of transfers: %s', async (_family, end, host) => {
    const links: [string, string][] = [
      [bed.host, 'up0'],
      [`lan-${bed.suffix}`, 'p0'],
    ];
    const megabytes = 6 << 20;
    const file = join(bed.directory, 'six');
    must(null, ['truncate', '-s', String(megabytes), file]);
    forgetPaths();
    try {
      const inside = await bed.capture(box.ns, 'eth0', TOO_BIG);
      const rate = ['--limit-rate', '2M', '-s', '-m', '60'];
      const up = bed.background(box.ns, ['curl', ...rate, '--data-binary', `@${file}`, url(end, 8000)]);
      const down = bed.background(bed.ext1, [
        ...['curl', ...rate, '-o', '/dev/null', '-w', '%{size_download}', url(host, 8080, megabytes)],
      ]);
      await sleep(1000);
      mtu(1280, ...links);
      expect([await up.end(), await down.end()]).toEqual([0, 0]);
      expect([up.out, down.out]).toEqual([String(megabytes), String(megabytes)]);
      const errors = await inside.packets();
      expect(errors.length).toBeGreaterThan(0);
      expect(errors.filter((p) => !p.sumsOk || p.mtu !== 1280)).toEqual([]);
    } finally {
      mtu(1500, ...links);
    }
  });

  it('counts for the first packet of a flow, and for one that leaves the way it came', async () => {
    // a router behind up1 with a network that the host would reach by up0
    must(bed.ext3, ['ip', 'addr', 'add', '10.200.0.1/32', 'dev', 'lo']);
    must(bed.ext3, ['ip', 'addr', 'add', '2001:db8:200::1/128', 'dev', 'lo', 'nodad']);
    const size = ['-o', '/dev/null', '-w', '%{size_download}', '-m', '5'];
    const links: [string, string][] = [
      [bed.host, 'up1'],
      [bed.ext3, 'eth0'],
    ];
    mtu(1280, ...links);
    try {
      const inside = await bed.capture(box.ns, 'eth0', TOO_BIG);
      expect(bed.udp(box.ns, '192.168.88.2', 9, { text: 'x'.repeat(1400), seconds: 1 })).toBe('');
      expect(bed.udp(box.ns, '2001:db8:58::2', 9, { text: 'x'.repeat(1400), seconds: 1 })).toBe('');
      expect(await inside.packets()).toMatchObject([
        { src: gateway4(box), mtu: 1280, sumsOk: true, quoted: { src: box.ip, dst: '192.168.88.2' } },
        { src: gateway6(box), mtu: 1280, sumsOk: true, quoted: { src: box.ip6, dst: '2001:db8:58::2' } },
      ]);
      // the client's segments may be 1500, so that only our error can tell
      must(bed.ext3, [
        'ip',
        'route',
        'change',
        '192.168.88.0/24',
        'dev',
        'eth0',
        'src',
        '192.168.88.2',
        'advmss',
        '1460',
      ]);
      for (const [host, from] of [
        ['192.168.88.1', '10.200.0.1'],
        ['2001:db8:58::1', '2001:db8:200::1'],
      ] as const)
        expect(bed.curl(bed.ext3, url(host, 8080, 1 << 20), '--interface', from, ...size).out).toBe(
          String(1 << 20),
        );
    } finally {
      mtu(1500, ...links);
    }
  });
});

describe('source ports beyond a container’s share', () => {
  it('are refused with an error that says so, and another container has its own', async () => {
    // nobody answers there, but the next hop takes the packets
    const ghosts = { '192.168.77.99': 'EHOSTUNREACH', '2001:db8:50::99': 'EACCES' };
    for (const [ghost, error] of Object.entries(ghosts)) {
      must(bed.host, ['ip', 'neigh', 'replace', ghost, 'lladdr', macOf(bed.ext1), 'dev', 'up0']);
      // three quarters of 32,768; none of the ports that sockets are given below
      must(peer.ns, ['/usr/bin/python3', SERVERS, 'fill', ghost, '9', '2000', '30000']);
      // errors are limited to so many a tick, and the last of those were refused
      await sleep(1100);
      const before = bed.dropped('limit');
      expect(bed.many(peer.ns, ghost, 9, 3)).toEqual({ answered: 0, errors: Array(3).fill(error) });
      expect(bed.dropped('limit')).toBe(before + 3);
      expect(bed.many(box.ns, ghost, 9, 3, 1)).toEqual({ answered: 0, errors: [] });
      expect(bed.dropped('limit')).toBe(before + 3);
    }
  });
});
