// SPDX-License-Identifier: Apache-2.0
/** Ways out as on a kernel whose routing helper knows neither how to skip the next hop's MAC nor the source address. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { askDatagram, serveDatagrams } from '../support/datagrams.js';
import { must } from '../support/process.js';
import { type Container, EXT1, EXT1_6, Testbed } from '../support/testbed.js';

let bed: Testbed;
let one: Container;

beforeAll(async () => {
  bed = await Testbed.start({ daemonFlags: ['--without', 'fib_lookup'] });
  bed.ok('network', 'create', '--ipv6', 'lan');
  one = bed.container('one', 'lan');
  await serveDatagrams(bed, bed.ext1, 9000);
});
afterAll(() => bed?.stop());

const neighbours = (): string => must(bed.host, ['ip', 'neigh', 'show', 'dev', 'up0', 'nud', 'reachable']);

it.each([
  ['IPv4', EXT1],
  ['IPv6', EXT1_6],
])('take a first packet to a next hop whose MAC the host does not know yet: %s', (_, remote) => {
  must(bed.host, ['ip', 'neigh', 'flush', 'dev', 'up0']);
  expect(neighbours()).not.toContain(`${remote} `);
  const [sent, answer] = askDatagram(one.ns, remote, 9000, 100);
  expect(answer).toBe(sent);
});

it('take what the device takes, and tell the sender of what is more', () => {
  must(bed.host, ['ip', 'neigh', 'flush', 'dev', 'up0']);
  must(one.ns, ['ping', '-c', '1', '-W', '10', '-M', 'do', '-s', '1472', EXT1]);
});
