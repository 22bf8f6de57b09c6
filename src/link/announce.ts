// SPDX-License-Identifier: Apache-2.0
/**
 * Who has an address, told unasked: gratuitous ARP (RFC 5227) and unsolicited
 * neighbour advertisements (RFC 4861, 7.2.6). Neighbours that have an entry take
 * the new MAC at once instead of when the old one has been found dead.
 */
import type { NetNative } from '../native/net.js';
import { addressBytes, macBytes, toAddress } from './wire.js';

export interface Announcement {
  readonly mac: string;
  readonly addresses: readonly string[];
  /** It forwards IPv6: hosts drop a router that says it is none. */
  readonly router: boolean;
}

/** Interfaces of the namespace at `netns`, null: of our own. */
export interface Audience {
  readonly netns: string | null;
  readonly ifindexes: readonly number[];
}

const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const ALL_NODES = 'ff02::1';
const ALL_NODES_MAC = '33:33:00:00:00:01';
const ICMPV6 = 58;
/** icmpv6.h, RFC 4861 */
const NEIGHBOUR_ADVERTISEMENT = 136;
const TARGET_LINK_LAYER_ADDRESS = 2;
const ROUTER = 0x80;
const OVERRIDE = 0x20;
const HOP_LIMIT = 255;

export class Announcer {
  readonly #native: NetNative;

  constructor(native: NetNative) {
    this.#native = native;
  }

  async announce({ netns, ifindexes }: Audience, who: Announcement): Promise<void> {
    if (ifindexes.length === 0) return;
    for (const frame of announcementFrames(who)) await this.#native.netSend(netns, [...ifindexes], frame);
  }
}

export function announcementFrames({ mac, addresses, router }: Announcement): Buffer[] {
  return addresses.map((text) => {
    const address = toAddress(text);
    const bytes = addressBytes(address);
    return address.family === 4 ? arp(macBytes(mac), bytes) : advertisement(macBytes(mac), bytes, router);
  });
}

/** A request for one's own address: to those who know it an answer, to others nothing. */
function arp(mac: Buffer, address: Buffer): Buffer {
  // Ethernet, IPv4, lengths of their addresses, request
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, 1]);
  const target = Buffer.alloc(6);
  return ethernet(BROADCAST, mac, ETH_P_ARP, Buffer.concat([head, mac, address, target, address]));
}

function advertisement(mac: Buffer, address: Buffer, router: boolean): Buffer {
  const destination = addressBytes(toAddress(ALL_NODES));
  const head = Buffer.alloc(8);
  head[0] = NEIGHBOUR_ADVERTISEMENT;
  head[4] = OVERRIDE | (router ? ROUTER : 0);
  const message = Buffer.concat([head, address, Buffer.from([TARGET_LINK_LAYER_ADDRESS, 1]), mac]);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(message.length, 0);
  pseudo[7] = ICMPV6;
  message.writeUInt16BE(checksum(Buffer.concat([address, destination, pseudo, message])), 2);
  const ip = Buffer.alloc(8);
  ip[0] = 0x60;
  ip.writeUInt16BE(message.length, 4);
  ip[6] = ICMPV6;
  ip[7] = HOP_LIMIT;
  return ethernet(ALL_NODES_MAC, mac, ETH_P_IPV6, Buffer.concat([ip, address, destination, message]));
}

function ethernet(to: string, from: Buffer, type: number, payload: Buffer): Buffer {
  const kind = Buffer.alloc(2);
  kind.writeUInt16BE(type);
  return Buffer.concat([macBytes(to), from, kind, payload]);
}

/** RFC 1071, of an even number of bytes. */
function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += data.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
