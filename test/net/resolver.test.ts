// SPDX-License-Identifier: Apache-2.0
/** Names as programs in sandboxes resolve them, at 127.0.0.11:53, with the socket hooks and the C library between. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, must, run, until } from '../support/process.js';
import { type Container, EXT1, Testbed } from '../support/testbed.js';

const DNS = join(import.meta.dirname, '../support/dns.py');
const LOOPBACK = '127.0.0.53';
const UPSTREAM = '203.0.113.9';

let bed: Testbed;
let a: Container;
let b: Container;
let other: Container;
let inner: Container;
let both: Container;

async function nameServer(ns: string, ...addresses: string[]): Promise<Background> {
  const server = bed.background(ns, ['/usr/bin/python3', DNS, join(bed.directory, 'asked'), ...addresses]);
  await server.says(/ready/);
  return server;
}

beforeAll(async () => {
  bed = await Testbed.start({
    daemonFlags: (directory) => {
      const conf = join(directory, 'resolv.conf');
      writeFileSync(conf, `nameserver ${LOOPBACK}\nnameserver ${EXT1}\nsearch corp.example\n`);
      return ['--resolv-conf', conf, '--metrics', '127.0.0.1:9477'];
    },
  });
  await nameServer(bed.host, LOOPBACK);
  await nameServer(bed.ext1, EXT1);
  bed.ok('network', 'create', 'web', '--ipv6');
  bed.ok('network', 'create', 'back');
  bed.ok('network', 'create', 'vault', '--internal');
  a = bed.container('a', 'web');
  b = bed.container('b', 'web', '--alias', 'Bee', '--alias', 'shared');
  other = bed.container('other', 'back', '--alias', 'secret');
  inner = bed.container('inner', 'vault');
  bed.container('inner2', 'vault');
  both = bed.container('both', 'web', '--alias', 'shared');
  bed.container('both', 'back');
});
afterAll(() => bed?.stop());

interface Dug {
  status: string;
  flags: string[];
  answers: string[];
  text: string;
}

/** At 127.0.0.11, unless a server is among the arguments. */
function dig(from: Container, ...args: string[]): Dug {
  const server = args.some((arg) => arg.startsWith('@')) ? [] : ['@127.0.0.11'];
  const { out } = run(from.ns, ['dig', '+tries=1', '+time=8', ...server, ...args]);
  return {
    status: /status: (\w+)/.exec(out)?.[1] ?? 'none',
    flags: /flags: ([a-z ]*);/.exec(out)?.[1]?.split(' ') ?? [],
    answers: [...out.matchAll(/^[^;\s]\S*\s+\d+\s+IN\s+\S+\s+(\S+)$/gm)].map(([, value]) => value as string),
    text: out,
  };
}
/** What the name servers were asked, a line each: their address, the transport, the name, the type. */
const asked = (): string => readFileSync(join(bed.directory, 'asked'), 'utf8');
const getent = (from: Container, name: string, kind = 'ahostsv4') =>
  bed.cli('sandbox', 'exec', from.ns, '--', 'getent', kind, name);

