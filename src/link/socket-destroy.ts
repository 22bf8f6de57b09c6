// SPDX-License-Identifier: Apache-2.0
/** Ending connections of a namespace (CONFIG_INET_DIAG_DESTROY): their programs are told ECONNABORTED. */
import { isNativeError } from '../base/errors.js';
import type { NetNative, NetSocket } from '../native/net.js';
import { encodeMessage, writeU32 } from './message.js';
import { connectedSockets, type Peer } from './socket-diag.js';
import * as k from './uapi.js';

/** struct inet_diag_req_v2; struct inet_diag_sockid in it, and in the kernel's message behind the family */
const REQUEST_LENGTH = 56;
const ID_OFFSET = 8;
const ID_LENGTH = 48;
const FAMILY_AT = 16;
const FOUND_ID_AT = 20;
const ALL_STATES = 0xffffffff;

function destroy(found: Buffer, protocol: 6 | 17): Buffer {
  const fixed = Buffer.alloc(REQUEST_LENGTH);
  fixed[0] = found[FAMILY_AT] as number;
  fixed[1] = protocol;
  writeU32(fixed, ALL_STATES, 4);
  found.copy(fixed, ID_OFFSET, FOUND_ID_AT, FOUND_ID_AT + ID_LENGTH);
  return encodeMessage(k.SOCK_DESTROY, k.NLM_F_REQUEST | k.NLM_F_ACK, fixed);
}

/**
 * Ends the sockets with these cookies that are connected to one of these peers,
 * in the namespace at `netns`, null: our own. Answers how many there were.
 */
export async function destroySockets(
  native: NetNative,
  netns: string | null,
  peers: readonly Peer[],
  cookies: ReadonlySet<bigint>,
): Promise<number> {
  const socket = await native.netOpen(k.NETLINK_SOCK_DIAG, netns);
  let ended = 0;
  try {
    for (const protocol of [6, 17] as const) {
      for (const { cookie, message } of await connectedSockets(native, socket, protocol, peers)) {
        if (cookies.has(cookie) && (await end(native, socket, destroy(message, protocol)))) ended++;
      }
    }
  } finally {
    native.netClose(socket);
  }
  return ended;
}

/** False: it has ended by itself. */
async function end(native: NetNative, socket: NetSocket, request: Buffer): Promise<boolean> {
  try {
    await native.netRequest(socket, 'SOCK_DESTROY', request);
    return true;
  } catch (e) {
    if (isNativeError(e) && e.code === 'ENOENT') return false;
    throw e;
  }
}
