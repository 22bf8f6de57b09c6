// SPDX-License-Identifier: Apache-2.0
/** What the connected sockets of a namespace are connected to, by sock_diag. */
import { endianness } from 'node:os';
import type { NetNative, NetSocket } from '../native/net.js';
import { encodeMessage, messageType, u16, writeU32 } from './message.js';
import * as k from './uapi.js';
import { addressBytes, addressText, afOf, toAddress } from './wire.js';

/** What sockets are connected to, as their packets bear it. */
export interface Peer {
  readonly address: string;
  /** Host byte order. */
  readonly port: number;
}

/** struct inet_diag_req_v2, and struct inet_diag_sockid in it and in struct inet_diag_msg behind 4 bytes */
const REQUEST_LENGTH = 56;
const ID_LENGTH = 48;
/** Of the answer's, from the start of the message: 16 bytes of struct nlmsghdr and 4 before the id. */
const FAMILY_AT = 16;
const ANSWER_ID_AT = 20;
/** The cookie is the last 8 bytes of the id, two words with the lower half first. */
const COOKIE_AT = ANSWER_ID_AT + 40;
const PORT_AT = ANSWER_ID_AT + 2;
const PEER_AT = ANSWER_ID_AT + 20;
const DEVICE_AT = ANSWER_ID_AT + 36;
/** Behind the id: expires, rqueue, wqueue, uid. */
const INODE_AT = ANSWER_ID_AT + ID_LENGTH + 16;
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

function dump(family: number, protocol: 6 | 17, filter: Buffer | null): Buffer {
  const fixed = Buffer.alloc(REQUEST_LENGTH);
  fixed[0] = family;
  fixed[1] = protocol;
  writeU32(fixed, CONNECTED[protocol], 4);
  return encodeMessage(k.SOCK_DIAG_BY_FAMILY, k.NLM_F_REQUEST | k.NLM_F_DUMP, fixed, [
    ...(filter === null ? [] : [[k.INET_DIAG_REQ_BYTECODE, filter] as const]),
  ]);
}

function cookieOf(found: Buffer): bigint {
  return (BigInt(u32(found, COOKIE_AT + 4)) << 32n) | BigInt(u32(found, COOKIE_AT));
}

function u32(bytes: Buffer, at: number): number {
  return endianness() === 'LE' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}

export interface ConnectedSocket {
  readonly cookie: bigint;
  readonly inode: number;
  /** A mapped address is IPv4. */
  readonly peer: Peer;
  /** Of the device that it is bound to; 0: none. */
  readonly device: number;
  /** The kernel's message about it. */
  readonly message: Buffer;
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');

function decode(message: Buffer): ConnectedSocket {
  const v4 = message[FAMILY_AT] === k.AF_INET;
  const address = message.subarray(PEER_AT, PEER_AT + (v4 ? 4 : 16));
  const mapped = !v4 && address.subarray(0, MAPPED.length).equals(MAPPED);
  return {
    cookie: cookieOf(message),
    inode: u32(message, INODE_AT),
    peer: {
      address: addressText(mapped ? address.subarray(MAPPED.length) : address),
      port: message.readUInt16BE(PORT_AT),
    },
    device: u32(message, DEVICE_AT),
    message,
  };
}

/** Those that are connected to one of these peers, null: to anybody. */
export async function connectedSockets(
  native: NetNative,
  socket: NetSocket,
  protocol: 6 | 17,
  peers: readonly Peer[] | null,
): Promise<ConnectedSocket[]> {
  const filters: (Buffer | null)[] = peers === null ? [null] : [];
  for (let at = 0; at < (peers?.length ?? 0); at += PEERS)
    filters.push(connectedTo(peers?.slice(at, at + PEERS) ?? []));
  const found: ConnectedSocket[] = [];
  for (const filter of filters) {
    for (const family of [k.AF_INET, k.AF_INET6]) {
      const answer = await native.netRequest(socket, 'SOCK_DIAG_BY_FAMILY', dump(family, protocol, filter));
      for (const message of answer)
        if (messageType(message) === k.SOCK_DIAG_BY_FAMILY) found.push(decode(message));
    }
  }
  return found;
}

/** All connected UDP sockets of the namespace at `netns`, null: our own. */
export async function connectedUdp(native: NetNative, netns: string | null): Promise<ConnectedSocket[]> {
  const socket = await native.netOpen(k.NETLINK_SOCK_DIAG, netns);
  try {
    return await connectedSockets(native, socket, 17, null);
  } finally {
    native.netClose(socket);
  }
}
