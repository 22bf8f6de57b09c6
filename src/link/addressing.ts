// SPDX-License-Identifier: Apache-2.0
/** Addresses, routes, neighbours and forwarding entries as messages. */
import type { Family } from '../base/addresses.js';
import {
  type Attribute,
  decodeMessage,
  encodeMessage,
  readU16,
  readU32,
  u32,
  writeU16,
  writeU32,
} from './message.js';
import * as k from './uapi.js';
import { addressBytes, addressText, afOf, familyOf, macBytes, macText, toAddress, toCidr } from './wire.js';

export interface AddressInfo {
  readonly ifindex: number;
  readonly family: Family;
  readonly address: string;
  readonly prefixLength: number;
  readonly scope: 'global' | 'link' | 'host' | 'other';
}

export interface RouteInfo {
  readonly family: Family;
  /** CIDR; null: default. */
  readonly dst: string | null;
  readonly gateway: string | null;
  /** 0: several or none. */
  readonly ifindex: number;
  /** The devices of all its next hops; empty where the kernel names them by the id of an object only. */
  readonly via: readonly number[];
  readonly table: number;
  readonly type: string;
}

export interface RouteSpec {
  /** CIDR; null: default. */
  dst: string | null;
  gateway?: string;
  ifindex?: number;
  /** Absent: the main table. */
  table?: number;
  /** Bytes; packets that are larger are fragmented, or refused. */
  mtu?: number;
  /** The gateway is behind the link whatever addresses that has. */
  onlink?: boolean;
}

export interface NeighbourInfo {
  readonly ifindex: number;
  readonly address: string;
  readonly mac: string | null;
  readonly permanent: boolean;
}

export interface FdbInfo {
  /** The bridge port. */
  readonly ifindex: number;
  readonly mac: string;
  readonly static: boolean;
}

const REQUEST = k.NLM_F_REQUEST | k.NLM_F_ACK;
const DUMP = k.NLM_F_REQUEST | k.NLM_F_DUMP;
/** rtnetlink.h: enum rt_scope_t */
const SCOPES: Record<number, AddressInfo['scope']> = { 0: 'global', 253: 'link', 254: 'host' };

/** struct ifaddrmsg, include/uapi/linux/if_addr.h */
const IFADDR = 8;

export function getAddresses(): Buffer {
  return encodeMessage(k.RTM.GETADDR, DUMP, Buffer.alloc(IFADDR));
}

export function decodeAddress(message: Buffer): AddressInfo {
  const { fixed, attributes } = decodeMessage(message, IFADDR);
  // on a point-to-point link IFA_ADDRESS is the other end
  const bytes = attributes.get(k.IFA.LOCAL) ?? attributes.get(k.IFA.ADDRESS) ?? Buffer.alloc(4);
  return {
    ifindex: readU32(fixed, 4),
    family: familyOf(fixed[0] as number),
    address: addressText(bytes),
    prefixLength: fixed[1] as number,
    scope: SCOPES[fixed[3] as number] ?? 'other',
  };
}

/** IPv6 addresses are ours alone, so duplicate detection only delays them. */
export function changeAddress(add: boolean, ifindex: number, cidr: string): Buffer {
  const { address, length } = toCidr(cidr);
  const fixed = Buffer.alloc(IFADDR);
  fixed[0] = afOf(address.family);
  fixed[1] = length;
  writeU32(fixed, ifindex, 4);
  const bytes = addressBytes(address);
  const attributes: Attribute[] = [
    [k.IFA.LOCAL, bytes],
    [k.IFA.ADDRESS, bytes],
  ];
  if (address.family === 4 && length < 31) {
    const host = (1n << BigInt(32 - length)) - 1n;
    attributes.push([k.IFA.BROADCAST, addressBytes({ family: 4, value: address.value | host })]);
  }
  if (address.family === 6) attributes.push([k.IFA.FLAGS, u32(k.IFA_F_NODAD)]);
  const flags = add ? REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL : REQUEST;
  return encodeMessage(add ? k.RTM.NEWADDR : k.RTM.DELADDR, flags, fixed, attributes);
}

/** struct rtmsg, include/uapi/linux/rtnetlink.h */
const RTMSG = 12;
/** struct rtnexthop */
const RTNEXTHOP = 8;

