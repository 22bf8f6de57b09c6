// SPDX-License-Identifier: Apache-2.0
/** An address that the host loses: what is under it ends, what is published at it answers nobody. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, must, run, sleep, until } from '../support/process.js';
import { type Container, EXT1, EXT1_6, EXT2, EXT2_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

/** A datagram every 2 ms, answered or not. */
const SPEAK = `import socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 4000)); s.setblocking(False); print('ready', flush=True)
while True:
    try: s.sendto(b'x', (sys.argv[1], 7000))
    except OSError: pass
    time.sleep(.002)`;
/** One byte there and back every 2 ms; how it ended. */
const TALK = `import socket, sys, time
s = socket.create_connection((sys.argv[1], 7001), timeout=3)
print('open', flush=True)
try:
    while True: s.sendall(b'x'); s.recv(1) or sys.exit('closed'); time.sleep(.002)
except OSError as e: print('ended', type(e).__name__, flush=True)`;
const ECHO = `import socket
l = socket.create_server(('::', 7001), family=socket.AF_INET6, dualstack_ipv6=True); print('ready', flush=True)
while True:
    c, _ = l.accept()
    try:
        while d := c.recv(99): c.sendall(d)
    except OSError: pass`;

const FAMILIES = [
  { family: 4, lost: HOST, next: '192.168.77.50', length: 24, peer: EXT1, router: EXT2 },
  { family: 6, lost: HOST_6, next: '2001:db8:50::50', length: 64, peer: EXT1_6, router: EXT2_6 },
] as const;
const shown = (address: string): string => (address.includes(':') ? `[${address}]` : address);

let bed: Testbed;
let box: Container;
const python = (ns: string, script: string, ...args: string[]) =>
  bed.background(ns, ['/usr/bin/python3', '-c', script, ...args]);

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan', '--subnet', '10.64.0.0/24', '--subnet', 'fd00:64::/64');
  box = bed.container('box', 'lan', '-p', '8080:80');
  await bed.web(box.ns, 80, 4);
  await bed.web(box.ns, 80, 6);
  await python(bed.ext1, ECHO).says(/ready/);
});
afterAll(() => bed?.stop());

/** As a client of DHCP does whose lease is another one, and as a host whose prefix is renumbered. */
function readdress(from: string, to: string, length: number, router: string): void {
  const six = length === 64 ? ['-6'] : [];
  const remove = () => must(bed.host, ['ip', 'addr', 'del', `${from}/${length}`, 'dev', 'up0']);
  if (length === 24) remove();
  must(bed.host, ['ip', 'addr', 'add', `${to}/${length}`, 'dev', 'up0', ...(length === 64 ? ['nodad'] : [])]);
  if (length === 64) remove();
  must(bed.host, ['ip', ...six, 'route', 'replace', 'default', 'via', router]);
}

/** For a second nothing comes out with the one, and much with the other address. */
async function speaksUnder(speak: Background, lost: string, next: string): Promise<void> {
  const capture = await bed.capture(bed.ext1, 'eth0', `host ${lost} or host ${next}`);
  await sleep(1_000);
  await speak.stop('SIGKILL');
  const packets = await capture.packets();
  expect(packets.filter((p) => p.src === lost)).toEqual([]);
  expect(packets.filter((p) => p.src === next).length).toBeGreaterThan(100);
}

function get(ns: string, address: string, port = 8080): string {
  return run(ns, ['curl', '-sg', '-m', '1', `http://${shown(address)}:${port}/`]).out;
}

describe.each(FAMILIES)('IPv$family', ({ lost, next, length, peer, router }) => {
  it('sends nothing under it any more, and new flows have the new one', async () => {
    const talk = python(box.ns, TALK, peer);
    await talk.says(/open/);
    const speak = python(box.ns, SPEAK, peer);
    await speak.says(/ready/);
    await until(() => get(bed.ext2, lost) !== '', 'the port answers at the address');
    await sleep(500);
    readdress(lost, next, length, router);
    await sleep(1_000);
    await speaksUnder(speak, lost, next);
    await talk.says(/ended/);
    expect(get(bed.ext2, next)).not.toBe('');
    expect(get(bed.ext2, lost)).toBe('');
    expect(bed.ok('conntrack', 'ls')).not.toContain(lost);
    readdress(next, lost, length, router);
  });

  it('was lost while the daemon was dead: flows end when there is one', async () => {
    const speak = python(box.ns, SPEAK, peer);
    await speak.says(/ready/);
    await sleep(200);
    await bed.killDaemon();
    readdress(lost, next, length, router);
    await bed.startDaemon();
    await speaksUnder(speak, lost, next);
    readdress(next, lost, length, router);
  });

  it('serves nobody at ports that are published there, until it is back', async () => {
    const other = length === 24 ? '192.168.77.60' : '2001:db8:50::60';
    const address = (what: 'add' | 'del'): void =>
      void must(bed.host, [
        'ip',
        'addr',
        what,
        `${other}/${length === 24 ? 32 : 128}`,
        'dev',
        'up0',
        ...(what === 'add' && length === 64 ? ['nodad'] : []),
      ]);
    address('add');
    bed.ok('publish', `lan.${box.ns}`, `${shown(other)}:8081:80`);
    const neighbour = bed.container('neighbour', 'lan');
    const reached = (): string[] =>
      [bed.ext1, bed.host, neighbour.ns].map((ns) => (get(ns, other, 8081) === '' ? 'no' : 'yes'));
    expect(reached()).toEqual(['yes', 'yes', 'yes']);
    address('del');
    await until(() => reached().every((x) => x === 'no'), 'nobody is served', 4_000);
    expect(bed.list<{ rows: { error: number } }>('status').rows.error).toBe(0);
    // to the next daemon it is not there either
    await bed.killDaemon();
    await bed.startDaemon();
    expect(reached()).toEqual(['no', 'no', 'no']);
    address('add');
    await until(() => reached().every((x) => x === 'yes'), 'all are served', 10_000);
    bed.ok('unpublish', `lan.${box.ns}`, `${shown(other)}:8081:80`);
    address('del');
    bed.ok('disconnect', 'lan', neighbour.ns);
    bed.ok('sandbox', 'rm', neighbour.ns);
  });
});

describe('a service’s published port', () => {
  it('that is taken away takes its datagrams with it', async () => {
    const one = bed.container('one', 'lan');
    await bed.udpEcho(one.ns, 53);
    bed.ok(
      'service',
      'create',
      'names',
      '--network',
      'lan',
      '--port',
      '53/udp',
      '--backend',
      `lan.${one.ns}`,
      '-p',
      '5353:53',
    );
    const client = python(bed.ext1, SPEAK.replace('7000', '5353'), HOST);
    await client.says(/ready/);
    await sleep(300);
    bed.ok('service', 'rm', 'names');
    await sleep(1_200);
    const capture = await bed.capture(one.ns, 'eth0', 'udp port 53');
    await sleep(500);
    expect(await capture.packets()).toEqual([]);
    await client.stop('SIGKILL');
  });
});
