// SPDX-License-Identifier: Apache-2.0
/**
 * The MTU of networks that are given none: of the links by which the host's
 * routes to the world lead. A packet that is too large for another link is
 * answered with an error, as everywhere.
 */
import { type Family, parseCidr } from '../base/addresses.js';
import type { LinkInfo, RouteInfo } from './kernel.js';

/** Ethernet's default, where there is no uplink to ask. */
export const DEFAULT_MTU = 1500;

/** The longest prefix that stands for a default route: all of 2000::/3 is what IPv6 has given out. */
const DEFAULT_ROUTE: Record<Family, number> = { 4: 1, 6: 3 };
/** On every link alike. */
const LINK_LOCAL = /^(fe80|ff..):/;

type Uplink = Pick<LinkInfo, 'ifindex' | 'mtu'>;
type Route = Pick<RouteInfo, 'family' | 'dst' | 'type' | 'via'>;

/** Pairs of halves of everything are how VPN clients replace a default route. */
export function leadsToTheWorld({ family, dst, type }: Route): boolean {
  if (type !== 'unicast') return false;
  return dst === null || (parseCidr(dst)?.prefix.length ?? 128) <= DEFAULT_ROUTE[family];
}

/**
 * The lowest of the links with a default route; without one, of those that
 * anything is routed by; without such, of all.
 */
export function uplinkMtu(uplinks: readonly Uplink[], routes: readonly Route[]): number {
  const by = (wanted: (route: Route) => boolean): Uplink[] => {
    const links = new Set(routes.filter(wanted).flatMap(({ via }) => via));
    return uplinks.filter(({ ifindex }) => links.has(ifindex));
  };
  const choices = [by(leadsToTheWorld), by(isOwn), uplinks];
  const chosen = choices.find((links) => links.length > 0) ?? [];
  return chosen.length === 0 ? DEFAULT_MTU : Math.min(...chosen.map(({ mtu }) => mtu));
}

function isOwn({ type, dst }: Route): boolean {
  return type === 'unicast' && !LINK_LOCAL.test(dst ?? '');
}
