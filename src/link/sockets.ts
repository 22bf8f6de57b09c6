// SPDX-License-Identifier: Apache-2.0
/** Which ports processes of this namespace hold: listening TCP and bound UDP sockets. */
import { isNativeError } from '../base/errors.js';
import { missingModule } from '../base/modules.js';
import type { NetNative } from '../native/net.js';
import { decodeAttributes, encodeMessage, messageType, writeU32 } from './message.js';
import * as k from './uapi.js';
import { addressText } from './wire.js';

export interface HostSocket {
  readonly protocol: 'tcp' | 'udp';
  readonly family: 4 | 6;
  readonly address: string;
  /** Host byte order. */
  readonly port: number;
  /** An IPv6 socket that takes no IPv4. */
  readonly v6only: boolean;
}

/** struct inet_diag_req_v2: family, protocol, extensions, pad, states, struct inet_diag_sockid */
const REQUEST_LENGTH = 56;
/** struct inet_diag_msg */
const MESSAGE_LENGTH = 72;
const HEADER = 16;
/** include/net/tcp_states.h */
const TCP_CLOSE = 7;
const TCP_LISTEN = 10;

function request(family: number, protocol: number, states: number): Buffer {
  const fixed = Buffer.alloc(REQUEST_LENGTH);
  fixed[0] = family;
  fixed[1] = protocol;
  // the kernel reports INET_DIAG_SKV6ONLY unasked for listening and closed sockets
  writeU32(fixed, states, 4);
  return encodeMessage(k.SOCK_DIAG_BY_FAMILY, k.NLM_F_REQUEST | k.NLM_F_DUMP, fixed);
}

function decode(message: Buffer, protocol: 'tcp' | 'udp'): HostSocket {
  const body = message.subarray(HEADER);
  const family = body[0] === k.AF_INET ? 4 : 6;
  // idiag_sport and idiag_src of struct inet_diag_sockid, in network order
  const attributes = decodeAttributes(body.subarray(MESSAGE_LENGTH));
  return {
    protocol,
    family,
    port: body.readUInt16BE(4),
    address: addressText(body.subarray(8, family === 4 ? 12 : 24)),
    v6only: attributes.get(k.INET_DIAG_SKV6ONLY)?.[0] === 1,
  };
}

/** A UDP socket that is connected holds its port as well as one that is not. */
export async function hostSockets(native: NetNative): Promise<HostSocket[]> {
  const socket = await native.netOpen(k.NETLINK_SOCK_DIAG, null);
  try {
    const found: HostSocket[] = [];
    for (const family of [k.AF_INET, k.AF_INET6]) {
      for (const [name, protocol, states] of [
        ['tcp', 6, 1 << TCP_LISTEN],
        ['udp', 17, (1 << TCP_CLOSE) | (1 << 1)],
      ] as const) {
        const question = request(family, protocol, states);
        const answer = await native.netRequest(socket, 'SOCK_DIAG_BY_FAMILY', question).catch((e) => {
          if (!isNativeError(e) || e.code !== 'ENOENT') throw e;
          throw missingModule(`${name}_diag`, `who holds ${name} ports of the host cannot be seen`, e);
        });
        for (const message of answer)
          if (messageType(message) === k.SOCK_DIAG_BY_FAMILY) found.push(decode(message, name));
      }
    }
    return found;
  } finally {
    native.netClose(socket);
  }
}
