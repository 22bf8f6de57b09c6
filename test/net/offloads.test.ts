// SPDX-License-Identifier: Apache-2.0
/** Many bytes arrive as they were sent, in segments that devices are yet to cut and in single ones. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const BULK = join(import.meta.dirname, '../support/bulk.py');
const MIB = 64;
const FEATURES = ['tso', 'gso', 'gro', 'tx', 'rx', 'tx-udp-segmentation'];

let bed: Testbed;
let box: Container;
let devices: [ns: string, device: string][];

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'lan');
  box = bed.container('box', 'lan', '-p', '9700:9700', '-p', '9700:9700/udp');
  const [endpoint] = JSON.parse(bed.ok('endpoint', 'inspect', `lan.${box.ns}`)) as [
    { hostInterface: string },
  ];
  devices = [
    [box.ns, 'eth0'],
    [bed.host, endpoint.hostInterface],
    [bed.host, 'up0'],
    [bed.ext1, 'eth0'],
  ];
  for (const [ns, address] of [
    [bed.ext1, EXT1],
    [bed.ext1, EXT1_6],
    [box.ns, box.ip],
    [box.ns, box.ip6],
  ] as const)
    await bed.background(ns, ['/usr/bin/python3', BULK, 'serve', address, '9700']).says(/ready/);
});
afterAll(() => bed.stop());

const arrived = (ns: string): number =>
  json<[{ stats64: { rx: { packets: number } } }]>(ns, ['ip', '-j', '-s', 'link', 'show', 'eth0'])[0].stats64
    .rx.packets;

describe.each([
  ['on', 20_000],
  ['off', 45_000],
])('64 MiB with offloads %s', (state, packets) => {
  beforeAll(() => {
    for (const [ns, device] of devices)
      must(ns, ['ethtool', '-K', device, ...FEATURES.flatMap((feature) => [feature, state])]);
  });

  it.each([
    ['TCP out of a container', 'tcp', () => [box.ns, EXT1, bed.ext1]],
    ['TCP to a published port', 'tcp', () => [bed.ext1, HOST, box.ns]],
    ['datagrams cut by the device out of a container', 'udp', () => [box.ns, EXT1, bed.ext1]],
    ['datagrams cut by the device to a published port', 'udp', () => [bed.ext1, HOST, box.ns]],
    ['TCP out of a container over IPv6', 'tcp', () => [box.ns, EXT1_6, bed.ext1]],
    ['datagrams cut by the device to a published port over IPv6', 'udp', () => [bed.ext1, HOST_6, box.ns]],
  ])('%s', (_name, kind, ends) => {
    const [from, to, at] = ends() as [string, string, string];
    const before = arrived(at);
    const [sent, got] = must(from, ['/usr/bin/python3', BULK, kind, to, '9700', String(MIB)])
      .trim()
      .split(' ');
    expect(got).toMatch(/^[0-9a-f]{64}$/);
    expect(got).toBe(sent);
    const seen = arrived(at) - before;
    if (state === 'on') expect(seen).toBeLessThan(packets);
    else expect(seen).toBeGreaterThan(packets);
  });
});
