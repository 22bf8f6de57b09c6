// SPDX-License-Identifier: Apache-2.0
/** An uplink that is put into a bridge of the host, and taken out again, under open connections of both directions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, sleep } from '../support/process.js';
import { type Container, EXT1, EXT2, HOST, Testbed } from '../support/testbed.js';

/** One byte there and back every 2 ms, from a connection that is open already, for so many seconds. */
const TALK = `import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=6)
print('open', flush=True); end = time.time() + float(sys.argv[3])
while time.time() < end: s.sendall(b'x'); s.recv(1) or sys.exit('closed'); time.sleep(.002)
print('whole', flush=True)`;
const ECHO = `import socket, sys
l = socket.create_server(('', int(sys.argv[1]))); print('ready', flush=True); c, _ = l.accept()
while d := c.recv(99): c.sendall(d)`;
const SECONDS = 5;

const IN = [
  'ip link set up0 master br0',
  `ip addr del ${HOST}/24 dev up0`,
  `ip addr add ${HOST}/24 dev br0`,
  `ip route replace default via ${EXT2} dev br0`,
];
const OUT = [
  'ip link set up0 nomaster',
  `ip addr del ${HOST}/24 dev br0`,
  `ip addr add ${HOST}/24 dev up0`,
  `ip route replace default via ${EXT2} dev up0`,
];

describe.each([
  ['links', []],
  ['filters', ['--without', 'tcx']],
])('whose programs are %s', (_, daemonFlags) => {
  let bed: Testbed;
  let box: Container;

  beforeAll(async () => {
    bed = await Testbed.start({ daemonFlags });
    bed.ok('network', 'create', 'lan');
    box = bed.container('box', 'lan', '-p', '5301:80');
  });
  afterAll(() => bed.stop());

  const script = (lines: readonly string[]) => must(bed.host, ['sh', '-ec', lines.join('\n')]);

  /** Connections of both directions that last over `move`. */
  async function talkOver(move: () => Promise<void> | void): Promise<void> {
    const python = (ns: string, script: string, ...args: (string | number)[]) =>
      bed.background(ns, ['/usr/bin/python3', '-c', script, ...args.map(String)]);
    const servers = [python(bed.ext1, ECHO, 7000), python(box.ns, ECHO, 80)];
    for (const server of servers) await server.says(/ready/);
    const talks = [python(box.ns, TALK, EXT1, 7000, SECONDS), python(bed.ext1, TALK, HOST, 5301, SECONDS)];
    for (const talk of talks) await talk.says(/open/);
    await sleep(1500);
    await move();
    for (const talk of talks) await talk.says(/whole/);
    for (const server of servers) await server.end();
    expect(bed.list<{ rows: { error: number } }>('status').rows.error).toBe(0);
  }

  it('breaks none when it goes into a bridge that has just been made', async () => {
    await talkOver(() => void script(['ip link add br0 type bridge', 'ip link set br0 up', ...IN]));
  });

  it('breaks none when it leaves the bridge, and when it comes back', async () => {
    await talkOver(() => void script(OUT));
    await talkOver(() => void script(IN));
  });

  it('breaks none when it leaves the bridge that a later daemon found it in', async () => {
    await bed.killDaemon();
    await bed.startDaemon();
    await talkOver(() => void script([...OUT, 'ip link del br0']));
  });
});
