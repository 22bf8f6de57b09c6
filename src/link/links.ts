// SPDX-License-Identifier: Apache-2.0
/** RTM_NEWLINK and its kin as messages. */
import {
  type Attribute,
  decodeAttributes,
  decodeMessage,
  encodeMessage,
  readU16,
  readU32,
  text,
  textOf,
  u8,
  u32,
  writeU32,
} from './message.js';
import * as k from './uapi.js';
import { macBytes, macText } from './wire.js';

export interface LinkInfo {
  readonly ifindex: number;
  readonly name: string;
  /** `veth`, `bridge`, `tun`…; null for a device without link operations. */
  readonly kind: string | null;
  /** null where the device has no Ethernet address. */
  readonly mac: string | null;
  /** Bytes. */
  readonly mtu: number;
  readonly up: boolean;
  readonly running: boolean;
  readonly loopback: boolean;
  /** ARPHRD_*, include/uapi/linux/if_arp.h. */
  readonly arphrd: number;
  /** ifindex of the bridge or bond that it is a port of; 0: none. */
  readonly master: number;
  /** ifindex of the device below or of the veth peer, perhaps in another namespace; 0: none. */
  readonly linkIndex: number;
  readonly alias: string;
  /** Of a macvlan link. */
  readonly macvlanMode?: MacvlanMode;
}

export type MacvlanMode = keyof typeof k.MACVLAN_MODE;

export interface BridgePortFlags {
  learning: boolean;
  flood: boolean;
  mcastFlood: boolean;
  bcastFlood: boolean;
  /** Nothing goes from one such port to another. */
  isolated?: boolean;
}

export interface LinkSettings {
  /** Only while it is down. */
  name?: string;
  up?: boolean;
  mtu?: number;
  /** ifindex of the master; 0 releases. */
  master?: number;
  mac?: string;
  alias?: string;
  /** net.ipv4.conf.LINK.forwarding */
  forwarding4?: boolean;
  addrGenMode?: 'none' | 'eui64';
  /** Only for a bridge port. */
  bridgePort?: BridgePortFlags;
}

export interface VethCreate {
  name: string;
  mtu: number;
  peer: { name: string; mac: string; mtu: number };
}

export interface MacvlanCreate {
  name: string;
  /** ifindex of the link below it. */
  parent: number;
  mode: MacvlanMode;
  /** In mode passthru the kernel gives it the parent's instead. */
  mac: string;
  mtu: number;
}

/** struct ifinfomsg, include/uapi/linux/rtnetlink.h */
const IFINFO = 16;

function ifinfo(ifindex: number, flags = 0, change = 0, family = k.AF_UNSPEC): Buffer {
  const b = Buffer.alloc(IFINFO);
  b[0] = family;
  writeU32(b, ifindex, 4);
  writeU32(b, flags, 8);
  writeU32(b, change, 12);
  return b;
}

const REQUEST = k.NLM_F_REQUEST | k.NLM_F_ACK;
const CREATE = REQUEST | k.NLM_F_CREATE | k.NLM_F_EXCL;

export function getLinks(): Buffer {
  const attributes: Attribute[] = [[k.IFLA.EXT_MASK, u32(k.RTEXT_FILTER_SKIP_STATS)]];
  return encodeMessage(k.RTM.GETLINK, k.NLM_F_REQUEST | k.NLM_F_DUMP, ifinfo(0), attributes);
}

export function getLink(name: string): Buffer {
  const attributes: Attribute[] = [
    [k.IFLA.IFNAME, text(name)],
    [k.IFLA.EXT_MASK, u32(k.RTEXT_FILTER_SKIP_STATS)],
  ];
  return encodeMessage(k.RTM.GETLINK, REQUEST, ifinfo(0), attributes);
}

/** AF_UNSPEC: the link itself; AF_BRIDGE, AF_INET6: what one subsystem says of it. */
export function linkFamily(message: Buffer): number {
  return decodeMessage(message, IFINFO).fixed[0] as number;
}

