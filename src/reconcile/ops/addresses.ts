// SPDX-License-Identifier: Apache-2.0
import type { AddressInfo, NetlinkApi } from '../kernel.js';

function text({ address, prefixLength }: AddressInfo): string {
  return `${address}/${prefixLength}`;
}

/** IPv6 link-local addresses are the kernel's business. */
function ofOurs(address: AddressInfo, ifindex: number): boolean {
  return address.ifindex === ifindex && !(address.family === 6 && address.scope === 'link');
}

/** Whether a device of ours has exactly these addresses. */
export function configured(
  have: readonly AddressInfo[],
  ifindex: number,
  wanted: readonly string[],
): boolean {
  const own = have.filter((a) => ofOurs(a, ifindex)).map(text);
  return own.length === wanted.length && wanted.every((cidr) => own.includes(cidr));
}

/** Gives a device of ours exactly these addresses. */
export async function changeAddresses(
  netlink: Pick<NetlinkApi, 'addresses' | 'addAddress' | 'deleteAddress'>,
  ifindex: number,
  wanted: readonly string[],
): Promise<void> {
  const own = (await netlink.addresses(ifindex)).filter((a) => ofOurs(a, ifindex)).map(text);
  // In this order: with an address go those of its prefix that were added later (secondary ones).
  for (const cidr of own) if (!wanted.includes(cidr)) await netlink.deleteAddress(ifindex, cidr);
  for (const cidr of wanted) if (!own.includes(cidr)) await netlink.addAddress(ifindex, cidr);
}
