// SPDX-License-Identifier: Apache-2.0
/** IPv6 with real packets: within a network, out of it, into it, and what must not happen. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Packet } from '../support/capture.js';
import { json, must, run } from '../support/process.js';
import {
  type Container,
  EXT1,
  EXT1_6,
  EXT2_6,
  EXT3_6,
  HOST,
  HOST_6,
  HOST2_6,
  Testbed,
} from '../support/testbed.js';

let bed: Testbed;
let one: Container;
let two: Container;
let other: Container;
let plain: Container;

const ping = (ns: string, to: string, ...flags: string[]): number =>
  run(ns, ['ping', '-6', '-c', '2', '-i', '0.2', '-W', '3', ...flags, to]).code;
const gateway = (box: Container): string => box.ip6.replace(/::.*$/, '::1');
const macOf = (ns: string, link: string): string =>
  (json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', link])[0] as { address: string }).address;
/** All that a router on the way leaves alone. */
const lasting = ({ time, ethSrc, ethDst, sum, ttl, src, dst, sport, dport, ...rest }: Packet) => rest;

/** RFC 4291, appendix A. */
const linkLocal = (mac: string): string => {
  const b = mac.split(':').map((x) => Number.parseInt(x, 16));
  b[0] = (b[0] as number) ^ 2;
  const hex = [...b.slice(0, 3), 0xff, 0xfe, ...b.slice(3)].map((x) => x.toString(16).padStart(2, '0'));
  return `fe80::${hex.join('').replace(/(....)(?=.)/g, '$1:')}`;
};

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'six');
  bed.ok('network', 'create', '--subnet', '10.9.0.0/24', '--subnet', 'fd00:9::/64', 'given');
  bed.ok('network', 'create', 'plain');
  one = bed.container(
    'one',
    'six',
    ...['-p', '8080:80', '-p', `[${HOST_6}]:8180:80`, '-p', '0.0.0.0:8081:80', '-p', '[::]:8082:80'],
    ...['-p', '5300:53/udp'],
  );
  two = bed.container('two', 'six');
  other = bed.container('other', 'given', '--ip6', 'fd00:9::77', '-p', '9080:80');
  plain = bed.container('plain', 'plain', '-p', '9180:80');
  await bed.web(one.ns, 80, 6);
  await bed.web(one.ns, 80, 4);
  await bed.udpEcho(one.ns, 53, 6);
  await bed.web(other.ns, 80, 6);
  await bed.web(plain.ns, 80, 4);
  await bed.web(bed.ext1, 8000, 6);
  await bed.udpEcho(bed.ext1, 9000, 6);
});
afterAll(() => bed.stop());

describe('a container', () => {
  it('has an address of the pool or of the subnet given, and a default route', () => {
    expect(one.ip6).toMatch(/^fd[0-9a-f:]+::2$/);
    expect(other.ip6).toBe('fd00:9::77');
    for (const box of [one, other]) {
      const routes = json(box.ns, ['ip', '-j', '-6', 'route', 'show', 'default']);
      expect(routes).toMatchObject([{ gateway: gateway(box), dev: 'eth0' }]);
    }
  });

  it('has its address at once: no detection of duplicates', () => {
    const late = bed.container('late', 'six');
    expect(run(late.ns, ['ping', '-6', '-c', '1', '-W', '10', gateway(late)]).code).toBe(0);
    bed.ok('disconnect', 'six', late.ns);
    bed.ok('sandbox', 'rm', late.ns);
  });

  it('reaches the gateway and its neighbours, whatever ip6tables forwards', () => {
    must(bed.host, ['ip6tables', '-P', 'FORWARD', 'DROP']);
    expect(ping(one.ns, gateway(one))).toBe(0);
    must(two.ns, ['ip', '-6', 'neigh', 'flush', 'dev', 'eth0']);
    expect(ping(two.ns, one.ip6)).toBe(0);
    expect(bed.curl(two.ns, `http://[${one.ip6}]/`).out).toBe(two.ip6);
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8080/`).out).toBe(EXT1_6);
    expect(bed.curl(one.ns, `http://[${EXT1_6}]:8000/`).out).toBe(HOST_6);
  });

  it('reaches services of the host, and is reached by the host', async () => {
    await bed.web(bed.host, 8100, 6);
    expect(bed.curl(one.ns, `http://[${HOST_6}]:8100/`).out).toBe(one.ip6);
    expect(bed.curl(one.ns, `http://[${gateway(one)}]:8100/`).out).toBe(one.ip6);
    expect(bed.curl(bed.host, `http://[${one.ip6}]/`).out).toBe(gateway(one));
    expect(ping(bed.host, one.ip6)).toBe(0);
  });

  it('of a network without IPv6 has no address of it, not even fe80', () => {
    expect(must(plain.ns, ['ip', '-6', 'addr', 'show', 'dev', 'eth0'])).toBe('');
    expect(must(plain.ns, ['ip', '-6', 'route', 'show', 'dev', 'eth0'])).toBe('');
  });

  it('cannot take IPv6 on a network without it', async () => {
    const before = bed.dropped('no_ipv6');
    bed.inject(
      plain.ns,
      'eth0',
      `Ether(src='${macOf(plain.ns, 'eth0')}',dst='33:33:00:00:00:01')/IPv6(src='fe80::1',dst='ff02::1')/ICMPv6EchoRequest()`,
    );
    expect(bed.dropped('no_ipv6')).toBe(before + 1);
  });
});

