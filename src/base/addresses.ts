// SPDX-License-Identifier: Apache-2.0
/**
 * Addresses and prefixes of both families as integers, so that all arithmetic
 * is written once. Parsers answer null for what is not in the usual notation
 * (no octal, no short forms, no zone): the caller knows which field was wrong.
 */
import ipaddr from 'ipaddr.js';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  /** Most significant octet first. */
  readonly value: bigint;
}

export interface Prefix {
  readonly family: Family;
  /** Network address: the bits behind `length` are 0. */
  readonly network: bigint;
  readonly length: number;
}

export function bits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Of text that is known to be an address, a prefix or an address with its prefix length. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

const IPV4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

export function parseAddress(text: string): Address | null {
  const match = IPV4.exec(text);
  if (match) {
    // without the library, and in plain numbers: a start reads tens of thousands
    const octets = match.slice(1).map(Number);
    if (octets.some((octet) => octet > 255)) return null;
    return { family: 4, value: BigInt(octets.reduce((value, octet) => value * 256 + octet, 0)) };
  }
  if (text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text)) {
    return { family: 6, value: fromBytes(ipaddr.IPv6.parse(text).toByteArray()) };
  }
  return null;
}

/** IPv6 in the spelling of RFC 5952. */
export function formatAddress(address: Address): string {
  if (address.family === 6) return (ipaddr.fromByteArray(toBytes(address)) as ipaddr.IPv6).toRFC5952String();
  const value = Number(address.value);
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** `10.64.0.5/24` as an address and the prefix that it lies in. */
export function parseCidr(text: string): { address: Address; prefix: Prefix } | null {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  if (!match) return null;
  const address = parseAddress(match[1] as string);
  const length = Number(match[2]);
  if (!address || length > bits(address.family)) return null;
  return { address, prefix: prefixOf(address, length) };
}

/** As parseCidr, for what must be a network address: host bits set is null. */
export function parsePrefix(text: string): Prefix | null {
  const parsed = parseCidr(text);
  return parsed && parsed.address.value === parsed.prefix.network ? parsed.prefix : null;
}

export function prefixOf(address: Address, length: number): Prefix {
  const host = BigInt(bits(address.family) - length);
  return { family: address.family, network: (address.value >> host) << host, length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress({ family: prefix.family, value: prefix.network })}/${prefix.length}`;
}

/** Number of addresses, network and broadcast address included. */
export function prefixSize(prefix: Prefix): bigint {
  return 1n << BigInt(bits(prefix.family) - prefix.length);
}

export function lastAddress(prefix: Prefix): bigint {
  return prefix.network + prefixSize(prefix) - 1n;
}

export function contains(prefix: Prefix, what: Address | Prefix): boolean {
  if (prefix.family !== what.family) return false;
  if ('length' in what && what.length < prefix.length) return false;
  const host = BigInt(bits(prefix.family) - prefix.length);
  return ('network' in what ? what.network : what.value) >> host === prefix.network >> host;
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}

/**
 * First and last address of `part` that a host of `prefix` may bear: IPv4 leaves out the network and
 * the broadcast address (but not in a /31, RFC 3021, or a /32), IPv6 the
 * subnet-router anycast address (but not in a /127, RFC 6164, or a /128).
 */
export function usableRange(prefix: Prefix, part: Prefix = prefix): { first: bigint; last: bigint } {
  const ends = bits(prefix.family) - prefix.length > 1 ? 1n : 0n;
  return {
    first: larger(prefix.network + ends, part.network),
    last: smaller(lastAddress(prefix) - (prefix.family === 4 ? ends : 0n), lastAddress(part)),
  };
}

/** Lower-case colon text of a MAC given with colons or hyphens. */
export function parseMac(text: string): string | null {
  const mac = text.toLowerCase();
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) && !/^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/.test(mac)) return null;
  return mac.replaceAll('-', ':');
}

/** An interface may bear it: neither multicast nor all zeros. */
export function isUnicastMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

/** `02:` (locally administered) and the first five octets of a hex id. */
export function macFromId(id: string): string {
  return ['02', ...(id.slice(0, 10).match(/../g) as string[])].join(':');
}

/** Docker's rule: `02:42:` and the four octets of the address. */
export function macFromIpv4(address: Address): string {
  return ['02', '42', ...toBytes(address).map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

function fromBytes(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toBytes(address: Address): number[] {
  const count = bits(address.family) / 8;
  return Array.from({ length: count }, (_, i) =>
    Number((address.value >> BigInt(8 * (count - 1 - i))) & 0xffn),
  );
}

// Math.min and Math.max take no bigint.
function smaller(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

function larger(a: bigint, b: bigint): bigint {
  return -smaller(-a, -b);
}

/** Of either family in the space of IPv6: IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2). */
export function mappedPrefix(prefix: Prefix): { network: string; length: number } {
  const mapped = prefix.family === 4;
  return {
    network: formatAddress({ family: 6, value: mapped ? (0xffffn << 32n) | prefix.network : prefix.network }),
    length: (mapped ? 96 : 0) + prefix.length,
  };
}