describe('names of ours', () => {
  it('are those of sandboxes, endpoints and aliases on a common network', () => {
    for (const name of [b.ns, `web.${b.ns}`, `${b.ns}.web`, 'bee', 'BEE.web', `${b.ns}.`]) {
      const found = dig(a, name);
      expect([name, found.status, found.answers]).toEqual([name, 'NOERROR', [b.ip]]);
      expect(found.flags).toEqual(expect.arrayContaining(['qr', 'aa', 'rd', 'ra']));
    }
    expect(dig(a, b.ns, 'AAAA').answers).toEqual([b.ip6]);
    expect(dig(a, a.ns).answers).toEqual([a.ip]);
  });

  it('have their search domain taken off', () => {
    expect(dig(a, 'bee.corp.example').answers).toEqual([b.ip]);
    expect(dig(a, 'nobody.corp.example').answers).toEqual([UPSTREAM]);
  });

  it('take turns where several have one', () => {
    const first = new Set(Array.from({ length: 4 }, () => dig(a, 'shared').answers[0]));
    expect(first).toEqual(new Set([b.ip, both.ip]));
    expect(dig(a, 'shared').answers.sort()).toEqual([b.ip, both.ip].sort());
  });

  it('have no other types, and nobody else is asked for them', () => {
    const before = asked();
    for (const type of ['MX', 'TXT', 'HTTPS', 'SRV']) {
      expect(dig(a, b.ns, type)).toMatchObject({ status: 'NOERROR', answers: [] });
    }
    // the first network has no IPv6
    expect(dig(other, other.ns, 'AAAA')).toMatchObject({ status: 'NOERROR', answers: [] });
    expect(asked()).toBe(before);
  });

  it('are told for addresses, of both families', () => {
    expect(dig(a, '-x', b.ip).answers).toEqual([`${b.ns}.web.`]);
    expect(dig(a, '-x', b.ip6).answers).toEqual([`${b.ns}.web.`]);
    const before = asked();
    expect(dig(a, '-x', b.ip.replace(/\d+$/, '250')).status).toBe('NXDOMAIN');
    expect(asked()).toBe(before);
  });

  it('come by TCP as well', () => {
    expect(dig(a, '+tcp', b.ns).answers).toEqual([b.ip]);
  });

  it('are found by the C library, by connected sockets and by others', () => {
    expect(getent(a, b.ns).out).toContain(b.ip);
    expect(getent(a, 'bee').out).toContain(b.ip);
    expect(getent(a, b.ns, 'ahostsv6').out).toContain(b.ip6);
    expect(getent(a, b.ip, 'hosts').out).toContain(`${b.ns}.web`);
    expect(must(null, ['ip', 'netns', 'exec', a.ns, 'getent', 'ahostsv4', b.ns])).toContain(b.ip);
    // as musl: one socket for all servers, and answers from elsewhere do not count
    const script = `
import socket, sys
for family, server in ((socket.AF_INET, '127.0.0.11'), (socket.AF_INET6, '::ffff:127.0.0.11')):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.sendto(bytes.fromhex('123401000001000000000000') + b'\\x03bee\\0\\0\\x01\\0\\x01', (server, 53))
    data, peer = s.recvfrom(512)
    print(peer[0], peer[1], socket.inet_ntoa(data[-4:]))
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        c = socket.socket(family, kind)
        c.connect((server, 53))
        print(*c.getpeername()[:2])
`;
    expect(must(a.ns, ['/usr/bin/python3', '-c', script]).trim().split('\n')).toEqual([
      `127.0.0.11 53 ${b.ip}`,
      ...Array(2).fill('127.0.0.11 53'),
      `::ffff:127.0.0.11 53 ${b.ip}`,
      ...Array(2).fill('::ffff:127.0.0.11 53'),
    ]);
  });

  it('come and go with their endpoints', () => {
    const short = bed.container('short', 'web', '--alias', 'brief');
    expect(dig(a, 'brief').answers).toEqual([short.ip]);
    bed.ok('disconnect', 'web', short.ns);
    expect(dig(a, 'brief').answers).toEqual([UPSTREAM]);
    bed.ok('sandbox', 'rm', short.ns);
    expect(run(null, ['ip', 'netns', 'list']).out).not.toContain(short.ns);
  });
});

describe('between networks', () => {
  it('names and addresses do not leak', () => {
    for (const name of [other.ns, 'secret', `${other.ns}.back`, `back.${other.ns}`, `secret.back`]) {
      expect(dig(a, name).answers).not.toContain(other.ip);
    }
    expect(dig(a, '-x', other.ip).answers).toEqual([]);
    expect(dig(other, b.ns).answers).not.toContain(b.ip);
  });

  it('who is on both resolves both', () => {
    expect(dig(both, other.ns).answers).toEqual([other.ip]);
    expect(dig(both, b.ns).answers).toEqual([b.ip]);
  });
});