describe('a published port', () => {
  it('gives the server the address of the client', () => {
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8080/`).out).toBe(EXT1_6);
    expect(bed.curl(bed.ext2, `http://[${HOST_6}]:8080/`).out).toBe(EXT2_6);
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(bed.udp(bed.ext1, HOST_6, 5300, { sport: 4444 })).toBe(`[${EXT1_6}]:4444 hello`);
  });

  it('answers on every address of the host, and on the one given only there', () => {
    expect(bed.curl(bed.ext3, `http://[${HOST2_6}]:8080/`).out).toBe(EXT3_6);
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8180/`).out).toBe(EXT1_6);
    expect(bed.curl(bed.ext3, `http://[${HOST2_6}]:8180/`).code).not.toBe(0);
  });

  it('of all addresses of one family does not answer in the other', () => {
    expect(bed.curl(bed.ext1, `http://${HOST}:8081/`).out).toBe(EXT1);
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8081/`).code).not.toBe(0);
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8082/`).out).toBe(EXT1_6);
    expect(bed.curl(bed.ext1, `http://${HOST}:8082/`).code).not.toBe(0);
    expect(bed.curl(bed.ext1, `http://${HOST}:8180/`).code).not.toBe(0);
  });

  it('of a container without IPv6 answers over IPv4 only', () => {
    expect(bed.curl(bed.ext1, `http://${HOST}:9180/`).out).toBe(EXT1);
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:9180/`).code).not.toBe(0);
  });

  it('rewrites destination and nothing else on the way in, source on the way out', async () => {
    bed.offloadsOff(bed.ext1, 'eth0');
    bed.offloadsOff(one.ns, 'eth0');
    const outside = await bed.capture(bed.ext1, 'eth0', 'ip6 and tcp');
    const inside = await bed.capture(one.ns, 'eth0', 'ip6 and tcp');
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8080/3000`).out).toHaveLength(3000);
    const [out, into] = [await outside.packets(), await inside.packets()];
    expect([...out, ...into].filter((p) => !p.sumsOk)).toEqual([]);
    const requests = out.filter((p) => p.src === EXT1_6);
    const arrived = into.filter((p) => p.src === EXT1_6);
    expect(requests.length).toBeGreaterThan(4);
    expect(arrived.map(lasting)).toEqual(requests.map(lasting));
    requests.forEach(({ sport, ttl }, i) => {
      expect(arrived[i]).toMatchObject({ dst: one.ip6, sport, dport: 80, ttl: (ttl as number) - 1 });
    });
    const replies = into.filter((p) => p.src === one.ip6);
    const delivered = out.filter((p) => p.src === HOST_6);
    expect(delivered.map(lasting)).toEqual(replies.map(lasting));
    replies.forEach(({ dport, ttl }, i) => {
      expect(delivered[i]).toMatchObject({ dst: EXT1_6, sport: 8080, dport, ttl: (ttl as number) - 1 });
    });
  });

  it('carries megabytes with offloads on', () => {
    for (const ns of [bed.ext1, one.ns])
      must(ns, ['ethtool', '-K', 'eth0', 'tx', 'on', 'rx', 'on', 'tso', 'on', 'gso', 'on', 'gro', 'on']);
    const size = ['-o', '/dev/null', '-w', '%{size_download}'];
    expect(bed.curl(bed.ext1, `http://[${HOST_6}]:8080/${32 << 20}`, ...size).out).toBe(String(32 << 20));
    expect(bed.curl(one.ns, `http://[${EXT1_6}]:8000/${32 << 20}`, ...size).out).toBe(String(32 << 20));
  });

  it('takes datagrams with extension headers, which stay as they are', async () => {
    bed.offloadsOff(one.ns, 'eth0');
    const inside = await bed.capture(one.ns, 'eth0', 'ip6 and not icmp6');
    const outside = await bed.capture(bed.ext2, 'eth0', 'ip6 and udp');
    const ip = `Ether(dst='${macOf(bed.host, 'up0')}')/IPv6(src='${EXT2_6}',dst='${HOST_6}')`;
    bed.inject(
      bed.ext2,
      'eth0',
      `${ip}/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'\\0'*4)])/UDP(sport=5601,dport=5300)/Raw(b'hop')`,
      `${ip}/IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1e,optdata=b'\\0'*12)])/UDP(sport=5602,dport=5300)/Raw(b'dest')`,
      `${ip}/IPv6ExtHdrHopByHop(options=[PadN(optdata=b'\\0'*4)])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b'\\0'*4)])/UDP(sport=5603,dport=5300)/Raw(b'both')`,
    );
    const arrived = (await inside.packets()).filter((p) => p.src === EXT2_6);
    expect(arrived.map((p) => [p.dst, p.sport, p.dport, p.sumsOk])).toEqual(
      [5601, 5602, 5603].map((sport) => [one.ip6, sport, 53, true]),
    );
    expect(arrived).toMatchObject([{ extensions: [0] }, { extensions: [60] }, { extensions: [0, 60] }]);
    const answers = (await outside.packets()).filter((p) => p.src === HOST_6);
    expect(answers.map((p) => [p.sport, p.dport])).toEqual([
      [5300, 5601],
      [5300, 5602],
      [5300, 5603],
    ]);
  });
});

