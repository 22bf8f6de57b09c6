// SPDX-License-Identifier: Apache-2.0
/** What networks keep apart: the world, each other, the host, and who lies; what ports and containers may have. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must, run, sleep } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

let bed: Testbed;
let open: Container;
let open2: Container;

const ping = (ns: string, to: string, seconds = 10): number =>
  run(ns, ['ping', '-c', '1', '-W', String(seconds), to]).code;
const pingInVain = (ns: string, to: string): number => ping(ns, to, 0.5);
const gateway4 = (box: Container): string => box.ip.replace(/\d+$/, '1');
const gateway6 = (box: Container): string => box.ip6.replace(/::.*$/, '::1');
const macOf = (ns: string, link = 'eth0'): string =>
  (json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', link])[0] as { address: string }).address;
const url = (address: string, port: number): string =>
  address.includes(':') ? `http://[${address}]:${port}/` : `http://${address}:${port}/`;
const get = (ns: string, address: string, port: number): string => bed.curl(ns, url(address, port)).out;
const getNothing = (ns: string, address: string, port: number): string =>
  bed.curl(ns, url(address, port), '-m', '0.5').out;

/** The MAC that the gateway answers with. */
function gatewayMac(box: Container): string {
  ping(box.ns, gateway4(box));
  const [entry] = json<[{ lladdr: string }]>(box.ns, ['ip', '-j', 'neigh', 'show', gateway4(box)]);
  return entry.lladdr;
}

/** A frame of the container's own to its gateway. */
const toGateway = (box: Container): string => `Ether(src='${macOf(box.ns)}',dst='${gatewayMac(box)}')`;

async function counts(reason: string, what: () => unknown): Promise<number> {
  const before = bed.dropped(reason);
  await what();
  return bed.dropped(reason) - before;
}

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'open');
  open = bed.container('open', 'open', '-p', '8080:80', '-p', '5300:53/udp');
  open2 = bed.container('open2', 'open');
  for (const family of [4, 6] as const) {
    await bed.web(open.ns, 80, family);
    await bed.udpEcho(open.ns, 53, family);
    await bed.web(bed.ext1, 8000, family);
    await bed.udpEcho(bed.ext1, 9000, family);
    await bed.web(bed.host, 8100, family);
    await bed.udpEcho(bed.host, 9100, family);
  }
});
afterAll(() => bed.stop());