export function decodeLink(message: Buffer): LinkInfo {
  const { fixed, attributes } = decodeMessage(message, IFINFO);
  const flags = readU32(fixed, 8);
  const address = attributes.get(k.IFLA.ADDRESS);
  const linkInfo = attributes.get(k.IFLA.LINKINFO);
  const info = linkInfo && decodeAttributes(linkInfo);
  const kind = textOf(info?.get(k.IFLA_INFO.KIND)) || null;
  const number = (type: number): number => {
    const value = attributes.get(type);
    return value === undefined ? 0 : readU32(value, 0);
  };
  return {
    ifindex: readU32(fixed, 4),
    name: textOf(attributes.get(k.IFLA.IFNAME)),
    kind,
    mac: address?.length === 6 ? macText(address) : null,
    mtu: number(k.IFLA.MTU),
    up: (flags & k.IFF_UP) !== 0,
    running: (flags & k.IFF_RUNNING) !== 0,
    loopback: (flags & k.IFF_LOOPBACK) !== 0,
    arphrd: readU16(fixed, 2),
    master: number(k.IFLA.MASTER),
    linkIndex: number(k.IFLA.LINK),
    alias: textOf(attributes.get(k.IFLA.IFALIAS)),
    ...(kind === 'macvlan' ? macvlanMode(info?.get(k.IFLA_INFO.DATA)) : {}),
  };
}

function macvlanMode(data: Buffer | undefined): { macvlanMode?: MacvlanMode } {
  const value = data && decodeAttributes(data).get(k.IFLA_MACVLAN_MODE);
  const number = value && readU32(value, 0);
  const names = Object.keys(k.MACVLAN_MODE) as MacvlanMode[];
  const mode = names.find((name) => k.MACVLAN_MODE[name] === number);
  return mode === undefined ? {} : { macvlanMode: mode };
}

/** STP and multicast snooping are off: they delay or hide traffic and nothing here loops. */
export function createBridge(name: string, mac: string, mtu?: number): Buffer {
  const data: Attribute[] = [
    [k.IFLA_BR.FORWARD_DELAY, u32(0)],
    [k.IFLA_BR.STP_STATE, u32(0)],
    [k.IFLA_BR.MCAST_SNOOPING, u8(0)],
  ];
  const attributes: Attribute[] = [
    [k.IFLA.IFNAME, text(name)],
    [k.IFLA.ADDRESS, macBytes(mac)],
    [
      k.IFLA.LINKINFO,
      [
        [k.IFLA_INFO.KIND, text('bridge')],
        [k.IFLA_INFO.DATA, data],
      ],
    ],
  ];
  if (mtu !== undefined) attributes.push([k.IFLA.MTU, u32(mtu)]);
  return encodeMessage(k.RTM.NEWLINK, CREATE, ifinfo(0), attributes);
}

/** The peer is born in the namespace of `netnsFd`, an open file of this process. */
export function createVeth(veth: VethCreate, netnsFd: number | null): Buffer {
  const peer: Attribute[] = [
    [k.IFLA.IFNAME, text(veth.peer.name)],
    [k.IFLA.ADDRESS, macBytes(veth.peer.mac)],
    [k.IFLA.MTU, u32(veth.peer.mtu)],
    ...inNetns(netnsFd),
  ];
  // VETH_INFO_PEER holds a struct ifinfomsg before its attributes
  const peerMessage = encodeMessage(0, 0, ifinfo(0), peer).subarray(16);
  const attributes: Attribute[] = [
    [k.IFLA.IFNAME, text(veth.name)],
    [k.IFLA.MTU, u32(veth.mtu)],
    [
      k.IFLA.LINKINFO,
      [
        [k.IFLA_INFO.KIND, text('veth')],
        [k.IFLA_INFO.DATA, [[k.VETH_INFO_PEER, peerMessage]]],
      ],
    ],
  ];
  return encodeMessage(k.RTM.NEWLINK, CREATE, ifinfo(0), attributes);
}

/** Born in the namespace of `netnsFd`, an open file of this process; its parent is in the socket's. */
export function createMacvlan(link: MacvlanCreate, netnsFd: number | null): Buffer {
  const attributes: Attribute[] = [
    [k.IFLA.IFNAME, text(link.name)],
    [k.IFLA.ADDRESS, macBytes(link.mac)],
    [k.IFLA.MTU, u32(link.mtu)],
    [k.IFLA.LINK, u32(link.parent)],
    ...inNetns(netnsFd),
    [
      k.IFLA.LINKINFO,
      [
        [k.IFLA_INFO.KIND, text('macvlan')],
        [k.IFLA_INFO.DATA, [[k.IFLA_MACVLAN_MODE, u32(k.MACVLAN_MODE[link.mode])]]],
      ],
    ],
  ];
  return encodeMessage(k.RTM.NEWLINK, CREATE, ifinfo(0), attributes);
}

