// SPDX-License-Identifier: Apache-2.0
/** What leaves a container, and what comes back to it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { besideForeignBridge } from '../support/foreign-bridge.js';
import { must, run, until } from '../support/process.js';
import { EXT1, EXT1_6, EXT2, HOST, HOST_6, HOST2, Testbed } from '../support/testbed.js';

let bed: Testbed;
let one: { ns: string; ip: string };
let two: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan');
  one = bed.container('one', 'lan', '-p', '6000:6000/udp');
  two = bed.container('two', 'lan');
  await bed.web(bed.ext1, 8000);
  await bed.udpEcho(bed.ext1, 9000);
});
afterAll(() => bed.stop());

describe('TCP', () => {
  it("arrives from the host's address, every field but source, TTL and checksums unchanged", async () => {
    bed.offloadsOff(one.ns, 'eth0');
    bed.offloadsOff(bed.ext1, 'eth0');
    const inside = await bed.capture(one.ns, 'eth0', 'tcp');
    const outside = await bed.capture(bed.ext1, 'eth0', 'tcp');
    expect(bed.curl(one.ns, `http://${EXT1}:8000/`).out).toBe(HOST);
    const [sent, seen] = [await inside.packets(), await outside.packets()];
    expect([...sent, ...seen].every((p) => p.sumsOk)).toBe(true);
    const out = sent.filter((p) => p.src === one.ip);
    const arrived = seen.filter((p) => p.dst === EXT1);
    expect(arrived).toHaveLength(out.length);
    out.forEach((p, i) => {
      const { time, ethSrc, ethDst, sum, ...fields } = p;
      // the source port is free outside, so it is kept
      expect(arrived[i]).toMatchObject({ ...fields, src: HOST, sport: p.sport, ttl: (p.ttl as number) - 1 });
    });
    const back = seen.filter((p) => p.src === EXT1);
    const received = sent.filter((p) => p.dst === one.ip);
    expect(received).toHaveLength(back.length);
    back.forEach((p, i) => {
      const { time, ethSrc, ethDst, sum, ...fields } = p;
      expect(received[i]).toMatchObject({ ...fields, dst: one.ip, ttl: (p.ttl as number) - 1 });
    });
  });

  it('leaves by the uplink that the routing table names, with its address', async () => {
    await bed.web(bed.ext3, 8001);
    expect(bed.curl(two.ns, 'http://192.168.88.2:8001/').out).toBe(HOST2);
  });

  it('resets what opens in the middle of nothing', () => {
    expect(bed.curl(one.ns, `http://${EXT1}:8999/`).code).toBe(7);
  });
});

describe('UDP', () => {
  it('keeps the source port where it is free', () => {
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5001 })).toBe(`${HOST}:5001 hello`);
  });

  it('gives two containers with the same port to the same peer one each, both answered', () => {
    const first = bed.udp(one.ns, EXT1, 9000, { sport: 5002 });
    const second = bed.udp(two.ns, EXT1, 9000, { sport: 5002 });
    expect(first).toBe(`${HOST}:5002 hello`);
    expect(second).toMatch(new RegExp(`^${HOST}:\\d+ hello$`));
    expect(second).not.toBe(first);
    const port = Number(second.split(/[: ]/)[1]);
    expect(port).toBeGreaterThanOrEqual(32768);
  });

  it('never takes a port that the host publishes, nor one that its sockets hold', async () => {
    expect(bed.udp(two.ns, EXT1, 9000, { sport: 6000 })).toMatch(new RegExp(`^${HOST}:(?!6000 )\\d+ hello$`));
    const server = await bed.udpEcho(bed.host, 5777);
    expect(bed.udp(two.ns, EXT1, 9000, { sport: 5777 })).toMatch(new RegExp(`^${HOST}:(?!5777 )\\d+ hello$`));
    await server.stop('SIGKILL');
  });

  it("moves the host's own flow aside where a container has its port, and both are answered", () => {
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5100 })).toBe(`${HOST}:5100 hello`);
    expect(bed.udp(bed.host, EXT1, 9000, { sport: 5100, text: 'host' })).toMatch(
      new RegExp(`^${HOST}:(?!5100 )\\d+ host$`),
    );
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5100, text: 'again' })).toBe(`${HOST}:5100 again`);
  });

  it('lets nobody else use the mapping', async () => {
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5200 })).toBe(`${HOST}:5200 hello`);
    const inside = await bed.capture(one.ns, 'eth0', 'udp');
    run(bed.ext2, [
      '/usr/bin/python3',
      '-c',
      `import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9000)); s.sendto(b'x', ('${HOST}', 5200))`,
    ]);
    expect(await inside.packets()).toEqual([]);
  });
});

describe('ICMP echo', () => {
  it('is answered, with checksums right on both sides', async () => {
    const outside = await bed.capture(bed.ext1, 'eth0', 'icmp');
    expect(run(one.ns, ['ping', '-c', '2', '-i', '0.2', '-W', '10', EXT1]).code).toBe(0);
    const packets = await outside.packets();
    expect(packets).toHaveLength(4);
    expect(packets.every((p) => p.sumsOk)).toBe(true);
    expect(packets[0]).toMatchObject({ src: HOST, dst: EXT1, icmpType: 8 });
  });

  it('tells two containers with one identifier apart', () => {
    const ping = (ns: string) => run(ns, ['ping', '-e', '77', '-c', '2', '-i', '0.2', '-W', '10', EXT2]).code;
    expect([ping(one.ns), ping(two.ns)]).toEqual([0, 0]);
    const flows = bed.list<{ protocol: string }[]>('conntrack', 'ls');
    expect(flows.filter((f) => f.protocol === 'icmp').length).toBeGreaterThanOrEqual(2);
  });
});

describe('the gateway', () => {
  it('answers, and the stack behind it', async () => {
    expect(run(one.ns, ['ping', '-c', '1', '-W', '10', one.ip.replace(/\d+$/, '1')]).code).toBe(0);
    await bed.web(bed.host, 8100);
    expect(bed.curl(one.ns, `http://${HOST}:8100/`).out).toBe(one.ip);
  });

  it('says time exceeded for a hop count that ends there', () => {
    const trace = run(one.ns, ['ping', '-t', '1', '-c', '1', '-W', '1', EXT1]);
    expect(trace.out).toMatch(/Time to live exceeded/);
  });
});

describe('beside a bridge that netfilter masquerades', () => {
  const CHAINS =
    'chain post { type nat hook postrouting priority srcnat; ip saddr 10.9.0.0/24 masquerade; };';

  it.each(['udp', 'tcp'] as const)('leaves the ports of its mappings to it: %s', async (protocol) => {
    await besideForeignBridge(bed, `theirs-${protocol}`, CHAINS, async (theirs) => {
      if (protocol === 'udp') {
        expect(bed.udp(theirs, EXT1, 9000, { sport: 5500 })).toBe(`${HOST}:5500 hello`);
        const ours = bed.udp(one.ns, EXT1, 9000, { sport: 5500 });
        expect(ours).toMatch(new RegExp(`^${HOST}:(?!5500 )\\d+ hello$`));
        expect(bed.udp(theirs, EXT1, 9000, { sport: 5500 })).toBe(`${HOST}:5500 hello`);
        // one publishes this port, of which netfilter knows nothing
        expect(bed.udp(theirs, EXT1, 9000, { sport: 6000 })).toBe(`${HOST}:6000 hello`);
        return;
      }
      // some two seconds
      const slow = ['--limit-rate', '10M', '-o', '/dev/null', '-w', '%{size_download}'];
      const url = `http://${EXT1}:8000`;
      const download = bed.background(theirs, [
        'curl',
        '-s',
        '--local-port',
        '5500',
        ...slow,
        `${url}/20000000`,
      ]);
      const tracked = (): string => readFileSync(`/proc/${bed.daemon?.pid}/net/nf_conntrack`, 'utf8');
      await until(() => /tcp .*ESTABLISHED .*sport=5500/.test(tracked()), 'the download has begun');
      const ours = bed.curl(one.ns, `${url}/port`, '--local-port', '5500').out;
      expect(ours).toMatch(new RegExp(`^${HOST}:(?!5500$)\\d+$`));
      expect(await download.end()).toBe(0);
      expect(download.out).toBe('20000000');
    });
  });
});

describe('a network without masquerade', () => {
  it("is routed with the containers' own addresses, both ways", async () => {
    bed.ok('network', 'create', '-o', 'masquerade=false', 'routed');
    const box = bed.container('routed', 'routed');
    must(bed.ext1, ['ip', 'route', 'add', box.ip, 'via', HOST]);
    expect(bed.curl(box.ns, `http://${EXT1}:8000/`).out).toBe(box.ip);
    await bed.web(box.ns, 80);
    expect(bed.curl(bed.ext1, `http://${box.ip}/`).out).toBe(EXT1);
  });
});

describe('with exemptions and a range of its own', () => {
  let own: Testbed;
  let box: { ns: string; ip: string; ip6: string };
  const FLAGS = ['--masquerade-ports', '40000-40999', '--metrics', '127.0.0.1:9477'];
  const EXEMPT = ['192.168.77.2/32', `${EXT1_6}/128`].flatMap((cidr) => ['--masquerade-except', cidr]);

  beforeAll(async () => {
    own = await Testbed.start({ daemonFlags: [...FLAGS, ...EXEMPT] });
    own.ok('network', 'create', '--ipv6', 'lan');
    box = own.container('box', 'lan');
    must(own.ext1, ['ip', 'route', 'add', box.ip, 'via', HOST]);
    must(own.ext1, ['ip', 'route', 'add', box.ip6, 'via', HOST_6]);
    for (const [ns, family] of [
      [own.ext1, 4],
      [own.ext1, 6],
      [own.ext2, 4],
    ] as const)
      await own.web(ns, family === 4 ? 8000 : 8006, family);
  });
  afterAll(() => own.stop());

  it('is known by its own address there, both families, and by the host’s elsewhere', async () => {
    const outside = await own.capture(own.ext1, 'eth0', 'tcp');
    expect(own.curl(box.ns, `http://${EXT1}:8000/`).out).toBe(box.ip);
    expect(own.curl(box.ns, `http://[${EXT1_6}]:8006/`).out).toBe(box.ip6);
    expect(own.curl(box.ns, `http://${EXT2}:8000/`).out).toBe(HOST);
    const packets = await outside.packets();
    expect(packets.length).toBeGreaterThan(10);
    for (const p of packets) expect([p.src, p.dst]).toContain(p.src?.includes(':') ? box.ip6 : box.ip);
  });

  it('is still not reached from there without having asked', async () => {
    await own.web(box.ns, 80);
    const before = own.dropped('direct_routing');
    expect(own.curl(own.ext1, `http://${box.ip}/`, '-m', '1').code).toBe(28);
    expect(own.dropped('direct_routing')).toBeGreaterThan(before);
  });

  it('takes a port of the range where the own one is taken', async () => {
    const other = own.container('other', 'lan');
    await own.udpEcho(own.ext2, 9000);
    expect(own.udp(box.ns, EXT2, 9000, { sport: 5001 })).toBe(`${HOST}:5001 hello`);
    expect(own.udp(other.ns, EXT2, 9000, { sport: 5001 })).toMatch(new RegExp(`^${HOST}:40\\d{3} hello$`));
    expect(own.curl(own.host, 'http://127.0.0.1:9477/metrics').out).toMatch(
      /^sluice_snat_ports_offered 1000$/m,
    );
  });

  it('forgets an exemption that the next daemon is not given', async () => {
    await own.killDaemon('SIGTERM');
    await own.startDaemon(['--masquerade-except', '203.0.113.0/24']);
    expect(own.curl(box.ns, `http://${EXT1}:8000/`).out).toBe(HOST);
  });
});
