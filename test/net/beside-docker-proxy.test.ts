// SPDX-License-Identifier: Apache-2.0
/**
 * What answers at a published port beside the addresses of the host's links, and
 * ports by which a container is known, of its own and of others' NAT.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { besideForeignBridge, THEIRS } from '../support/foreign-bridge.js';
import { must, run } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const LOCAL = { 4: '203.0.113.20', 6: '2001:db8:113::20' } as const;
const FAMILIES = [4, 6] as const;
const shown = (address: string): string => (address.includes(':') ? `[${address}]` : address);

let bed: Testbed;
let box: Container;
let other: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  must(bed.host, ['ip', 'route', 'add', 'local', '203.0.113.16/28', 'dev', 'lo']);
  must(bed.host, ['ip', '-6', 'route', 'add', 'local', '2001:db8:113::/64', 'dev', 'lo']);
  must(bed.ext1, ['ip', 'route', 'add', '203.0.113.0/24', 'via', HOST]);
  must(bed.ext1, ['ip', '-6', 'route', 'add', '2001:db8:113::/64', 'via', HOST_6]);
  bed.ok('network', 'create', 'lan', '--subnet', '10.64.0.0/24', '--subnet', 'fd00:64::/64');
  bed.ok('network', 'create', 'side', '--ipv6');
  box = bed.container('box', 'lan', '-p', '8080:80', '-p', '27015:27015/udp', '-p', '27015:27015');
  other = bed.container('other', 'side');
  for (const family of FAMILIES) {
    await bed.web(box.ns, 80, family);
    await bed.udpEcho(bed.ext1, 7000, family);
  }
});
afterAll(() => bed?.stop());

const get = (ns: string, address: string, port = 8080): string =>
  run(ns, ['curl', '-sg', '-m', '2', `http://${shown(address)}:${port}/`]).out;

describe.each(FAMILIES)('an address that is the host’s by a local route alone, IPv%i', (family) => {
  const address = LOCAL[family];

  it('answers at published ports: from outside, from the host and from containers', () => {
    expect(get(bed.ext1, address)).toBe(family === 4 ? EXT1 : EXT1_6);
    expect(get(bed.host, address)).not.toBe('');
    expect(get(other.ns, address)).toBe(family === 4 ? other.ip : other.ip6);
  });

  it('answers no longer when the route is gone, and again when it is back', async () => {
    const route = (what: 'add' | 'del'): void => {
      const prefix = family === 4 ? '203.0.113.16/28' : '2001:db8:113::/64';
      must(bed.host, ['ip', `-${family}`, 'route', what, 'local', prefix, 'dev', 'lo']);
    };
    const answers = () => get(bed.ext1, address) !== '';
    route('del');
    await expect.poll(answers, { timeout: 5_000 }).toBe(false);
    route('add');
    await expect.poll(answers, { timeout: 5_000 }).toBe(true);
  });
});

/** A datagram that is broadcast from a bound socket; who answered, and what. */
const BROADCAST = `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.settimeout(1)
s.bind((sys.argv[3], 0)); s.sendto(b'anybody', (sys.argv[1], int(sys.argv[2])))
try: d, a = s.recvfrom(99); print(a[0], a[1], d.decode())
except OSError: print('nobody')`;

describe('a broadcast of the LAN', () => {
  const ask = (address: string, port: number): string =>
    run(bed.ext1, ['/usr/bin/python3', '-c', BROADCAST, address, String(port), EXT1]).out.trim();

  it.each(['192.168.77.255', '255.255.255.255'])(
    'to %s reaches who has the UDP port on every address, whole, and is answered',
    async (address) => {
      const server = await bed.udpEcho(box.ns, 27015);
      for (const ns of [bed.ext1, box.ns]) bed.offloadsOff(ns, 'eth0');
      const inside = await bed.capture(box.ns, 'eth0', 'udp');
      expect(ask(address, 27015)).toMatch(new RegExp(`^${HOST} 27015 ${EXT1}:\\d+ anybody$`));
      const [asked, answered] = await inside.packets();
      expect(asked).toMatchObject({ src: EXT1, dst: box.ip, dport: 27015, sumsOk: true });
      expect(answered).toMatchObject({ src: box.ip, dst: EXT1, sport: 27015, sumsOk: true });
      await server.stop('SIGKILL');
    },
  );

  it('stays the host’s where nobody has published the port', async () => {
    const server = bed.background(bed.host, [
      '/usr/bin/python3',
      '-c',
      `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 27016)); print('ready', flush=True)
d, a = s.recvfrom(99); s.sendto(b'host', a)`,
    ]);
    await server.says(/ready/);
    expect(ask('192.168.77.255', 27016)).toMatch(/ 27016 host$/);
    await server.end();
  });
});