export function getRoutes(): Buffer {
  return encodeMessage(k.RTM.GETROUTE, DUMP, Buffer.alloc(RTMSG));
}

/** Local routes of the local table alone, from a strict socket. */
export function getLocalRoutes(): Buffer {
  const fixed = Buffer.alloc(RTMSG);
  fixed[4] = k.RT_TABLE_LOCAL;
  fixed[7] = k.RTN.indexOf('local');
  const both = [k.AF_INET, k.AF_INET6].map((family) => {
    const header = Buffer.from(fixed);
    header[0] = family;
    return encodeMessage(k.RTM.GETROUTE, DUMP, header);
  });
  return Buffer.concat(both);
}

/** The route of a packet to `text` that this host sends. */
export function getRoute(text: string): Buffer {
  const address = toAddress(text);
  const fixed = Buffer.alloc(RTMSG);
  fixed[0] = afOf(address.family);
  fixed[1] = address.family === 4 ? 32 : 128;
  return encodeMessage(k.RTM.GETROUTE, REQUEST, fixed, [[k.RTA.DST, addressBytes(address)]]);
}

export function decodeRoute(message: Buffer): RouteInfo {
  const { fixed, attributes } = decodeMessage(message, RTMSG);
  const dst = attributes.get(k.RTA.DST);
  const gateway = attributes.get(k.RTA.GATEWAY);
  const oif = attributes.get(k.RTA.OIF);
  const table = attributes.get(k.RTA.TABLE);
  return {
    family: familyOf(fixed[0] as number),
    dst: dst && (fixed[1] as number) > 0 ? `${addressText(dst)}/${fixed[1]}` : null,
    gateway: gateway ? addressText(gateway) : null,
    ifindex: oif ? readU32(oif, 0) : 0,
    via: oif ? [readU32(oif, 0)] : nextHops(attributes.get(k.RTA.MULTIPATH)),
    table: table ? readU32(table, 0) : (fixed[4] as number),
    type: k.RTN[fixed[7] as number] ?? 'other',
  };
}

/** Devices of struct rtnexthop, include/uapi/linux/rtnetlink.h. */
function nextHops(multipath: Buffer = Buffer.alloc(0)): number[] {
  const found: number[] = [];
  for (let at = 0; at + RTNEXTHOP <= multipath.length; ) {
    const length = readU16(multipath, at);
    if (length < RTNEXTHOP) break;
    found.push(readU32(multipath, at + 4));
    at += (length + 3) & ~3;
  }
  return found;
}

export function changeRoute(add: boolean, route: RouteSpec): Buffer {
  const target = route.dst === null ? null : toCidr(route.dst);
  const gateway = route.gateway === undefined ? null : toAddress(route.gateway);
  const family = target?.address.family ?? gateway?.family ?? 4;
  const fixed = Buffer.alloc(RTMSG);
  fixed[0] = afOf(family);
  fixed[1] = target?.length ?? 0;
  fixed[4] = route.table ?? k.RT_TABLE_MAIN;
  if (route.onlink) writeU32(fixed, k.RTNH_F_ONLINK, 8);
  if (add) {
    fixed[5] = k.RTPROT_STATIC;
    fixed[6] = gateway ? k.RT_SCOPE_UNIVERSE : k.RT_SCOPE_LINK;
    fixed[7] = 1; // RTN_UNICAST
  } else {
    fixed[6] = 255; // RT_SCOPE_NOWHERE: any
  }
  const attributes: Attribute[] = [];
  if (target) attributes.push([k.RTA.DST, addressBytes(target.address)]);
  if (gateway) attributes.push([k.RTA.GATEWAY, addressBytes(gateway)]);
  if (route.ifindex !== undefined) attributes.push([k.RTA.OIF, u32(route.ifindex)]);
  if (route.mtu !== undefined) attributes.push([k.RTA.METRICS, [[k.RTAX_MTU, u32(route.mtu)]]]);
  const flags = add ? REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL : REQUEST;
  return encodeMessage(add ? k.RTM.NEWROUTE : k.RTM.DELROUTE, flags, fixed, attributes);
}

/** Packets with a mark go by a table of their own. */
export interface RuleInfo {
  readonly priority: number;
  readonly mark: number;
  readonly table: number;
}

/** struct fib_rule_hdr, include/uapi/linux/fib_rules.h */
const RULE = 12;

