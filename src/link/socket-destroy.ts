// SPDX-License-Identifier: Apache-2.0
/** Ending connections of a namespace (CONFIG_INET_DIAG_DESTROY): their programs are told ECONNABORTED. */
import { endianness } from 'node:os';
import { isNativeError } from '../base/errors.js';
import type { NetNative, NetSocket } from '../native/net.js';
import { encodeMessage, messageType, u16, writeU32 } from './message.js';
import * as k from './uapi.js';
import { addressBytes, afOf, toAddress } from './wire.js';

/** What sockets are connected to, as their packets bear it. */
export interface Peer {
  readonly address: string;
  /** Host byte order. */
  readonly port: number;
}

/** struct inet_diag_req_v2, and struct inet_diag_sockid in it and in struct inet_diag_msg behind 4 bytes */
const REQUEST_LENGTH = 56;
const ID_OFFSET = 8;
const ID_LENGTH = 48;
/** Of the answer's, from the start of the message: 16 bytes of struct nlmsghdr and 4 before the id. */
const FAMILY_AT = 16;
const ANSWER_ID_AT = 20;
/** The cookie is the last 8 bytes of the id, two words with the lower half first. */
const COOKIE_AT = ANSWER_ID_AT + 40;
const ALL_STATES = 0xffffffff;
/** include/net/tcp_states.h: all that have a peer, but for those that are about to go by themselves. */
const CONNECTED = { 6: states(1, 2, 4, 5, 8, 9, 11), 17: states(1) } as const;
/** In one filter: its jumps are 16 bits wide. */
const PEERS = 512;

function states(...list: number[]): number {
  return list.reduce((mask, state) => mask | (1 << state), 0);
}

/** struct inet_diag_bc_op: where to go on if it holds and if not, in bytes from itself. */
function operation(code: number, yes: number, no: number): Buffer {
  return Buffer.concat([Buffer.from([code, yes]), u16(no)]);
}

/** A filter: connected to any of these. */
function connectedTo(peers: readonly Peer[]): Buffer {
  const conditions = peers.map(({ address, port }) => {
    const { family, ...rest } = toAddress(address);
    const bytes = addressBytes({ family, ...rest });
    // struct inet_diag_hostcond
    const head = Buffer.alloc(8);
    head[0] = afOf(family);
    head[1] = bytes.length * 8;
    writeU32(head, port, 4);
    return Buffer.concat([head, bytes]);
  });
  const JUMP = 4;
  let after = 0;
  const parts: Buffer[] = [];
  for (const [i, condition] of [...conditions.entries()].reverse()) {
    const length = JUMP + condition.length;
    const last = i === conditions.length - 1;
    // beyond the end by one operation is "no", the end itself "yes"
    const jump = last ? [] : [operation(k.INET_DIAG_BC.JMP, JUMP, JUMP + after)];
    parts.unshift(operation(k.INET_DIAG_BC.D_COND, length, length + JUMP), condition, ...jump);
    after += length + (last ? 0 : JUMP);
  }
  return Buffer.concat(parts);
}

function dump(family: number, protocol: 6 | 17, filter: Buffer): Buffer {
  const fixed = Buffer.alloc(REQUEST_LENGTH);
  fixed[0] = family;
  fixed[1] = protocol;
  writeU32(fixed, CONNECTED[protocol], 4);
  return encodeMessage(k.SOCK_DIAG_BY_FAMILY, k.NLM_F_REQUEST | k.NLM_F_DUMP, fixed, [
    [k.INET_DIAG_REQ_BYTECODE, filter],
  ]);
}

function destroy(found: Buffer, protocol: 6 | 17): Buffer {
  const fixed = Buffer.alloc(REQUEST_LENGTH);
  fixed[0] = found[FAMILY_AT] as number;
  fixed[1] = protocol;
  writeU32(fixed, ALL_STATES, 4);
  found.copy(fixed, ID_OFFSET, ANSWER_ID_AT, ANSWER_ID_AT + ID_LENGTH);
  return encodeMessage(k.SOCK_DESTROY, k.NLM_F_REQUEST | k.NLM_F_ACK, fixed);
}

function cookieOf(found: Buffer): bigint {
  const [low, high] =
    endianness() === 'LE'
      ? [found.readUInt32LE(COOKIE_AT), found.readUInt32LE(COOKIE_AT + 4)]
      : [found.readUInt32BE(COOKIE_AT), found.readUInt32BE(COOKIE_AT + 4)];
  return (BigInt(high) << 32n) | BigInt(low);
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
    for (let at = 0; at < peers.length; at += PEERS) {
      const filter = connectedTo(peers.slice(at, at + PEERS));
      for (const family of [k.AF_INET, k.AF_INET6]) {
        for (const protocol of [6, 17] as const) {
          const request = dump(family, protocol, filter);
          for (const found of await native.netRequest(socket, 'SOCK_DIAG_BY_FAMILY', request)) {
            if (messageType(found) !== k.SOCK_DIAG_BY_FAMILY || !cookies.has(cookieOf(found))) continue;
            if (await end(native, socket, destroy(found, protocol))) ended++;
          }
        }
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