/** null: the socket's. */
function inNetns(fd: number | null): Attribute[] {
  return fd === null ? [] : [[k.IFLA.NET_NS_FD, u32(fd)]];
}

function familySettings(settings: LinkSettings): Attribute[] {
  const families: Attribute[] = [];
  if (settings.forwarding4 !== undefined) {
    const conf: Attribute[] = [[k.IPV4_DEVCONF_FORWARDING, u32(settings.forwarding4 ? 1 : 0)]];
    families.push([k.AF_INET, [[k.IFLA_INET_CONF, conf]]]);
  }
  if (settings.addrGenMode !== undefined) {
    const mode = settings.addrGenMode === 'none' ? k.IN6_ADDR_GEN_MODE_NONE : k.IN6_ADDR_GEN_MODE_EUI64;
    families.push([k.AF_INET6, [[k.IFLA_INET6_ADDR_GEN_MODE, u8(mode)]]]);
  }
  return families;
}

function portSettings(port: BridgePortFlags): Attribute[] {
  return [
    [k.IFLA_BRPORT.LEARNING, u8(Number(port.learning))],
    [k.IFLA_BRPORT.UNICAST_FLOOD, u8(Number(port.flood))],
    [k.IFLA_BRPORT.MCAST_FLOOD, u8(Number(port.mcastFlood))],
    [k.IFLA_BRPORT.BCAST_FLOOD, u8(Number(port.bcastFlood))],
    ...(port.isolated === undefined
      ? []
      : [[k.IFLA_BRPORT.ISOLATED, u8(Number(port.isolated))] satisfies Attribute]),
  ];
}

/**
 * Up to three messages, each sent once the one before is done: a port's flags
 * can only be set when it has its master, and a link that comes up, which
 * do_setlink() does before IFLA_AF_SPEC, is to have all its settings.
 */
export function setLink(ifindex: number, settings: LinkSettings): Buffer {
  const attributes: Attribute[] = [];
  const families = familySettings(settings);
  if (settings.name !== undefined) attributes.push([k.IFLA.IFNAME, text(settings.name)]);
  if (settings.mtu !== undefined) attributes.push([k.IFLA.MTU, u32(settings.mtu)]);
  if (settings.master !== undefined) attributes.push([k.IFLA.MASTER, u32(settings.master)]);
  if (settings.mac !== undefined) attributes.push([k.IFLA.ADDRESS, macBytes(settings.mac)]);
  if (settings.alias !== undefined) attributes.push([k.IFLA.IFALIAS, text(settings.alias)]);
  if (families.length > 0) attributes.push([k.IFLA.AF_SPEC, families]);
  const messages: Buffer[] = [];
  if (settings.up === false)
    messages.push(encodeMessage(k.RTM.NEWLINK, REQUEST, ifinfo(ifindex, 0, k.IFF_UP)));
  if (attributes.length > 0)
    messages.push(encodeMessage(k.RTM.NEWLINK, REQUEST, ifinfo(ifindex), attributes));
  if (settings.bridgePort !== undefined) {
    // br_setlink(): family AF_BRIDGE, nested IFLA_PROTINFO
    const flags: Attribute[] = [[k.IFLA.PROTINFO, portSettings(settings.bridgePort)]];
    messages.push(encodeMessage(k.RTM.SETLINK, REQUEST, ifinfo(ifindex, 0, 0, k.AF_BRIDGE), flags));
  }
  if (settings.up === true)
    messages.push(encodeMessage(k.RTM.NEWLINK, REQUEST, ifinfo(ifindex, k.IFF_UP, k.IFF_UP)));
  // Nothing asked for: at least ENODEV where there is no such link.
  return messages.length > 0
    ? Buffer.concat(messages)
    : encodeMessage(k.RTM.NEWLINK, REQUEST, ifinfo(ifindex));
}

export function deleteLink(link: number | string): Buffer {
  const byName: Attribute[] = typeof link === 'string' ? [[k.IFLA.IFNAME, text(link)]] : [];
  return encodeMessage(k.RTM.DELLINK, REQUEST, ifinfo(typeof link === 'number' ? link : 0), byName);
}