describe('an internal network', () => {
  let a: Container;
  let b: Container;

  beforeAll(async () => {
    bed.ok('network', 'create', '--ipv6', '--internal', 'sealed');
    a = bed.container('a', 'sealed');
    b = bed.container('b', 'sealed');
    for (const family of [4, 6] as const) await bed.web(b.ns, 80, family);
    expect(must(a.ns, ['ip', 'route', 'show', 'default'])).toBe('');
    expect(must(a.ns, ['ip', '-6', 'route', 'show', 'default'])).toBe('');
    // a container may ignore what it was given
    must(a.ns, ['ip', 'route', 'add', 'default', 'via', gateway4(a)]);
    must(a.ns, ['ip', '-6', 'route', 'add', 'default', 'via', gateway6(a)]);
  });

  it('lets its containers reach each other', () => {
    expect(get(a.ns, b.ip, 80)).toBe(a.ip);
    expect(get(a.ns, b.ip6, 80)).toBe(a.ip6);
    expect([ping(a.ns, b.ip), ping(a.ns, b.ip6)]).toEqual([0, 0]);
  });

  it('has no way out by TCP, UDP or echo', async () => {
    const outside = await bed.capture(bed.host, 'up0', 'ip or ip6');
    const dropped = await counts('internal', () => {
      expect([getNothing(a.ns, EXT1, 8000), getNothing(a.ns, EXT1_6, 8000)]).toEqual(['', '']);
      expect([EXT1, EXT1_6].map((to) => bed.udp(a.ns, to, 9000, { seconds: 1 }))).toEqual(['', '']);
      expect([pingInVain(a.ns, EXT1), pingInVain(a.ns, EXT1_6)]).toEqual([1, 1]);
    });
    expect(dropped).toBeGreaterThanOrEqual(6);
    expect((await outside.packets()).filter((p) => p.protocol !== 'icmp6' || p.icmpType === 128)).toEqual([]);
  });

  it('has none by fragments, unknown protocols or errors', async () => {
    const eth = toGateway(a);
    const outside = await bed.capture(bed.host, 'up0', 'ip or ip6');
    bed.inject(
      a.ns,
      'eth0',
      `${eth}/IP(src='${a.ip}',dst='${EXT1}',flags='MF')/UDP(dport=9000)/Raw(b'x'*24)`,
      `${eth}/IP(src='${a.ip}',dst='${EXT1}',frag=4,proto=17)/Raw(b'x'*24)`,
      `${eth}/IPv6(src='${a.ip6}',dst='${EXT1_6}')/IPv6ExtHdrFragment(m=1,nh=17)/UDP(dport=9000)/Raw(b'x'*24)`,
      `${eth}/IPv6(src='${a.ip6}',dst='${EXT1_6}')/IPv6ExtHdrFragment(offset=4,nh=17)/Raw(b'x'*24)`,
      `${eth}/IP(src='${a.ip}',dst='${EXT1}',proto=47)/Raw(b'x'*24)`,
      `${eth}/IP(src='${a.ip}',dst='${EXT1}')/ICMP(type=3,code=3)/IP(src='${EXT1}',dst='${a.ip}')/UDP(sport=9000,dport=9)`,
      `${eth}/IPv6(src='${a.ip6}',dst='${EXT1_6}')/ICMPv6DestUnreach(code=4)/IPv6(src='${EXT1_6}',dst='${a.ip6}')/UDP(sport=9000,dport=9)`,
      `${eth}/IP(src='${a.ip}',dst='${EXT1}',ttl=1)/TCP(dport=8000,flags='A')`,
      `${eth}/IP(src='${a.ip}',dst='${EXT1}')/TCP(dport=8000,flags='A')`,
    );
    expect((await outside.packets()).filter((p) => p.type === 0x0800 || p.dst === EXT1_6)).toEqual([]);
  });

  it('has none by published ports of others', async () => {
    const inside = await bed.capture(open.ns, 'eth0', 'tcp or udp');
    for (const address of [HOST, HOST_6, gateway4(open), gateway6(open), gateway4(a), gateway6(a)])
      expect(getNothing(a.ns, address, 8080)).toBe('');
    expect(bed.udp(a.ns, HOST, 5300, { seconds: 1 })).toBe('');
    expect(bed.udp(a.ns, HOST_6, 5300, { seconds: 1 })).toBe('');
    expect(await inside.packets()).toEqual([]);
  });

  it("does not reach the host's services, nor the host by echo", async () => {
    const dropped = await counts('no_host_access', () => {
      for (const address of [HOST, HOST_6, gateway4(a), gateway6(a)]) {
        expect(getNothing(a.ns, address, 8100)).toBe('');
        expect(bed.udp(a.ns, address, 9100, { seconds: 1 })).toBe('');
        expect(pingInVain(a.ns, address)).toBe(1);
      }
    });
    expect(dropped).toBeGreaterThanOrEqual(12);
  });

  it('is not reached from outside', () => {
    must(bed.ext1, ['ip', 'route', 'add', b.ip, 'via', HOST]);
    must(bed.ext1, ['ip', '-6', 'route', 'add', b.ip6, 'via', HOST_6]);
    expect([getNothing(bed.ext1, b.ip, 80), getNothing(bed.ext1, b.ip6, 80)]).toEqual(['', '']);
    expect([getNothing(open.ns, b.ip, 80), getNothing(open.ns, b.ip6, 80)]).toEqual(['', '']);
  });

  it('is reached by the host', () => {
    expect([get(bed.host, b.ip, 80), get(bed.host, b.ip6, 80)]).toEqual([gateway4(b), gateway6(b)]);
    expect([ping(bed.host, b.ip), ping(bed.host, b.ip6)]).toEqual([0, 0]);
  });
});

