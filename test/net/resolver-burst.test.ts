// SPDX-License-Identifier: Apache-2.0
/** Questions by the thousand, to servers that are slow: all are answered, each with its own, and nobody's flood takes another's. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Background, must } from '../support/process.js';
import { type Container, Testbed } from '../support/testbed.js';

const BURST = join(import.meta.dirname, '../support/dns-burst.py');
const SLOW = '127.0.0.53';
const SECONDS = '1';

let bed: Testbed;
let server: Background;
let a: Container;
let b: Container;

const burst = (ns: string, ...args: string[]): Background =>
  bed.background(ns, ['/usr/bin/python3', BURST, ...args]);

/** How many questions came back as what. */
async function ask(from: Container, count: number, seconds: number, name: string, ...how: string[]) {
  const client = burst(from.ns, 'ask', String(count), String(seconds), name, ...how);
  await client.end();
  expect(client.err).toBe('');
  return JSON.parse(client.out) as Record<string, number>;
}

/** What the slow server had since it was asked last. */
async function had(of = server): Promise<{ asked: number; names: number; ports: number }> {
  of.out = '';
  of.child.stdin?.write('tell\n');
  await of.says(/\}/);
  return JSON.parse(of.out) as { asked: number; names: number; ports: number };
}

async function slow(ns: string, address: string): Promise<Background> {
  const started = burst(ns, 'serve', SECONDS, address);
  await started.says(/ready/);
  return started;
}

beforeAll(async () => {
  bed = await Testbed.start({
    daemonFlags: (directory) => {
      const conf = join(directory, 'resolv.conf');
      writeFileSync(conf, `nameserver ${SLOW}\n`);
      return ['--resolv-conf', conf, '--metrics', '127.0.0.1:9477'];
    },
  });
  server = await slow(bed.host, SLOW);
  bed.ok('network', 'create', 'web');
  a = bed.container('a', 'web', '--alias', 'ay');
  b = bed.container('b', 'web', '--alias', 'bee');
});
afterAll(() => bed?.stop());

function metric(name: string): number {
  const text = must(bed.host, ['curl', '-s', 'http://127.0.0.1:9477/metrics']);
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  expect(lines).not.toEqual([]);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('two thousand questions within half a second', () => {
  it('are all answered by a server that takes a second for each', async () => {
    expect(await ask(a, 2_000, 0.5, 'www%d.burst.example')).toEqual({ answered: 2_000 });
    const { names, ports } = await had();
    expect(names).toBe(2_000);
    expect(ports).toBeGreaterThanOrEqual(32);
    expect(metric('sluice_dns_pending')).toBe(0);
  });

  it('are all answered where the server is asked from inside', async () => {
    const given: Container = { ns: bed.box('given'), ip: '', ip6: '' };
    bed.ok('sandbox', 'create', given.ns, '--dns', '127.0.0.2');
    bed.ok('connect', 'web', given.ns);
    const inner = await slow(given.ns, '127.0.0.2');
    expect(await ask(given, 2_000, 0.5, 'www%d.burst.example')).toEqual({ answered: 2_000 });
    expect((await had(inner)).names).toBe(2_000);
  });

  it('are asked once where they are the same, and each is told what it asked', async () => {
    await had();
    const before = metric('sluice_dns_merged_total');
    expect(await ask(a, 2_000, 0.5, 'www.same.example')).toEqual({ answered: 2_000 });
    const { asked, names } = await had();
    expect([asked, names]).toEqual([1, 1]);
    expect(metric('sluice_dns_merged_total') - before).toBe(1_999);
  });

  it('are all answered when the answers are fetched by TCP', async () => {
    // without EDNS a client has room for 512 bytes, which is enough here
    expect(await ask(a, 300, 0.5, 'www%d.cut.example')).toEqual({ answered: 300 });
    expect(await ask(a, 100, 0.5, 'www%d.stream.example', 'tcp')).toEqual({ answered: 100 });
  });
});

describe('a sandbox that floods', () => {
  it.each([
    ['the server', 'www%d.flood.example'],
    ['a server that does not answer it', 'www%d.silent.example'],
    ['us', 'bee'],
  ])('%s starves nobody', async (_whom, name) => {
    const flood = burst(a.ns, 'flood', name);
    await flood.says(/flooding/);
    expect(await ask(b, 500, 2, 'www%d.good.example')).toEqual({ answered: 500 });
    expect(await ask(b, 500, 2, 'ay')).toEqual({ answered: 500 });
    expect(flood.ended).toBe(false);
    flood.child.stdin?.end();
    await flood.end();
    expect(Number(flood.out.split('\n')[1])).toBeGreaterThan(10_000);
  });

  it('is seen in the figures, and answered again when it is over', async () => {
    expect(metric('sluice_dns_queries_total{type="a",outcome="refused"}')).toBeGreaterThan(0);
    expect(metric('sluice_dns_dropped_total')).toBeGreaterThan(0);
    expect(await ask(a, 100, 0.5, 'www%d.after.example')).toEqual({ answered: 100 });
  });
});

it('reads no more of a connection whose client does not read its answers', async () => {
  const client = burst(a.ns, 'deaf', 'bee');
  await client.end();
  // what the buffers of two sockets hold, and no more
  expect(Number(client.out)).toBeLessThan(16 << 20);
});