describe('out of the network', () => {
  it("arrives from the host's address, every field but source, hop limit and checksums unchanged", async () => {
    bed.offloadsOff(one.ns, 'eth0');
    bed.offloadsOff(bed.ext1, 'eth0');
    const inside = await bed.capture(one.ns, 'eth0', 'ip6 and tcp');
    const outside = await bed.capture(bed.ext1, 'eth0', 'ip6 and tcp');
    expect(bed.curl(one.ns, `http://[${EXT1_6}]:8000/`).out).toBe(HOST_6);
    const [sent, seen] = [await inside.packets(), await outside.packets()];
    expect([...sent, ...seen].filter((p) => !p.sumsOk)).toEqual([]);
    const out = sent.filter((p) => p.src === one.ip6);
    const arrived = seen.filter((p) => p.dst === EXT1_6);
    expect(out.length).toBeGreaterThan(4);
    expect(arrived.map(lasting)).toEqual(out.map(lasting));
    out.forEach(({ sport, dport, ttl }, i) => {
      expect(arrived[i]).toMatchObject({ src: HOST_6, sport, dport, ttl: (ttl as number) - 1 });
    });
    const back = seen.filter((p) => p.src === EXT1_6);
    const received = sent.filter((p) => p.dst === one.ip6);
    expect(received.map(lasting)).toEqual(back.map(lasting));
    back.forEach(({ sport, dport, ttl }, i) => {
      expect(received[i]).toMatchObject({ src: EXT1_6, sport, dport, ttl: (ttl as number) - 1 });
    });
  });

  it('leaves by the uplink that the routing table names, with its address', async () => {
    await bed.web(bed.ext3, 8001, 6);
    expect(bed.curl(two.ns, `http://[${EXT3_6}]:8001/`).out).toBe(HOST2_6);
  });

  it('gives two containers with the same port to the same peer one each, both answered', () => {
    expect(bed.udp(one.ns, EXT1_6, 9000, { sport: 5002 })).toBe(`[${HOST_6}]:5002 hello`);
    const second = bed.udp(two.ns, EXT1_6, 9000, { sport: 5002 });
    expect(second).toMatch(/]:\d+ hello$/);
    expect(Number(second.split(/]:| /)[1])).toBeGreaterThanOrEqual(32768);
    expect(second.startsWith(`[${HOST_6}]:`)).toBe(true);
  });

  it('tells two containers that ping with one identifier apart', async () => {
    const outside = await bed.capture(bed.ext2, 'eth0', 'icmp6 and ip6[40] == 128');
    expect([ping(one.ns, EXT2_6, '-e', '77'), ping(two.ns, EXT2_6, '-e', '77')]).toEqual([0, 0]);
    const asked = await outside.packets();
    expect(asked).toHaveLength(4);
    expect(asked.filter((p) => !p.sumsOk || p.src !== HOST_6)).toEqual([]);
    expect(asked.map((p) => p.icmpId).filter((id) => id === 77)).toHaveLength(2);
    expect(new Set(asked.map((p) => p.icmpId)).size).toBe(2);
  });
});