describe('a network with icc=false', () => {
  let a: Container;
  let b: Container;

  beforeAll(async () => {
    bed.ok('network', 'create', '--ipv6', '-o', 'icc=false', 'apart');
    a = bed.container('c', 'apart');
    b = bed.container('d', 'apart', '-p', '8200:80');
    for (const family of [4, 6] as const) await bed.web(b.ns, 80, family);
  });

  it('keeps its containers apart, also where one knows the other’s MAC', async () => {
    must(a.ns, ['ip', 'neigh', 'replace', b.ip, 'lladdr', macOf(b.ns), 'dev', 'eth0']);
    must(a.ns, ['ip', 'neigh', 'replace', b.ip6, 'lladdr', macOf(b.ns), 'dev', 'eth0']);
    const inside = await bed.capture(b.ns, 'eth0', `ether src ${macOf(a.ns)}`);
    const dropped = await counts('isolated', () => {
      expect([getNothing(a.ns, b.ip, 80), getNothing(a.ns, b.ip6, 80)]).toEqual(['', '']);
      expect([pingInVain(a.ns, b.ip), pingInVain(a.ns, b.ip6)]).toEqual([1, 1]);
    });
    expect(dropped).toBeGreaterThanOrEqual(4);
    bed.inject(
      a.ns,
      'eth0',
      `Ether(src='${macOf(a.ns)}',dst='ff:ff:ff:ff:ff:ff')/IP(src='${a.ip}',dst='255.255.255.255')/UDP(dport=9)`,
      `Ether(src='${macOf(a.ns)}',dst='33:33:00:00:00:01')/IPv6(src='${a.ip6}',dst='ff02::1')/UDP(dport=9)`,
      `Ether(src='${macOf(a.ns)}',dst='${macOf(b.ns)}',type=0x88b5)/Raw(b'x'*40)`,
    );
    expect(await inside.packets()).toEqual([]);
  });

  it('also where one goes by the gateway', async () => {
    const eth = toGateway(a);
    const inside = await bed.capture(b.ns, 'eth0', 'udp');
    const dropped = await counts('isolated', () =>
      bed.inject(
        a.ns,
        'eth0',
        `${eth}/IP(src='${a.ip}',dst='${b.ip}')/UDP(dport=9)`,
        `${eth}/IPv6(src='${a.ip6}',dst='${b.ip6}')/UDP(dport=9)`,
      ),
    );
    expect(dropped).toBe(2);
    expect(await inside.packets()).toEqual([]);
  });

  it('has the gateway, the way out and published ports', () => {
    expect([ping(a.ns, gateway4(a)), ping(a.ns, gateway6(a))]).toEqual([0, 0]);
    expect([get(a.ns, EXT1, 8000), get(a.ns, EXT1_6, 8000)]).toEqual([HOST, HOST_6]);
    expect([get(a.ns, HOST, 8100), get(a.ns, HOST_6, 8100)]).toEqual([a.ip, a.ip6]);
    expect([get(bed.ext1, HOST, 8200), get(bed.ext1, HOST_6, 8200)]).toEqual([EXT1, EXT1_6]);
    expect([get(bed.host, b.ip, 80), get(bed.host, b.ip6, 80)]).toEqual([gateway4(b), gateway6(b)]);
  });
});

