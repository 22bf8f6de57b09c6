// SPDX-License-Identifier: Apache-2.0
/**
 * IPv6 on devices of ours. Only a device's own settings are written: `all` and
 * `default` belong to whoever owns the namespace.
 */
import { SluiceError } from '../../base/errors.js';
import { isErrno } from '../files.js';
import type { AdvertisedRoute, NetlinkApi } from '../kernel.js';
import { ifPresent } from './absent.js';

export type WriteSysctl = (key: string, value: string) => Promise<void>;

/** RFC 8200; below it the kernel keeps no IPv6 state for a device. */
const IPV6_MIN_MTU = 1280;

/** No IPv6 whatsoever, link-local addresses included (CVE-2024-32473). */
export async function disableIpv6(write: WriteSysctl, link: string): Promise<void> {
  try {
    await write(`net/ipv6/conf/${link}/disable_ipv6`, '1');
  } catch (e) {
    // A device of a small MTU has none, and none has where the host has no IPv6.
    if (!isErrno(e, 'ENOENT')) throw e;
  }
}

/** A link-local address by the MAC, which a host is to have (RFC 4291), or none. */
const ADDR_GEN_MODE = { eui64: '0', none: '1' } as const;

/**
 * IPv6 with the addresses that it is given, and none by router advertisements,
 * which anybody on the network could send. They are ours alone: no time is spent on duplicates.
 */
export async function enableIpv6(
  write: WriteSysctl,
  link: string,
  mtu: number,
  linkLocal: keyof typeof ADDR_GEN_MODE,
): Promise<void> {
  if (mtu < IPV6_MIN_MTU) {
    throw new SluiceError('conflict', `${link} has an MTU of ${mtu}, IPv6 needs ${IPV6_MIN_MTU}`, {
      hint: 'give the network an MTU of its own (-o mtu=1280), or create it without IPv6',
    });
  }
  try {
    await write(`net/ipv6/conf/${link}/addr_gen_mode`, ADDR_GEN_MODE[linkLocal]);
  } catch (e) {
    if (!isErrno(e, 'ENOENT')) throw e;
    throw new SluiceError('environment', `the kernel has no IPv6 for ${link}`, {
      hint: 'start the host without ipv6.disable=1, or use a network without IPv6',
      cause: e,
    });
  }
  await write(`net/ipv6/conf/${link}/accept_ra`, '0');
  await write(`net/ipv6/conf/${link}/autoconf`, '0');
  await write(`net/ipv6/conf/${link}/accept_dad`, '0');
  await write(`net/ipv6/conf/${link}/disable_ipv6`, '0');
}

/**
 * Lets one device forward. To that the kernel reacts by forgetting every route
 * of the namespace that it learned by router advertisements, on whatever
 * device (addrconf_fixup_forwarding()): on many hosts the default route. So
 * each gets a stand-in first, which takes over at once and ends when the
 * original would have; the router's next advertisement brings that back.
 */
export async function forwardIpv6(
  netlink: Pick<NetlinkApi, 'forwarding6' | 'advertisedRoutes' | 'addAdvertised' | 'deleteAdvertised'>,
  write: WriteSysctl,
  { ifindex, name }: { readonly ifindex: number; readonly name: string },
): Promise<void> {
  if ((await netlink.forwarding6()).has(ifindex)) return;
  const standIns: { original: AdvertisedRoute; standIn: AdvertisedRoute }[] = [];
  for (const original of await netlink.advertisedRoutes()) {
    // Behind the original: the kernel must be able to bring that back beside it.
    const standIn = { ...original, metric: original.metric + 1 };
    try {
      await netlink.addAdvertised(standIn);
      standIns.push({ original, standIn });
    } catch (e) {
      if (!isErrno(e, 'EEXIST')) throw e;
    }
  }
  await write(`net/ipv6/conf/${name}/forwarding`, '1');
  const left = new Set((await netlink.advertisedRoutes()).map(identity));
  for (const { original, standIn } of standIns) {
    if (left.has(identity(original))) await ifPresent(netlink.deleteAdvertised(standIn));
  }
}

function identity({ dst, gateway, ifindex, metric }: AdvertisedRoute): string {
  return `${dst} ${gateway} ${ifindex} ${metric}`;
}
