// SPDX-License-Identifier: Apache-2.0
/** Changes of links, addresses and routes, as the kernel announces them. */
import type { NetNative } from '../native/net.js';
import { type AddressInfo, decodeAddress, decodeRoute, type RouteInfo } from './addressing.js';
import { decodeLink, type LinkInfo } from './links.js';
import { messageType, splitMessages } from './message.js';
import { NETLINK_ROUTE, RTM, RTNLGRP } from './uapi.js';

export type NetEvent =
  | { type: 'link'; gone: boolean; link: LinkInfo }
  | { type: 'address'; gone: boolean; address: AddressInfo }
  | { type: 'route'; gone: boolean; route: RouteInfo }
  /** Events were lost: read everything again. */
  | { type: 'overrun' };

function decode(message: Buffer): NetEvent | null {
  const type = messageType(message);
  if (type === RTM.NEWLINK || type === RTM.DELLINK)
    return { type: 'link', gone: type === RTM.DELLINK, link: decodeLink(message) };
  if (type === RTM.NEWADDR || type === RTM.DELADDR)
    return { type: 'address', gone: type === RTM.DELADDR, address: decodeAddress(message) };
  if (type === RTM.NEWROUTE || type === RTM.DELROUTE)
    return { type: 'route', gone: type === RTM.DELROUTE, route: decodeRoute(message) };
  return null;
}

/** Follows the namespace at `netns` (null: our own) until close(). */
export async function followEvents(
  native: NetNative,
  onEvent: (event: NetEvent) => void,
  netns: string | null = null,
): Promise<{ close(): void }> {
  const socket = await native.netOpen(NETLINK_ROUTE, netns);
  native.netListen(socket, Object.values(RTNLGRP), (datagram) => {
    if (datagram === null) {
      onEvent({ type: 'overrun' });
      return;
    }
    for (const message of splitMessages(datagram)) {
      const event = decode(message);
      if (event !== null) onEvent(event);
    }
  });
  return { close: () => native.netClose(socket) };
}