export function getRules(family: Family): Buffer {
  const fixed = Buffer.alloc(RULE);
  fixed[0] = afOf(family);
  return encodeMessage(k.RTM.GETRULE, DUMP, fixed);
}

export function decodeRule(message: Buffer): RuleInfo {
  const { fixed, attributes } = decodeMessage(message, RULE);
  const number = (type: number): number => {
    const value = attributes.get(type);
    return value === undefined ? 0 : readU32(value, 0);
  };
  return {
    priority: number(k.FRA.PRIORITY),
    mark: number(k.FRA.FWMARK),
    table: number(k.FRA.TABLE) || (fixed[4] as number),
  };
}

export function addRule(family: Family, rule: RuleInfo): Buffer {
  const fixed = Buffer.alloc(RULE);
  fixed[0] = afOf(family);
  fixed[4] = rule.table;
  fixed[7] = k.FR_ACT_TO_TBL;
  return encodeMessage(k.RTM.NEWRULE, REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL, fixed, [
    [k.FRA.PRIORITY, u32(rule.priority)],
    [k.FRA.FWMARK, u32(rule.mark)],
  ]);
}

/** struct ndmsg, include/uapi/linux/neighbour.h */
const NDMSG = 12;

function ndmsg(family: number, ifindex: number, state: number, flags: number): Buffer {
  const b = Buffer.alloc(NDMSG);
  b[0] = family;
  writeU32(b, ifindex, 4);
  writeU16(b, state, 8);
  b[10] = flags;
  return b;
}

export function getNeighbours(): Buffer {
  return encodeMessage(k.RTM.GETNEIGH, DUMP, ndmsg(k.AF_UNSPEC, 0, 0, 0));
}

export function decodeNeighbour(message: Buffer): NeighbourInfo {
  const { fixed, attributes } = decodeMessage(message, NDMSG);
  const mac = attributes.get(k.NDA.LLADDR);
  return {
    ifindex: readU32(fixed, 4),
    address: addressText(attributes.get(k.NDA.DST) ?? Buffer.alloc(4)),
    mac: mac?.length === 6 ? macText(mac) : null,
    permanent: (readU16(fixed, 8) & k.NUD_PERMANENT) !== 0,
  };
}

/** `mac` null removes the entry. */
export function changeNeighbour(ifindex: number, text: string, mac: string | null): Buffer {
  const address = toAddress(text);
  const fixed = ndmsg(afOf(address.family), ifindex, k.NUD_PERMANENT, 0);
  const attributes: Attribute[] = [[k.NDA.DST, addressBytes(address)]];
  if (mac === null) return encodeMessage(k.RTM.DELNEIGH, REQUEST, fixed, attributes);
  attributes.push([k.NDA.LLADDR, macBytes(mac)]);
  return encodeMessage(k.RTM.NEWNEIGH, REQUEST | k.NLM_F_CREATE | k.NLM_F_REPLACE, fixed, attributes);
}

export function getFdb(): Buffer {
  // rtnl_fdb_dump() takes a struct ifinfomsg here
  return encodeMessage(k.RTM.GETNEIGH, DUMP, Buffer.from([k.AF_BRIDGE, ...new Array<number>(15).fill(0)]));
}

/** null: an entry that is not a bridge's. */
export function decodeFdb(message: Buffer): FdbInfo | null {
  const { fixed, attributes } = decodeMessage(message, NDMSG);
  const mac = attributes.get(k.NDA.LLADDR);
  if (mac?.length !== 6 || !attributes.has(k.NDA.MASTER)) return null;
  const state = readU16(fixed, 8);
  return { ifindex: readU32(fixed, 4), mac: macText(mac), static: (state & k.NUD_NOARP) !== 0 };
}

/** Static: not aged, and not moved by what others send. */
export function changeFdb(add: boolean, ifindex: number, mac: string): Buffer {
  const fixed = ndmsg(k.AF_BRIDGE, ifindex, k.NUD_NOARP, k.NTF_MASTER);
  const flags = add ? REQUEST | k.NLM_F_CREATE | k.NLM_F_REPLACE : REQUEST;
  return encodeMessage(add ? k.RTM.NEWNEIGH : k.RTM.DELNEIGH, flags, fixed, [[k.NDA.LLADDR, macBytes(mac)]]);
}