describe('between networks', () => {
  it('is closed but for published ports, where the server sees the client', () => {
    const before = bed.dropped('isolated');
    expect(bed.curl(other.ns, `http://[${one.ip6}]/`, '-m', '1').code).toBe(28);
    expect(ping(other.ns, one.ip6)).not.toBe(0);
    expect(bed.dropped('isolated')).toBeGreaterThanOrEqual(before + 3);
    expect(bed.curl(other.ns, `http://[${HOST_6}]:8080/`).out).toBe(other.ip6);
    expect(bed.curl(two.ns, `http://[${HOST_6}]:9080/`).out).toBe(two.ip6);
  });

  it('an own published port, and a neighbour’s, is reached as if from the gateway', () => {
    expect(bed.curl(one.ns, `http://[${HOST_6}]:8080/`).out).toBe(gateway(one));
    expect(bed.curl(two.ns, `http://[${HOST_6}]:8080/`).out).toBe(gateway(one));
    expect(bed.udp(two.ns, HOST_6, 5300, { sport: 4545 })).toBe(`[${gateway(one)}]:4545 hello`);
  });
});

describe("a container's own address", () => {
  it('is refused from outside, and counted', () => {
    must(bed.ext1, ['ip', '-6', 'route', 'add', one.ip6, 'via', HOST_6]);
    const before = bed.dropped('direct_routing');
    expect(bed.curl(bed.ext1, `http://[${one.ip6}]/`, '-m', '1').code).toBe(28);
    expect(bed.udp(bed.ext1, one.ip6, 53, { seconds: 1 })).toBe('');
    expect(ping(bed.ext1, one.ip6)).not.toBe(0);
    expect(bed.dropped('direct_routing')).toBeGreaterThanOrEqual(before + 4);
  });
});

describe('the host', () => {
  it('learns nothing from router advertisements of a container', async () => {
    const routes = () => must(bed.host, ['ip', '-6', 'route', 'show', 'table', 'all']);
    const addresses = () => must(bed.host, ['ip', '-6', 'addr']);
    const before = [routes().split('\n').sort(), addresses()];
    const rogue = bed.dropped('rogue');
    const mac = macOf(one.ns, 'eth0');
    bed.inject(
      one.ns,
      'eth0',
      `Ether(src='${mac}',dst='33:33:00:00:00:01')/IPv6(src='${linkLocal(mac)}',dst='ff02::1',hlim=255)/ICMPv6ND_RA(routerlifetime=1800)/ICMPv6NDOptPrefixInfo(prefix='2001:db8:bad::',prefixlen=64)`,
    );
    await expect.poll(() => bed.dropped('rogue')).toBe(rogue + 1);
    expect([routes().split('\n').sort(), addresses()]).toEqual(before);
  });
});
