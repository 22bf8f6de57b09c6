// SPDX-License-Identifier: Apache-2.0
/** An uplink that gets another name, under open connections of both directions. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

/** Of the programs on an uplink: what does not change unless they are attached anew, and the pins. */
interface Mode {
  readonly flags: readonly string[];
  ids(bed: Testbed, link: string): unknown[];
  pins(bed: Testbed, link: string): string[];
}

const HOOKS = ['uplink_egress', 'uplink_ingress'] as const;

const LINKS: Mode = {
  flags: [],
  ids: (bed, link) =>
    HOOKS.map((hook) => {
      const pin = join(bed.bpffs, LINKS_DIR, `${hook}-${link}`);
      return json<{ id: number }>(bed.host, ['bpftool', '-j', 'link', 'show', 'pinned', pin]).id;
    }),
  pins: (_, link) => HOOKS.map((hook) => `${hook}-${link}`),
};

const FILTERS: Mode = {
  flags: ['--without', 'tcx'],
  ids: (bed, link) =>
    HOOKS.map((hook) => {
      const direction = hook.slice('uplink_'.length);
      const filters = json<{ options?: { prog?: { id: number } } }[]>(bed.host, [
        ...['tc', '-j', 'filter', 'show', 'dev', link, direction],
      ]);
      return filters.flatMap(({ options }) => options?.prog?.id ?? []);
    }),
  pins: (bed, link) => {
    const [{ ifindex } = { ifindex: 0 }] = json<{ ifindex: number }[]>(bed.host, [
      ...['ip', '-j', 'link', 'show', 'dev', link],
    ]);
    return HOOKS.map((hook) => `${hook}-${link}@${ifindex}-${hook.slice('uplink_'.length)}`);
  },
};

describe.each([
  ['links', LINKS],
  ['filters', FILTERS],
])('whose programs are %s', (_, mode) => {
  let bed: Testbed;
  let box: Container;

  beforeAll(async () => {
    bed = await Testbed.start({ daemonFlags: [...mode.flags] });
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
    const attached = mode.ids(bed, before);
    expect(attached.flat()).toHaveLength(HOOKS.length);
    must(bed.host, ['ip', 'link', 'set', before, 'name', name]);
    for (const talk of talks) await talk.says(/whole/);
    // the same, not others
    expect(mode.ids(bed, name)).toEqual(attached);
    const pins = readdirSync(join(bed.bpffs, LINKS_DIR)).filter((pin) => /-(up0|wan0)(@|$)/.test(pin));
    expect(pins.sort()).toEqual(mode.pins(bed, name));
    expect(bed.list<{ rows: { error: number } }>('status').rows.error).toBe(0);
    for (const server of servers) await server.end();
  });
});
