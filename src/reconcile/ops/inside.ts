// SPDX-License-Identifier: Apache-2.0
/** A sandbox's link, of a port or of its own: what it is to be inside, and how to see that it is. */
import { isNativeError, SluiceError } from '../../base/errors.js';
import type { PortRow } from '../../cnm/rows.js';
import type { AddressInfo, LinkInfo, NetlinkApi, NetnsApi, RouteInfo } from '../kernel.js';
import { inPool } from '../lanes.js';
import { ifPresent } from './absent.js';
import { changeAddresses, configured } from './addresses.js';
import { disableIpv6, enableIpv6 } from './ipv6.js';

/** What a link inside a sandbox is to have, whatever its kind. */
export type InsideRow = Pick<PortRow, 'netns' | 'interface' | 'mac' | 'addresses' | 'gateways' | 'ipv6'>;

export interface Inside {
  links: readonly LinkInfo[];
  addresses: readonly AddressInfo[];
  routes: readonly RouteInfo[];
}

/** The main table (RT_TABLE_MAIN). */
const MAIN = 254;
const LO = 1;

/** Namespaces read at a time in a pass. */
const READ_WIDTH = 4;

/** What is in the namespaces, without those that do not exist. */
export async function readInsides(netns: NetnsApi, paths: Iterable<string>): Promise<Map<string, Inside>> {
  const insides = new Map<string, Inside>();
  await inPool([...new Set(paths)], READ_WIDTH, async (path) => {
    const inside = await readInside(netns, path);
    if (inside !== null) insides.set(path, inside);
  });
  return insides;
}

async function readInside(netns: NetnsApi, path: string): Promise<Inside | null> {
  return ifThere(netns, path, async (inner) => ({
    links: await inner.links(),
    addresses: await inner.addresses(),
    routes: await inner.routes(),
  }));
}

/** null: there is no namespace at `path`, or it went while it was looked into. */
export async function ifThere<T>(
  netns: Pick<NetnsApi, 'isNetns' | 'netlinkIn'>,
  path: string,
  look: (inner: NetlinkApi) => Promise<T>,
): Promise<T | null> {
  try {
    const inner = await netns.netlinkIn(path);
    try {
      return await look(inner);
    } finally {
      inner.close();
    }
  } catch (e) {
    if (await netns.isNetns(path)) throw e;
    return null;
  }
}

/** What must be done in a namespace that somebody may have taken away. */
export async function whileThere<T>(
  netns: Pick<NetnsApi, 'isNetns'>,
  path: string,
  task: () => Promise<T>,
): Promise<T> {
  try {
    return await task();
  } catch (e) {
    if (await netns.isNetns(path)) throw e;
    throw new SluiceError('conflict', `the network namespace ${path} is gone`, {
      hint: 'remove its sandbox and create it again, or restart its container',
      cause: e,
    });
  }
}

export function settledInside(inside: Inside, row: InsideRow, ifindex: number, mtu: number): boolean {
  const link = inside.links.find((l) => l.ifindex === ifindex);
  return (
    link !== undefined &&
    link.name === row.interface &&
    link.mac === row.mac &&
    link.mtu === mtu &&
    link.up &&
    configured(inside.addresses, ifindex, row.addresses) &&
    sameGateways(gateways(inside.routes, ifindex), row.gateways)
  );
}

/**
 * `fresh`: the link was just made and has nothing yet. `ours`: so was the
 * namespace, with lo up and the defaults for its interfaces in place.
 */
export async function configureInside(
  netns: NetnsApi,
  row: InsideRow,
  ifindex: number,
  mtu: number,
  { fresh, ours }: { fresh: boolean; ours: boolean },
): Promise<void> {
  if (!ours) {
    // A path may be asymmetric where a sandbox is on several networks: 2 is the loose check.
    await netns.writeSysctlIn(row.netns, `net/ipv4/conf/${row.interface}/rp_filter`, '2');
  }
  const write = (key: string, value: string) => netns.writeSysctlIn(row.netns, key, value);
  if (row.ipv6) {
    await enableIpv6(write, row.interface, mtu, 'eui64');
  } else if (!ours) {
    await disableIpv6(write, row.interface);
  }
  const inner = await netns.netlinkIn(row.netns);
  try {
    if (!ours) await inner.setLink(LO, { up: true });
    if (fresh) {
      await configureFresh(inner, row, ifindex);
    } else {
      await inner.setLink(ifindex, { mac: row.mac, mtu });
      await changeAddresses(inner, ifindex, row.addresses);
      await inner.setLink(ifindex, { up: true });
      await changeGateways(inner, row, ifindex, gateways(await inner.routes(), ifindex));
    }
  } finally {
    inner.close();
  }
}

async function configureFresh(inner: NetlinkApi, row: InsideRow, ifindex: number): Promise<void> {
  try {
    await inner.configure(ifindex, row);
  } catch (e) {
    throw routeConflict(e, row);
  }
}

/** A new interface has no addresses yet: what exists already is a default route. */
function routeConflict(e: unknown, row: InsideRow): unknown {
  if (!isNativeError(e) || e.code !== 'EEXIST') return e;
  return new SluiceError('conflict', `${row.netns} has a default route already`, {
    hint: 'remove it, or join an endpoint of an internal network',
    cause: e,
  });
}

function gateways(routes: readonly RouteInfo[], ifindex: number): string[] {
  return routes
    .filter((r) => r.dst === null && r.ifindex === ifindex && r.table === MAIN && r.gateway !== null)
    .map((r) => r.gateway as string);
}

function sameGateways(have: readonly string[], wanted: readonly string[]): boolean {
  return have.length === wanted.length && wanted.every((gateway) => have.includes(gateway));
}

async function changeGateways(
  inner: NetlinkApi,
  row: InsideRow,
  ifindex: number,
  have: readonly string[],
): Promise<void> {
  for (const gateway of have) {
    if (!row.gateways.includes(gateway)) await ifPresent(inner.deleteRoute({ dst: null, gateway, ifindex }));
  }
  for (const gateway of row.gateways) {
    if (have.includes(gateway)) continue;
    try {
      await inner.addRoute({ dst: null, gateway, ifindex });
    } catch (e) {
      throw routeConflict(e, row);
    }
  }
}
