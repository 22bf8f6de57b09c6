// SPDX-License-Identifier: Apache-2.0
/** The clsact qdisc of a device, and whether it has filters. */
import { decodeMessage, encodeMessage, readU32, text, textOf, writeU32 } from './message.js';
import * as k from './uapi.js';

/** struct tcmsg, include/uapi/linux/rtnetlink.h */
const TCMSG = 20;
/** include/uapi/linux/pkt_sched.h */
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
/** TC_H_MIN_INGRESS and TC_H_MIN_EGRESS of it */
export const CLSACT_PARENTS = [0xfffffff2, 0xfffffff3] as const;

function tcmsg(ifindex: number, handle: number, parent: number): Buffer {
  const b = Buffer.alloc(TCMSG);
  writeU32(b, ifindex, 4);
  writeU32(b, handle, 8);
  writeU32(b, parent, 12);
  return b;
}

const REQUEST = k.NLM_F_REQUEST | k.NLM_F_ACK;

export function createClsact(ifindex: number): Buffer {
  const flags = REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL;
  return encodeMessage(k.RTM.NEWQDISC, flags, tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT), [
    [k.TCA_KIND, text('clsact')],
  ]);
}

export function deleteClsact(ifindex: number): Buffer {
  return encodeMessage(k.RTM.DELQDISC, REQUEST, tcmsg(ifindex, CLSACT_HANDLE, TC_H_CLSACT));
}

/** What stands where clsact would: that, or `ingress`. Answered only to those who ask for an echo. */
export function getClsact(ifindex: number): Buffer {
  return encodeMessage(k.RTM.GETQDISC, REQUEST | k.NLM_F_ECHO, tcmsg(ifindex, 0, TC_H_CLSACT));
}

export function decodeQdiscKind(message: Buffer): string {
  return textOf(decodeMessage(message, TCMSG).attributes.get(k.TCA_KIND));
}

/** Of a message about a qdisc or filter: the device. */
export function decodeTcIfindex(message: Buffer): number {
  return readU32(decodeMessage(message, TCMSG).fixed, 4);
}

export function getFilters(ifindex: number, parent: number): Buffer {
  return encodeMessage(k.RTM.GETTFILTER, k.NLM_F_REQUEST | k.NLM_F_DUMP, tcmsg(ifindex, 0, parent));
}