describe('a network with host-access=false', () => {
  let guest: Container;

  beforeAll(async () => {
    bed.ok('network', 'create', '--ipv6', '-o', 'host-access=false', 'guests');
    guest = bed.container('guest', 'guests', '-p', '8300:80');
    for (const family of [4, 6] as const) {
      await bed.web(guest.ns, 80, family);
      await bed.udpEcho(guest.ns, 53, family);
    }
  });

  it("does not reach the host's services, on whatever address", async () => {
    const dropped = await counts('no_host_access', () => {
      for (const address of [HOST, HOST_6, gateway4(guest), gateway6(guest)]) {
        expect(getNothing(guest.ns, address, 8100)).toBe('');
        expect(bed.udp(guest.ns, address, 9100, { seconds: 1 })).toBe('');
        expect(pingInVain(guest.ns, address)).toBe(1);
      }
    });
    expect(dropped).toBeGreaterThanOrEqual(12);
  });

  it('nor by an echo that looks like the answer to one, nor by multicast', async () => {
    const eth = toGateway(guest);
    const seen = await bed.capture(guest.ns, 'eth0', 'icmp[0] == 0 or ( icmp6 and ip6[40] == 129 )');
    bed.inject(
      guest.ns,
      'eth0',
      `${eth}/IP(src='${guest.ip}',dst='${HOST}')/ICMP(type=8,id=0)`,
      `${eth}/IPv6(src='${guest.ip6}',dst='${HOST_6}')/ICMPv6EchoRequest(id=0)`,
      `Ether(src='${macOf(guest.ns)}',dst='33:33:00:00:00:01')/IPv6(src='${guest.ip6}',dst='ff02::1')/ICMPv6EchoRequest(id=7)`,
    );
    expect(await seen.packets()).toEqual([]);
  });

  it('reaches the world and published ports of other networks', () => {
    expect([get(guest.ns, EXT1, 8000), get(guest.ns, EXT1_6, 8000)]).toEqual([HOST, HOST_6]);
    expect(bed.udp(guest.ns, EXT1, 9000)).toMatch(/hello/);
    expect([get(guest.ns, HOST, 8080), get(guest.ns, HOST_6, 8080)]).toEqual([guest.ip, guest.ip6]);
  });

  it('is reached by the host and by the world', () => {
    expect([get(bed.host, guest.ip, 80), get(bed.host, guest.ip6, 80)]).toEqual([
      gateway4(guest),
      gateway6(guest),
    ]);
    expect(bed.udp(bed.host, guest.ip, 53)).toMatch(/hello/);
    expect(bed.udp(bed.host, guest.ip6, 53)).toMatch(/hello/);
    expect([ping(bed.host, guest.ip), ping(bed.host, guest.ip6)]).toEqual([0, 0]);
    expect([get(bed.ext1, HOST, 8300), get(bed.ext1, HOST_6, 8300)]).toEqual([EXT1, EXT1_6]);
  });
});

describe('a container that lies over IPv6', () => {
  it('is stopped, and counted by reason', async () => {
    const [mine, theirs] = [macOf(open2.ns), macOf(open.ns)];
    const router = gatewayMac(open2);
    const { ip, ip6 } = open2;
    const eth = (to: string): string => `Ether(src='${mine}',dst='${to}')`;
    const all = `${eth('33:33:00:00:00:01')}/IPv6(src='${ip6}',dst='ff02::1',hlim=255)`;
    const neighbour = `${eth(theirs)}/IPv6(src='${ip6}',dst='${open.ip6}',hlim=255)`;
    const advertised = (of: string): string =>
      `ICMPv6ND_NA(tgt='${of}',R=0,O=1)/ICMPv6NDOptDstLLAddr(lladdr='${mine}')`;
    const lies = {
      spoofed_address: [
        `${all}/${advertised(gateway6(open2))}`,
        `${neighbour}/${advertised(gateway6(open2))}`,
        `${eth(router)}/IPv6(src='${ip6}',dst='${gateway6(open2)}',hlim=255)/${advertised(open.ip6)}`,
        `${eth(theirs)}/IPv6(src='${gateway6(open2)}',dst='${open.ip6}')/UDP(sport=9,dport=53)`,
        `${eth(router)}/IPv6(src='2001:db8::bad',dst='${EXT1_6}')/UDP(sport=9,dport=9000)`,
        `${eth(theirs)}/IPv6(src='fe80::1',dst='${open.ip6}')/UDP(sport=9,dport=53)`,
        `${eth(theirs)}/IPv6(src='::',dst='${open.ip6}')/UDP(sport=9,dport=53)`,
      ],
      rogue: [
        `${all}/ICMPv6ND_RA()`,
        `${all}/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'\\0'*4)])/ICMPv6ND_RA()`,
        `${eth(router)}/IPv6(src='${ip6}',dst='${gateway6(open2)}',hlim=255)/ICMPv6ND_RA()`,
        `${neighbour}/ICMPv6ND_Redirect(tgt='${ip6}',dst='${EXT1_6}')`,
        `${neighbour}/UDP(sport=547,dport=546)/DHCP6_Reply()`,
        `${eth('ff:ff:ff:ff:ff:ff')}/IP(src='${ip}',dst='255.255.255.255')/UDP(sport=67,dport=68)/BOOTP(op=2)`,
      ],
      spoofed_mac: [
        `Ether(src='02:00:00:00:00:01',dst='${theirs}')/IPv6(src='${ip6}',dst='${open.ip6}')/UDP(sport=9,dport=53)`,
      ],
    };
    const link = json<{ ifname: string; address: string }[]>(bed.host, ['ip', '-j', 'link']).find(
      ({ address }) => address === router,
    )?.ifname as string;
    const inside = await bed.capture(open.ns, 'eth0', `ether src ${mine} or ether src 02:00:00:00:00:01`);
    const host = await bed.capture(bed.host, link, `ether src ${mine} or ether src 02:00:00:00:00:01`);
    for (const [reason, frames] of Object.entries(lies)) {
      expect([reason, await counts(reason, () => bed.inject(open2.ns, 'eth0', ...frames))]).toEqual([
        reason,
        frames.length,
      ]);
    }
    expect(await inside.packets()).toEqual([]);
    expect(await host.packets()).toEqual([]);
  });

  it('leaves the neighbours as they were', () => {
    expect(get(open.ns, EXT1_6, 8000)).toBe(HOST_6);
    expect(get(open2.ns, open.ip6, 80)).toBe(open2.ip6);
  });
});

