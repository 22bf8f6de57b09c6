// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { uplinkMtu } from '../../../src/reconcile/uplink-mtu.js';

const ETH = { ifindex: 2, mtu: 1500 };
const TUNNEL = { ifindex: 3, mtu: 1280 };
const BARE = { ifindex: 4, mtu: 72 };
const ALL = [ETH, TUNNEL, BARE];

const route = (dst: string | null, via: number[], type = 'unicast') => ({
  family: dst?.includes(':') ? (6 as const) : (4 as const),
  dst,
  via,
  type,
});

it.each([
  ['a default route', [route(null, [2]), route('10.0.0.0/8', [3])], 1500],
  ['default routes of several links', [route(null, [2]), route(null, [3])], 1280],
  ['a default route with several next hops', [route(null, [2, 3])], 1280],
  ['the halves that a VPN has instead', [route(null, [2]), route('0.0.0.0/1', [3])], 1280],
  ['all that IPv6 has given out', [route(null, [2]), route('2000::/3', [3])], 1280],
  ['a default route that refuses', [route(null, [2]), route(null, [3], 'unreachable')], 1500],
  ['a default route of a link that is no uplink', [route(null, [9]), route('10.0.0.0/8', [2])], 1500],
  ['no default route, but others', [route('192.0.2.0/24', [2]), route('10.0.0.0/8', [3])], 1280],
  ['no more than what every link has', [route('192.0.2.0/24', [2]), route('fe80::/64', [3])], 1500],
  ['no route at all', [], 72],
])('is that of the links with %s', (_, routes, mtu) => {
  expect(uplinkMtu(ALL, routes)).toBe(mtu);
});

it('is that of Ethernet without any link', () => {
  expect(uplinkMtu([], [route(null, [2])])).toBe(1500);
});