describe.each(FAMILIES)('a container that sends from the port that it publishes, IPv%i', (family) => {
  const [host, peer] = family === 4 ? [HOST, EXT1] : [HOST_6, EXT1_6];

  it('is seen by that port, however often, and answered there', () => {
    for (let i = 0; i < 3; i++)
      expect(bed.udp(box.ns, peer, 7000, { sport: 27015 })).toBe(`${shown(host)}:27015 hello`);
    const held = bed.list<{ source: string; sourcePort: number }[]>('conntrack', 'ls');
    expect(held.filter(({ sourcePort }) => sourcePort === 27015).length).toBeGreaterThan(0);
  });

  it('does not get the published port of another one', () => {
    const answer = bed.udp(other.ns, peer, 7000, { sport: 27015 });
    expect(answer).toMatch(/:\d+ hello$/);
    expect(answer).not.toContain(':27015 ');
  });
});

/** The first datagrams of one socket from two CPUs at once: by which ports they were seen, of how many sockets more than one. */
const RACE = `import os, socket, sys, threading
peer, rounds, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]); bad = []
cpus = sorted(os.sched_getaffinity(0))
for r in range(rounds):
    s = socket.socket(socket.AF_INET6 if ':' in peer else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', first + r)); s.settimeout(2); go = threading.Barrier(2)
    def shoot(cpu):
        os.sched_setaffinity(threading.get_native_id(), {cpu}); go.wait()
        for _ in range(3): s.sendto(b'x', (peer, 7000))
    ts = [threading.Thread(target=shoot, args=(cpus[i % len(cpus)],)) for i in range(2)]
    [t.start() for t in ts]; [t.join() for t in ts]
    seen = {s.recvfrom(99)[0].split()[0] for _ in range(6)}
    if len(seen) != 1: bad.append(sorted(seen))
    s.close()
print(len(bad), bad[:2])`;

describe.each(FAMILIES)('the first datagrams of a socket on two CPUs at once, IPv%i', (family) => {
  it('have one mapping, where the port is free and where another container has it', () => {
    const peer = family === 4 ? EXT1 : EXT1_6;
    const race = (ns: string): string =>
      run(ns, ['/usr/bin/python3', '-c', RACE, peer, '200', String(family * 1000 + 16000)]).out.trim();
    expect(race(other.ns)).toBe('0 []');
    expect(race(box.ns)).toBe('0 []');
  });
});

describe('a port that netfilter leads to a bridge of somebody else', () => {
  const CHAINS = `
  chain pre { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 8181 dnat to ${THEIRS}:80; fib daddr type local udp dport 8181 dnat to ${THEIRS}:53; }
  chain post { type nat hook postrouting priority srcnat; ip saddr 10.9.0.0/24 ip daddr != 10.9.0.0/24 masquerade; }`;

  it('is reached by a container of ours at every address of the host, and back', async () => {
    await besideForeignBridge(bed, 'theirs', CHAINS, async (theirs) => {
      await bed.web(theirs, 80);
      await bed.udpEcho(theirs, 53);
      for (const address of [HOST, '10.64.0.1', '192.168.88.1']) {
        expect(get(box.ns, address, 8181)).toBe(box.ip);
        expect(bed.udp(box.ns, address, 8181)).toMatch(/ hello$/);
      }
      // nobody there gets in who was not asked
      must(theirs, ['ip', 'route', 'replace', '10.64.0.0/24', 'via', '10.9.0.1']);
      expect(get(theirs, box.ip, 80)).toBe('');
      // the other way round
      expect(get(theirs, HOST)).not.toBe('');
    });
  });
});

/** Connections from a hundred ports round and round, each ended by a reset: who answered how often. */
const ROUND = `import collections, socket, struct, sys
c = collections.Counter(); f = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
for k in range(300):
    s = socket.socket(f); s.setsockopt(1, 2, 1); s.settimeout(4); s.bind(('', 41000 + k % 100))
    s.connect((sys.argv[1], 8000)); s.sendall(b'x'); c[s.recv(99).split()[0].decode()] += 1
    s.setsockopt(1, 13, struct.pack('ii', 1, 0)); s.close()
print(' '.join(sorted(c)))`;

describe.each(FAMILIES)('a client that goes round its source ports, IPv%i', (family) => {
  it('reaches the backends that came since', async () => {
    const name = `round${family}`;
    const backends = [1, 2, 3].map((n) => bed.container(`r${family}${n}`, 'lan'));
    for (const [n, backend] of backends.entries()) {
      const server = bed.background(backend.ns, [
        '/usr/bin/python3',
        '-c',
        `import socket
l = socket.create_server(('::', 80), family=socket.AF_INET6, dualstack_ipv6=True); print('ready', flush=True)
while True:
    c, _ = l.accept()
    try: c.recv(9); c.sendall(b'b${n + 1} ')
    except OSError: pass
    c.close()`,
      ]);
      await server.says(/ready/);
    }
    const at = (n: number): string => `lan.${backends[n]?.ns}`;
    bed.ok(
      ...['service', 'create', name, '--network', 'lan', '--port', '80', '--publish', '8000:80'],
      ...['--backend', at(0), '--backend', at(1)],
    );
    const round = () => run(bed.ext1, ['/usr/bin/python3', '-c', ROUND, family === 4 ? HOST : HOST_6]);
    expect(round().out.trim()).toBe('b1 b2');
    bed.ok('service', 'add-backend', name, at(2));
    expect(round().out.trim()).toBe('b1 b2 b3');
    bed.ok('service', 'rm', name);
  });
});
