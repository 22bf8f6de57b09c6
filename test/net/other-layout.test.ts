// SPDX-License-Identifier: Apache-2.0
/** Between versions whose flow tables have another layout: live flows go on, both families, both ways. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINKS_DIR, MAPS_DIR } from '../../src/daemon/places.js';
import { LAYOUT_VERSION } from '../../src/maps/layout.js';
import { type Background, json, must, run, sleep } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const ROOT = join(import.meta.dirname, '../..');
/** One byte there and back every 5 ms, on a connection that stays. */
const TALK = `import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3, source_address=('', int(sys.argv[3])))
print('open', flush=True)
while True: s.sendall(b'x'); s.recv(1) or sys.exit('closed'); time.sleep(.005)`;
/** The same by datagrams of one socket; says by which port the other side knows it, whenever that changes. */
const ASK = `import socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
s.bind(('', int(sys.argv[3]))); s.connect((sys.argv[1], int(sys.argv[2]))); was = None
while True:
    try: s.send(b'x'); now = s.recv(99).split()[0]
    except OSError as e: now = e
    if now != was: print(now, flush=True)
    was = now; time.sleep(.005)`;
const ECHO = `import socket, sys, threading
l = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True); print('ready', flush=True)
def serve(c):
    while d := c.recv(99): c.sendall(d)
while True: threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()`;

/** A build whose flows have other places, another order and a field more; the rest is this one's. */
function earlier(): string {
  const tree = mkdtempSync(join(tmpdir(), 'sluice-layout-'));
  for (const part of ['bin', 'bpf', 'scripts', 'src/native', 'package.json'])
    cpSync(join(ROOT, part), join(tree, part), { recursive: true });
  mkdirSync(join(tree, 'dist'));
  cpSync(join(ROOT, 'dist/sluiced.js'), join(tree, 'dist/sluiced.js'));
  cpSync(join(ROOT, 'dist/src'), join(tree, 'dist/src'), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const header = join(tree, 'bpf/maps/flow.h');
  const text = readFileSync(header, 'utf8');
  const other = text
    .replace(/^(\s*u32 opened;.*\n)/m, '\tu32 of_old;\n\tu32 of_old_too;\n$1')
    .replace(/_Static_assert\(sizeof\(struct flow4\)[^;]*;/, '');
  if (other.length < text.length - 60) throw new Error('flow.h is not as the test takes it to be');
  writeFileSync(header, other);
  must(null, ['bash', join(tree, 'scripts/build-bpf.sh')]);
  return tree;
}

let tree: string;
let bed: Testbed;
let box: Container;
let other: Container;
let talks: Background[];
let asks: Background[];

const python = (ns: string, script: string, ...args: (string | number)[]) =>
  bed.background(ns, ['/usr/bin/python3', '-c', script, ...args.map(String)]);
const start = (root: string): Promise<void> => bed.startDaemon(undefined, join(root, 'bin/sluiced'));
const sizeOfFlows = (): number =>
  json<{ bytes_value: number }>(null, [
    ...['bpftool', '-j', 'map', 'show', 'pinned', join(bed.bpffs, MAPS_DIR, 'flows4')],
  ]).bytes_value;

beforeAll(async () => {
  tree = earlier();
  bed = await Testbed.start({ daemon: false });
  await start(tree);
  bed.ok('network', 'create', 'lan', '--subnet', '10.64.0.0/24', '--subnet', 'fd00:64::/64');
  box = bed.container('box', 'lan', '-p', '8080:80');
  other = bed.container('other', 'lan');
  await python(bed.ext1, ECHO, 7000).says(/ready/);
  await python(box.ns, ECHO, 80).says(/ready/);
  for (const family of [4, 6] as const) await bed.udpEcho(bed.ext1, 7000, family);
  // the second of each pair gets a port that nobody can guess
  talks = [EXT1, EXT1_6].flatMap((peer, i) => [
    python(box.ns, TALK, peer, 7000, 5000 + i),
    python(other.ns, TALK, peer, 7000, 5000 + i),
  ]);
  talks.push(...[HOST, HOST_6].map((host) => python(bed.ext1, TALK, host, 8080, 0)));
  for (const talk of talks) await talk.says(/open/);
  asks = [EXT1, EXT1_6].flatMap((peer, i) => [
    python(box.ns, ASK, peer, 7000, 5002 + i),
    python(other.ns, ASK, peer, 7000, 5002 + i),
  ]);
  for (const ask of asks) await ask.says(/:\d+/);
  await sleep(1_000);
}, 120_000);
afterAll(async () => {
  await bed?.stop();
  rmSync(tree, { recursive: true, force: true });
});

const whole = (): void => {
  for (const talk of talks) expect([talk.ended, talk.err]).toEqual([false, '']);
  for (const ask of asks) expect(ask.out.trim().split('\n')).toHaveLength(1);
};

describe('flows', () => {
  it('go on when a version with another layout takes over, and back', async () => {
    const was = sizeOfFlows();
    for (const [root, size] of [
      [ROOT, was - 8],
      [tree, was],
      [ROOT, was - 8],
    ] as const) {
      await bed.killDaemon();
      await start(root);
      expect(sizeOfFlows()).toBe(size);
      // longer than any retransmission that would hide a gap
      await sleep(1_500);
      whole();
    }
    const flows = bed.list<{ sourcePort: number; translatedSourcePort: number }[]>('conntrack', 'ls');
    const held = flows.map(({ sourcePort }) => sourcePort).filter((port) => port >= 5000 && port < 5004);
    expect(held.sort()).toEqual([5000, 5000, 5001, 5001, 5002, 5002, 5003, 5003]);
  }, 60_000);

  it('of a newer version are left alone, by name', async () => {
    await bed.killDaemon();
    const newer = join(bed.bpffs, 'layout', String(LAYOUT_VERSION + 1));
    must(null, ['mkdir', newer]);
    const links = () => must(null, ['ls', join(bed.bpffs, LINKS_DIR)]);
    const had = links();
    const refused = run(bed.host, bed.daemonCommand());
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain(`layout ${LAYOUT_VERSION + 1}`);
    expect(refused.err.trim().split('\n').length).toBeLessThanOrEqual(2);
    expect(links()).toBe(had);
    await sleep(300);
    whole();
    must(null, ['rmdir', newer]);
    await bed.startDaemon();
    whole();
  });
});
