// SPDX-License-Identifier: Apache-2.0
/** Changes of links, addresses, routes, settings and filters, as the kernel announces them. */
import type { NetNative } from '../native/net.js';
import { type AddressInfo, decodeAddress, decodeRoute, type RouteInfo } from './addressing.js';
import { decodeForwardingOff } from './advertised.js';
import { decodeLink, type LinkInfo, linkFamily } from './links.js';
import { messageType, splitMessages } from './message.js';
import { decodeTcIfindex } from './tc.js';
import { AF_UNSPEC, NETLINK_ROUTE, RTM, RTNLGRP } from './uapi.js';

export type NetEvent =
  | { type: 'link'; gone: boolean; link: LinkInfo }
  | { type: 'address'; gone: boolean; address: AddressInfo }
  | { type: 'route'; gone: boolean; route: RouteInfo }
  | { type: 'forwarding-off'; family: 4 | 6; ifindex: number }
  /** A qdisc or filters of a device went. */
  | { type: 'filters'; ifindex: number }
  /** Events were lost: read everything again. */
  | { type: 'overrun' };

function decode(message: Buffer): NetEvent | null {
  const type = messageType(message);
  if (type === RTM.NEWLINK || type === RTM.DELLINK) {
    // A bridge tells of its ports too: RTM_DELLINK is a port that left, and such messages say little of the link.
    if (linkFamily(message) !== AF_UNSPEC) return null;
    return { type: 'link', gone: type === RTM.DELLINK, link: decodeLink(message) };
  }
  if (type === RTM.NEWADDR || type === RTM.DELADDR)
    return { type: 'address', gone: type === RTM.DELADDR, address: decodeAddress(message) };
  if (type === RTM.NEWROUTE || type === RTM.DELROUTE)
    return { type: 'route', gone: type === RTM.DELROUTE, route: decodeRoute(message) };
  if (type === RTM.NEWNETCONF) {
    const off = decodeForwardingOff(message);
    return off === null ? null : { type: 'forwarding-off', ...off };
  }
  if (type === RTM.DELQDISC || type === RTM.DELTFILTER)
    return { type: 'filters', ifindex: decodeTcIfindex(message) };
  return null;
}

/** Follows the namespace at `netns` (null: our own) until close(). */
export async function followEvents(
  native: NetNative,
  onEvent: (event: NetEvent) => void,
  netns: string | null = null,
): Promise<{ close(): void }> {
  const socket = await native.netOpen(NETLINK_ROUTE, netns);
  // One datagram may hold several events.
  let closed = false;
  const onMessages = (datagram: Buffer | null): void => {
    if (datagram === null) {
      onEvent({ type: 'overrun' });
      return;
    }
    for (const message of splitMessages(datagram)) {
      const event = decode(message);
      if (event !== null && !closed) onEvent(event);
    }
  };
  native.netListen(socket, Object.values(RTNLGRP), onMessages);
  const close = (): void => {
    closed = true;
    native.netClose(socket);
  };
  return { close };
}
