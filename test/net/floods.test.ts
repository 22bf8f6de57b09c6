// SPDX-License-Identifier: Apache-2.0
/**
 * Floods, each beside a neighbour who works: requests that are counted, and a
 * TCP stream that was there before. What two cores can send, for seconds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flooder, report } from '../support/flood.js';
import { must, sleep } from '../support/process.js';
import { EXT1, EXT2, HOST, Testbed } from '../support/testbed.js';

const SECONDS = 2.5;
const RATE = 12_000;

let bed: Testbed;
let neighbour: { ns: string; ip: string };
let target: { ns: string; ip: string };

async function start(...daemonFlags: string[]): Promise<void> {
  bed = await Testbed.start({ daemonFlags });
  bed.ok('network', 'create', 'lan');
  neighbour = bed.container('neighbour', 'lan', '-p', '5300:5300/udp', '-p', '7000:7000');
  target = bed.container('target', 'lan', '-p', '6000:6000/udp', '-p', '8080:80');
  await bed.udpEcho(neighbour.ns, 5300);
  await bed.udpEcho(bed.ext2, 9000);
  const stream = bed.background(neighbour.ns, [
    '/usr/bin/python3',
    `${import.meta.dirname}/../support/servers.py`,
    'stream',
    '7000',
  ]);
  await stream.says(/ready/);
  // as an attacker on the same link would have it
  must(bed.ext1, ['ip', 'route', 'add', neighbour.ip.replace(/\d+$/, '0/24'), 'via', HOST]);
}

interface Asked {
  asked: number;
  answered: number;
}

/** The flood, and how many requests of the neighbour's, in and out, went unanswered meanwhile. */
async function during(
  ns: string,
  args: (string | number)[],
  options: { spoof?: string } = {},
): Promise<number> {
  const stream = flooder(bed, bed.ext2, ['stream', HOST, 7000, SECONDS + 2]);
  const inwards = flooder(bed, bed.ext2, ['ask', HOST, 5300, SECONDS + 1.5, 200]);
  const outwards = flooder(bed, neighbour.ns, ['ask', EXT2, 9000, SECONDS + 1.5, 200]);
  await sleep(500);
  const flood = flooder(bed, ns, args, options);
  const { sent } = await report<{ sent: number }>(flood);
  expect(sent).toBeGreaterThan(SECONDS * RATE * 0.2);
  const lost: number[] = [];
  for (const process of [inwards, outwards]) {
    const { asked, answered } = await report<Asked>(process);
    expect(asked).toBeGreaterThan(200);
    lost.push((asked - answered) / asked);
  }
  const { broken, bytes } = await report<{ broken: boolean; bytes: number }>(stream);
  expect(broken).toBe(false);
  expect(bytes).toBeGreaterThan(500);
  expect(Math.max(...lost), `of requests lost ${lost}`).toBeLessThan(0.01);
  return sent;
}

/** Packets that have come in to the container, neighbours' words now and then included. */
function received(): number {
  const [link] = JSON.parse(must(target.ns, ['ip', '-s', '-j', 'link', 'show', 'eth0'])) as [
    { stats64: { rx: { packets: number } } },
  ];
  return link.stats64.rx.packets;
}

/** A flood to the container's own address: dropped is all of it that a busy machine's queues have not lost before. */
async function direct(): Promise<void> {
  const before = { dropped: bed.dropped('direct_routing'), received: received() };
  const sent = await during(bed.ext1, ['raw', 'udp', target.ip, 6000, SECONDS, RATE]);
  const dropped = bed.dropped('direct_routing') - before.dropped;
  expect(dropped).toBeGreaterThan(sent / 2);
  expect(dropped).toBeLessThanOrEqual(sent);
  expect(received() - before.received).toBeLessThan(50);
}

describe('at tc', () => {
  beforeAll(() => start());
  afterAll(() => bed.stop());

  it('SYNs from everywhere to a published port', async () => {
    await during(bed.ext1, ['raw', 'syn', HOST, 8080, SECONDS, RATE], { spoof: '198.18' });
  });

  it('UDP from every port of a container to one server', async () => {
    await during(target.ns, ['raw', 'udp', EXT1, 9999, SECONDS, RATE]);
  });

  it('UDP from everywhere to a published port', async () => {
    await during(bed.ext1, ['raw', 'udp', HOST, 6000, SECONDS, RATE], { spoof: '198.18' });
  });

  it("packets to a container's own address, all of them dropped", async () => {
    await direct();
  });

  it('first fragments to a published port, and from a container', async () => {
    await during(bed.ext1, ['raw', 'fragment', HOST, 6000, SECONDS, RATE], { spoof: '198.18' });
    await during(target.ns, ['raw', 'fragment', EXT1, 9999, SECONDS, RATE]);
  });
});

describe('with XDP', () => {
  beforeAll(() => start('--xdp'));
  afterAll(() => bed.stop());

  it("packets to a container's own address, all of them dropped before the kernel has made packets of them", async () => {
    await direct();
    const early = bed
      .list<{ attachModes: { link: string; hook: string }[] }>('status')
      .attachModes.filter(({ hook }) => hook === 'uplink_xdp');
    expect(early.map(({ link }) => link)).toContain('up0');
  });
});