describe('everything else', () => {
  it("is asked of the host's resolvers, its loopback included", () => {
    expect(dig(a, 'www.example')).toMatchObject({ status: 'NOERROR', answers: [UPSTREAM] });
    expect(asked()).toContain(`${LOOPBACK} udp www.example 1`);
    expect(dig(a, 'nx.example').status).toBe('NXDOMAIN');
    expect(getent(a, 'www.example').out).toContain(UPSTREAM);
  });

  it('is asked of the next one after a failure', () => {
    expect(dig(a, 'servfail.example').status).toBe('SERVFAIL');
    expect(asked()).toContain(`${LOOPBACK} udp servfail.example 1`);
    expect(asked()).toContain(`${EXT1} udp servfail.example 1`);
  });

  it('fails in time when nobody answers', () => {
    const began = Date.now();
    expect(dig(a, 'silent.example').status).toBe('SERVFAIL');
    expect(Date.now() - began).toBeLessThan(5_500);
    expect(dig(a, 'www2.example').answers).toEqual([UPSTREAM]);
  });

  it('comes by TCP where it is long, and whole by UDP where there is room', () => {
    expect(dig(a, '+ignore', '+noedns', 'many.example')).toMatchObject({ answers: [] });
    expect(dig(a, '+ignore', '+noedns', 'many.example').flags).toContain('tc');
    expect(dig(a, '+noedns', 'many.example').answers).toHaveLength(100);
    expect(dig(a, '+bufsize=4096', '+ignore', 'many.example').answers).toHaveLength(100);
    expect(asked()).toContain(`${LOOPBACK} tcp many.example 1`);
  });

  it('is believed only where it answers what was asked', () => {
    expect(dig(a, 'forged.example').answers).toEqual([UPSTREAM]);
  });

  it("follows the host's resolv.conf", async () => {
    const conf = join(bed.directory, 'resolv.conf');
    const text = readFileSync(conf, 'utf8');
    writeFileSync(conf, `nameserver ${EXT1}\n`);
    await until(() => {
      dig(a, 'moved.example');
      return asked().includes(`${EXT1} udp moved.example`);
    }, 'the other server is asked');
    writeFileSync(conf, text);
  });

  it('is asked of the servers that the sandbox was given, from inside', async () => {
    const name = bed.box('given');
    bed.ok('sandbox', 'create', name, '--dns', EXT1);
    bed.ok('connect', 'web', name);
    const given = { ns: name, ip: '', ip6: '' };
    expect(dig(given, 'given.example').answers).toEqual([UPSTREAM]);
    expect(dig(given, 'bee').answers).toEqual([b.ip]);
    expect(asked().match(/^.*given\.example 1$/gm)).toEqual([`${EXT1} udp given.example 1`]);
    expect(readFileSync(`/etc/netns/${name}/resolv.conf`, 'utf8')).toContain(
      `nameserver 127.0.0.11\nnameserver ${EXT1}\n`,
    );
  });
});

describe('an internal network', () => {
  it('has its own names, and asks nobody for others', () => {
    const before = asked();
    expect(dig(inner, bed.box('inner2')).status).toBe('NOERROR');
    expect(dig(inner, 'www.example').status).toBe('NXDOMAIN');
    expect(dig(inner, '-x', '198.51.100.1').status).toBe('NXDOMAIN');
    expect(getent(inner, 'leak.example').code).not.toBe(0);
    expect(asked()).toBe(before);
  });

  it('has no other server in its resolv.conf', () => {
    const conf = readFileSync(`/etc/netns/${inner.ns}/resolv.conf`, 'utf8');
    expect(conf.match(/^nameserver .*$/gm)).toEqual(['nameserver 127.0.0.11']);
  });
});

describe("a sandbox's own name server", () => {
  it('has port 53 of every other address, and its own port at 127.0.0.11', async () => {
    const own = await nameServer(b.ns, '127.0.0.1', b.ip);
    expect(dig(b, '@127.0.0.1', 'own.example').answers).toEqual([UPSTREAM]);
    expect(dig(a, `@${b.ip}`, 'own2.example').answers).toEqual([UPSTREAM]);
    expect(asked()).toContain(`${b.ip} udp own2.example 1`);
    expect(dig(b, a.ns).answers).toEqual([a.ip]);
    await own.stop('SIGKILL');
    const all = await nameServer(b.ns, '0.0.0.0');
    expect(dig(b, a.ns).answers).toEqual([a.ip]);
    expect(dig(a, `@${b.ip}`, 'own3.example').answers).toEqual([UPSTREAM]);
    await all.stop('SIGKILL');
  });
});

