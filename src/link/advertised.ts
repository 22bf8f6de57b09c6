// SPDX-License-Identifier: Apache-2.0
/** IPv6 routes learned by router advertisements, and those that stand in for them, as messages. */
import { type Attribute, decodeMessage, encodeMessage, readU32, u8, u32 } from './message.js';
import * as k from './uapi.js';
import { addressBytes, addressText, toAddress, toCidr } from './wire.js';

export interface AdvertisedRoute {
  /** CIDR; null: default. */
  readonly dst: string | null;
  readonly gateway: string;
  readonly ifindex: number;
  readonly metric: number;
  /** Seconds that are left of its life. */
  readonly expires: number;
  /** Router preference (RFC 4191), as the kernel encodes it. */
  readonly preference: number;
}

/** struct rtmsg, include/uapi/linux/rtnetlink.h */
const RTMSG = 12;
/** rta_expires of struct rta_cacheinfo, in USER_HZ. */
const EXPIRES = 8;
const USER_HZ = 100;

/** null: no such route, or one that does not end by itself. */
export function decodeAdvertised(message: Buffer): AdvertisedRoute | null {
  const { fixed, attributes } = decodeMessage(message, RTMSG);
  const gateway = attributes.get(k.RTA.GATEWAY);
  const oif = attributes.get(k.RTA.OIF);
  const cache = attributes.get(k.RTA.CACHEINFO);
  const metric = attributes.get(k.RTA.PRIORITY);
  const dst = attributes.get(k.RTA.DST);
  if (fixed[0] !== k.AF_INET6 || fixed[4] !== k.RT_TABLE_MAIN || fixed[5] !== k.RTPROT_RA) return null;
  if (!gateway || !oif || !cache || !metric) return null;
  const expires = Math.floor(readU32(cache, EXPIRES) / USER_HZ);
  if (expires < 1) return null;
  return {
    dst: dst && (fixed[1] as number) > 0 ? `${addressText(dst)}/${fixed[1]}` : null,
    gateway: addressText(gateway),
    ifindex: readU32(oif, 0),
    metric: readU32(metric, 0),
    expires,
    preference: attributes.get(k.RTA.PREF)?.[0] ?? 0,
  };
}

export function changeAdvertised(add: boolean, route: AdvertisedRoute): Buffer {
  const target = route.dst === null ? null : toCidr(route.dst);
  const fixed = Buffer.alloc(RTMSG);
  fixed[0] = k.AF_INET6;
  fixed[1] = target?.length ?? 0;
  fixed[4] = k.RT_TABLE_MAIN;
  fixed[5] = k.RTPROT_RA;
  if (add) fixed[7] = 1; // RTN_UNICAST
  const attributes: Attribute[] = [
    [k.RTA.GATEWAY, addressBytes(toAddress(route.gateway))],
    [k.RTA.OIF, u32(route.ifindex)],
    [k.RTA.PRIORITY, u32(route.metric)],
  ];
  if (target) attributes.push([k.RTA.DST, addressBytes(target.address)]);
  if (add) attributes.push([k.RTA.EXPIRES, u32(route.expires)], [k.RTA.PREF, u8(route.preference)]);
  const request = k.NLM_F_REQUEST | k.NLM_F_ACK;
  const flags = add ? request | k.NLM_F_CREATE | k.NLM_F_EXCL : request;
  return encodeMessage(add ? k.RTM.NEWROUTE : k.RTM.DELROUTE, flags, fixed, attributes);
}

/** struct netconfmsg, include/uapi/linux/netconf.h */
export function getForwarding(family: 4 | 6): Buffer {
  const byte = family === 4 ? k.AF_INET : k.AF_INET6;
  return encodeMessage(k.RTM.GETNETCONF, k.NLM_F_REQUEST | k.NLM_F_DUMP, Buffer.from([byte]));
}

/** The device that stopped forwarding a family; null: it forwards, or the message is about something else. */
export function decodeForwardingOff(message: Buffer): { family: 4 | 6; ifindex: number } | null {
  const { fixed, attributes } = decodeMessage(message, 1);
  const ifindex = attributes.get(k.NETCONFA.IFINDEX);
  const forwarding = attributes.get(k.NETCONFA.FORWARDING);
  if (!ifindex || !forwarding || readU32(forwarding, 0) !== 0) return null;
  return { family: fixed[0] === k.AF_INET6 ? 6 : 4, ifindex: readU32(ifindex, 0) };
}

/** The device whose forwarding is on; null: that of another is off, or these are the namespace's defaults. */
export function decodeForwarding(message: Buffer): number | null {
  const { attributes } = decodeMessage(message, 1);
  const ifindex = attributes.get(k.NETCONFA.IFINDEX);
  const forwarding = attributes.get(k.NETCONFA.FORWARDING);
  if (!ifindex || !forwarding || readU32(forwarding, 0) === 0) return null;
  // NETCONFA_IFINDEX_ALL and _DEFAULT are negative.
  const index = readU32(ifindex, 0);
  return index < 0x80000000 ? index : null;
}