describe('sources that a published port allows', () => {
  it('reach it, others do not and are counted', async () => {
    const box = bed.container(
      'choosy',
      'open',
      ...['-p', '8400:80', '-p', '5400:53/udp', '--allow', `${EXT1}/32`, '--allow', `${EXT1_6}/128`],
    );
    for (const family of [4, 6] as const) {
      await bed.web(box.ns, 80, family);
      await bed.udpEcho(box.ns, 53, family);
    }
    expect([get(bed.ext1, HOST, 8400), get(bed.ext1, HOST_6, 8400)]).toEqual([EXT1, EXT1_6]);
    expect(bed.udp(bed.ext1, HOST, 5400)).toMatch(/hello/);
    const dropped = await counts('not_allowed', () => {
      expect([getNothing(bed.ext2, HOST, 8400), getNothing(bed.ext2, HOST_6, 8400)]).toEqual(['', '']);
      expect([HOST, HOST_6].map((to) => bed.udp(bed.ext2, to, 5400, { seconds: 1 }))).toEqual(['', '']);
      expect([getNothing(open.ns, HOST, 8400), getNothing(open.ns, HOST_6, 8400)]).toEqual(['', '']);
    });
    expect(dropped).toBeGreaterThanOrEqual(6);
  });
});

describe('limits of one container', () => {
  it('on flows: more are refused, said so and counted; others have their own', async () => {
    bed.ok('network', 'create', '--ipv6', '-o', 'max-flows=4', 'few');
    const one = bed.container('few1', 'few');
    const two = bed.container('few2', 'few');
    let outcome = { answered: 0, errors: [] as string[] };
    const dropped = await counts('limit', () => {
      outcome = bed.many(one.ns, EXT1, 9000, 7);
    });
    expect(outcome).toEqual({ answered: 4, errors: Array(3).fill('EHOSTUNREACH') });
    expect(dropped).toBe(3);
    expect(bed.many(two.ns, EXT1_6, 9000, 6)).toEqual({ answered: 4, errors: ['EACCES', 'EACCES'] });
  });

  it('on new flows in a second, which the next second has again', async () => {
    bed.ok('network', 'create', '-o', 'max-new-flows=4', 'slow');
    const box = bed.container('slow', 'slow', '-p', '5500:53/udp');
    await bed.udpEcho(box.ns, 53);
    const { answered } = bed.many(box.ns, EXT1, 9000, 30, 2);
    expect(answered).toBeGreaterThanOrEqual(4);
    expect(answered).toBeLessThanOrEqual(8); // a tick may end meanwhile
    await sleep(1200);
    expect(bed.many(box.ns, EXT1, 9000, 4).answered).toBe(4);
    await sleep(1200);
    // those from outside count too
    expect(bed.many(bed.ext2, HOST, 5500, 30, 2).answered).toBeLessThanOrEqual(8);
  });
});