describe('what is no question', () => {
  it('is refused, or passed over in silence, and does no harm', () => {
    const script = `
import os, random, socket
random.seed(7)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
good = bytes.fromhex('000101000001000000000000') + b'\\x03bee\\0\\0\\x01\\0\\x01'
for i in range(2000):
    m = bytearray(good)
    for _ in range(random.randrange(1, 6)):
        m[random.randrange(len(m))] = random.randrange(256)
    s.sendto(bytes(m[:random.randrange(1, len(m) + 1)]), ('127.0.0.11', 53))
# a name that points at itself
s.sendto(bytes.fromhex('000201000001000000000000') + b'\\xc0\\x0c\\0\\x01\\0\\x01', ('127.0.0.11', 53))
t = socket.create_connection(('127.0.0.11', 53))
t.sendall(b'\\xff\\xff' + os.urandom(300))
`;
    must(a.ns, ['/usr/bin/python3', '-c', script]);
    expect(dig(a, b.ns).answers).toEqual([b.ip]);
  });

  it('says so with the right code', () => {
    expect(dig(a, '+edns=1', '+noednsneg', b.ns).status).toBe('BADVERS');
    expect(dig(a, '+opcode=NOTIFY', b.ns).status).toBe('NOTIMP');
    expect(dig(a, 'CH', 'TXT', 'version.bind').status).toBe('REFUSED');
  });
});

it('tells the status and the metrics', () => {
  const { resolver } = bed.list<{ resolver: Record<string, number> }>('status');
  expect(resolver).toMatchObject({ waiting: 0, sandboxes: bed.list<unknown[]>('sandbox', 'ls').length });
  expect(bed.ok('status')).toMatch(/^Names: +resolver in \d+ sandboxes, \d+ queries/m);
  const text = must(bed.host, ['curl', '-s', 'http://127.0.0.1:9477/metrics']);
  for (const outcome of ['answered', 'empty', 'unknown', 'forwarded']) {
    expect(text).toMatch(new RegExp(`sluice_dns_queries_total\\{type="\\w+",outcome="${outcome}"\\} [1-9]`));
  }
  expect(text).toMatch(/sluice_dns_queries_total\{type="other",outcome="malformed"\} [1-9]/);
});

describe('the daemon', () => {
  it('leaves an adopted namespace that its owner removes', async () => {
    const name = bed.box('adopted');
    must(null, ['ip', 'netns', 'add', name]);
    try {
      // loopback is down: the resolver waits for it
      bed.ok('sandbox', 'create', name, '--netns', `/run/netns/${name}`);
      bed.ok('connect', 'web', name);
      must(name, ['ip', 'link', 'set', 'lo', 'up']);
      const adopted = { ns: name, ip: '', ip6: '' };
      await until(() => dig(adopted, 'bee').answers[0] === b.ip, 'it resolves');
      const [{ interface: link }] = JSON.parse(bed.ok('network', 'inspect', 'web')) as [
        { interface: string },
      ];
      const ports = (): number =>
        run(bed.host, ['ip', '-o', 'link', 'show', 'master', link]).out.trim().split('\n').length;
      const before = ports();
      must(null, ['ip', 'netns', 'del', name]);
      await until(() => ports() === before - 1, 'the veth has gone with the namespace', 8_000);
    } finally {
      run(null, ['ip', 'netns', 'del', name]);
    }
  });

  it('killed, leaves sandboxes to the other servers, and back it answers again', async () => {
    await bed.killDaemon();
    expect(getent(a, 'www.example').out).toBe('');
    const { out } = run(null, ['ip', 'netns', 'exec', a.ns, 'getent', 'ahostsv4', 'dead.example']);
    expect(out).toContain(UPSTREAM);
    expect(asked()).toContain(`${EXT1} udp dead.example 1`);
    await bed.startDaemon();
    expect(dig(a, 'bee').answers).toEqual([b.ip]);
    expect(dig(a, 'alive.example').answers).toEqual([UPSTREAM]);
  });

  it('without the resolver leaves resolv.conf as it was', async () => {
    await bed.killDaemon('SIGTERM');
    const flags = ['--resolv-conf', join(bed.directory, 'resolv.conf')];
    await bed.startDaemon([...flags, '--no-dns']);
    const conf = readFileSync(`/etc/netns/${a.ns}/resolv.conf`, 'utf8');
    expect(conf.match(/^nameserver .*$/gm)).toEqual([`nameserver ${EXT1}`]);
    expect(bed.list<{ resolver: unknown }>('status').resolver).toBeNull();
    expect(dig(a, 'bee').status).toBe('none');
    await bed.killDaemon('SIGTERM');
    await bed.startDaemon(flags);
    expect(dig(a, 'bee').answers).toEqual([b.ip]);
  });
});
