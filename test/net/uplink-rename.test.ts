// SPDX-License-Identifier: Apache-2.0
/** An uplink that gets another name, under open connections of both directions. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LINKS_DIR } from '../../src/daemon/places.js';
import { json, must, sleep } from '../support/process.js';
import { type Container, EXT1, HOST, Testbed } from '../support/testbed.js';

/** One byte there and back every 2 ms, from a connection that is open already. */
const TALK = `import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
print('open', flush=True); end = time.time() + 4.5
while time.time() < end: s.sendall(b'x'); s.recv(1) or sys.exit('closed'); time.sleep(.002)
print('whole', flush=True)`;
const ECHO = `import socket, sys
l = socket.create_server(('', int(sys.argv[1]))); print('ready', flush=True); c, _ = l.accept()
while d := c.recv(99): c.sendall(d)`;

let bed: Testbed;
let box: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan');
  box = bed.container('box', 'lan', '-p', '5301:80');
});
afterAll(() => bed.stop());

it.each(['wan0', 'up0'])('breaks none when it is called %s', async (name) => {
  const python = (ns: string, script: string, ...args: (string | number)[]) =>
    bed.background(ns, ['/usr/bin/python3', '-c', script, ...args.map(String)]);
  const servers = [python(bed.ext1, ECHO, 7000), python(box.ns, ECHO, 80)];
  for (const server of servers) await server.says(/ready/);
  const talks = [python(box.ns, TALK, EXT1, 7000), python(bed.ext1, TALK, HOST, 5301)];
  for (const talk of talks) await talk.says(/open/);
  await sleep(1500);
  const before = name === 'wan0' ? 'up0' : 'wan0';
  const ids = (link: string): number[] =>
    ['uplink_ingress', 'uplink_egress'].map((hook) => {
      const pin = join(bed.bpffs, LINKS_DIR, `${hook}-${link}`);
      return json<{ id: number }>(bed.host, ['bpftool', '-j', 'link', 'show', 'pinned', pin]).id;
    });
  const attached = ids(before);
  must(bed.host, ['ip', 'link', 'set', before, 'name', name]);
  for (const talk of talks) await talk.says(/whole/);
  // the same links, not others
  expect(ids(name)).toEqual(attached);
  const pins = readdirSync(join(bed.bpffs, LINKS_DIR)).filter((pin) => /-(up0|wan0)$/.test(pin));
  expect(pins.sort()).toEqual([`uplink_egress-${name}`, `uplink_ingress-${name}`]);
  expect(bed.list<{ rows: { error: number } }>('status').rows.error).toBe(0);
  for (const server of servers) await server.end();
});
