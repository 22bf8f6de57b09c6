// SPDX-License-Identifier: Apache-2.0
/** The MTU of a network that is given none: of the links by which the routes to the world lead. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { json, must, sleep, until } from '../support/process.js';
import { type Container, EXT2, EXT3, Testbed } from '../support/testbed.js';

/** Events settle, and a pass is made. */
const SETTLED_MS = 2_500;

let bed: Testbed;
let box: Container;

beforeEach(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan');
  box = bed.container('box', 'lan');
});
afterEach(() => bed.stop());

const ip = (...args: string[]): string => must(bed.host, ['ip', ...args]);
const mtu = (): number => json<[{ mtu: number }]>(box.ns, ['ip', '-j', 'link', 'show', 'eth0'])[0].mtu;

async function staysAt(value: number): Promise<void> {
  await sleep(SETTLED_MS);
  expect(mtu()).toBe(value);
}
const becomes = (value: number): Promise<void> => until(() => mtu() === value, `the MTU is ${value}`);

it('is not changed by links that lead elsewhere', async () => {
  ip('tuntap', 'add', 'low0', 'mode', 'tun');
  ip('link', 'set', 'low0', 'mtu', '72', 'up');
  bed.pair(bed.host, 'low1', null, bed.ext3, 'low1', null);
  ip('link', 'set', 'low1', 'mtu', '900');
  ip('addr', 'add', '10.9.0.1/24', 'dev', 'low1');
  ip('route', 'add', '10.0.0.0/9', 'dev', 'low1');
  ip('link', 'set', 'up1', 'mtu', '1300');
  await staysAt(1500);
  bed.ok('network', 'create', 'later');
  const other = bed.container('other', 'later');
  expect(must(other.ns, ['ip', 'link', 'show', 'eth0'])).toContain('mtu 1500');
});

it('follows the default route from link to link, and the lowest of several next hops', async () => {
  ip('link', 'set', 'up1', 'mtu', '1400');
  await staysAt(1500);
  ip('route', 'replace', 'default', 'via', EXT3);
  ip('-6', 'route', 'del', 'default');
  await becomes(1400);
  ip('link', 'set', 'up0', 'mtu', '1350');
  await staysAt(1400);
  ip('route', 'replace', 'default', 'nexthop', 'via', EXT2, 'nexthop', 'via', EXT3);
  await becomes(1350);
  ip('route', 'del', 'default');
  ip('link', 'set', 'up0', 'mtu', '1500');
  // no way to the world: both have routes of their own
  await becomes(1400);
});

it('is that of a VPN which takes all, from both halves of everything', async () => {
  bed.pair(bed.host, 'vpn0', null, bed.ext3, 'vpn0', null);
  ip('link', 'set', 'vpn0', 'mtu', '1420');
  await staysAt(1500);
  ip('route', 'add', '0.0.0.0/1', 'dev', 'vpn0');
  ip('route', 'add', '128.0.0.0/1', 'dev', 'vpn0');
  await becomes(1420);
  ip('link', 'del', 'vpn0');
  await becomes(1500);
});
