// SPDX-License-Identifier: Apache-2.0
/** Connections that wait keep their place in the flow tables, whatever others open beside them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must } from '../support/process.js';
import { EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const CONNECTIONS = 50;
const ENTRIES = 16_384;
/** More than the table of new flows holds, twice over: a flow has two entries. */
const QUESTIONS = 2 * ENTRIES;

let bed: Testbed;

beforeAll(async () => {
  bed = await Testbed.start({ daemonFlags: ['--conntrack-max', String(ENTRIES)] });
  bed.ok('network', 'create', '--ipv6', 'lan');
});
afterAll(() => bed.stop());

/** Connections that ask once, are answered once, and wait to be told to go on. */
const CLIENT = `import socket, sys
held = [socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) for _ in range(${CONNECTIONS})]
for s in held: s.send(b'request'); s.recv(99)
print('waiting', flush=True); sys.stdin.readline()
live = 0
for s in held:
    try: s.send(b'again'); live += s.recv(99) != b''
    except OSError: pass
print('live', live, flush=True)`;

const SERVER = `import socket, sys, threading
l = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=99)
print('ready', flush=True)
def serve(s):
    while s.recv(99): s.send(b'response')
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()`;

/** A socket for each question, as resolvers have it. */
const ASK = `import socket, sys
n = 0
for _ in range(int(sys.argv[3])):
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1); s.connect((sys.argv[1], int(sys.argv[2]))); s.send(b'?')
    try: s.recv(9); n += 1
    except OSError: pass
    s.close()
print(n)`;

const ANSWER = `import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.setsockopt(41, 26, 0); s.bind(('::', int(sys.argv[1]))); print('ready', flush=True)
while True: s.sendto(b'!', s.recvfrom(9)[1])`;

const python = (ns: string, script: string, ...args: string[]) =>
  bed.background(ns, ['/usr/bin/python3', '-c', script, ...args]);

describe.each([
  ['IPv4', EXT1, HOST],
  ['IPv6', EXT1_6, HOST_6],
])('%s connections that have asked once', (name, ext, host) => {
  const port = name === 'IPv4' ? 7000 : 7600;

  it('outlive the questions and answers of a neighbour, outbound and published', {
    timeout: 180_000,
  }, async () => {
    const own = bed.container(`own${port}`, 'lan', '-p', `${port + 1}:80`);
    const neighbour = bed.container(`neighbour${port}`, 'lan');
    for (const [ns, at] of [
      [bed.ext1, port],
      [own.ns, 80],
    ] as const)
      await python(ns, SERVER, String(at)).says(/ready/);
    await python(bed.ext1, ANSWER, String(port + 2)).says(/ready/);
    const clients = [
      python(own.ns, CLIENT, ext, String(port)),
      python(bed.ext1, CLIENT, host, String(port + 1)),
    ];
    for (const client of clients) await client.says(/waiting/);
    const asked = must(neighbour.ns, [
      '/usr/bin/python3',
      '-c',
      ASK,
      ext,
      String(port + 2),
      String(QUESTIONS),
    ]);
    expect(Number(asked)).toBeGreaterThan(QUESTIONS * 0.99);
    for (const client of clients) {
      client.child.stdin?.write('go on\n');
      await client.says(new RegExp(`live ${CONNECTIONS}\\b`));
    }
  });
});

describe.each([
  ['IPv4', HOST],
  ['IPv6', HOST_6],
])('%s connections whose flow is lost', (name, host) => {
  const port = name === 'IPv4' ? 7900 : 7950;

  it('are picked up through the published port as their client speaks, from outside and from another container', async () => {
    const server = bed.container(`server${port}`, 'lan', '-p', `${port}:80`);
    bed.ok('network', 'create', '--ipv6', `other${port}`);
    const other = bed.container(`client${port}`, `other${port}`);
    await python(server.ns, SERVER, '80').says(/ready/);
    const clients = [
      python(bed.ext1, CLIENT, host, String(port)),
      python(other.ns, CLIENT, host, String(port)),
    ];
    for (const client of clients) await client.says(/waiting/);
    bed.ok('conntrack', 'flush');
    for (const client of clients) {
      client.child.stdin?.write('go on\n');
      await client.says(new RegExp(`live ${CONNECTIONS}\\b`));
    }
  });

  it('are left to the host where they are its own, from a port that is published since', async () => {
    const server = bed.container(`late${port}`, 'lan');
    await python(bed.ext1, SERVER, String(port + 20)).says(/ready/);
    const client = python(
      bed.host,
      `import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5, ('', int(sys.argv[3])))
print('waiting', flush=True); sys.stdin.readline()
s.send(b'again'); print('got', s.recv(99), flush=True)`,
      name === 'IPv4' ? EXT1 : EXT1_6,
      String(port + 20),
      String(port + 21),
    );
    await client.says(/waiting/);
    bed.ok('publish', `lan.${server.ns}`, `${port + 21}:80`);
    client.child.stdin?.write('go on\n');
    await client.says(/got b'response'/);
  });
});

/** One connection that has asked once and says what it would send next; then it waits, and is reset. */
const RESET = `import socket, struct, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5); s.send(b'request'); s.recv(99)
s.setsockopt(6, 19, 1); s.setsockopt(6, 20, 2); seq = s.getsockopt(6, 21); s.setsockopt(6, 19, -1) # TCP_REPAIR: its place in the sequence space
print('from', s.getsockname()[1], seq & 0xffffffff, flush=True); sys.stdin.readline()
s.setsockopt(1, 13, struct.pack('ii', 1, 0)); s.close(); print('reset', flush=True)`;

describe.each([
  ['IPv4', HOST, EXT1],
  ['IPv6', HOST_6, EXT1_6],
])('%s connections that somebody resets', (name, host, ext) => {
  const port = name === 'IPv4' ? 7970 : 7980;

  it('are ended by who has them, and not by who knows their addresses only', async () => {
    const server = bed.container(`reset${port}`, 'lan', '-p', `${port}:80`);
    await python(server.ns, SERVER, '80').says(/ready/);
    const client = python(bed.ext1, RESET, host, String(port));
    await client.says(/from \d+ \d+/);
    const [from = 0, next = 0] = (/from (\d+) (\d+)/.exec(client.out) ?? []).slice(1).map(Number);
    const state = () =>
      bed
        .list<{ sourcePort: number; state: string }[]>('conntrack', 'ls')
        .filter(({ sourcePort }) => sourcePort === from)
        .map((flow) => flow.state);
    expect(state()).toEqual(['established']);
    const ip = name === 'IPv4' ? 'IP' : 'IPv6';
    const [up0] = json<[{ address: string }]>(bed.host, ['ip', '-j', 'link', 'show', 'up0']);
    for (const off of [-(2 ** 20), 2 ** 25, 2 ** 31])
      bed.inject(
        bed.ext1,
        'eth0',
        `Ether(dst='${up0.address}') / ${ip}(src='${ext}', dst='${host}') / TCP(sport=${from}, dport=${port}, flags='R', seq=${(next + off + 2 ** 32) % 2 ** 32})`,
      );
    expect(state()).toEqual(['established']);
    client.child.stdin?.write('go on\n');
    await client.says(/reset/);
    await expect.poll(state).toEqual(['reset']);
  });
});
