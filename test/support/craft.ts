// SPDX-License-Identifier: Apache-2.0
/** Packets of either family as bytes and back, for the fuzzers; independent of the code under test. */
import ipaddr from 'ipaddr.js';
import { checksum } from './frame.js';

export type Family = 4 | 6;
export type Protocol = 'tcp' | 'udp' | 'icmp';

export const ETHERTYPE = { 4: 0x0800, 6: 0x86dd, arp: 0x0806, vlan: 0x8100 } as const;
export const ECHO = { 4: [8, 0], 6: [128, 129] } as const;

/** Of 6, 14, 22… bytes: the header with its type and length is a multiple of 8. */
export type Extension = readonly [type: number, body: Buffer];
export const EXTENSION = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  destination: 60,
} as const;

export interface Craft {
  family: Family;
  src: string;
  dst: string;
  protocol: Protocol | number;
  /** Echo: the identifier. */
  sport?: number;
  dport?: number;
  flags?: number;
  seq?: number;
  ack?: number;
  ttl?: number;
  tos?: number;
  /** IPv4: the identification; IPv6: the flow label. */
  id?: number;
  /** IPv4 only. */
  df?: boolean;
  options?: Buffer;
  /** IPv6 only: headers before the upper layer's, by type, without their first two bytes. */
  extensions?: readonly Extension[];
  /** UDP without a checksum, which only IPv4 allows. */
  noSum?: boolean;
  icmpType?: number;
  icmpCode?: number;
  /** ICMP: the four bytes after the checksum. */
  rest?: Buffer;
  payload?: Buffer;
}

const address = (text: string): Buffer => Buffer.from(ipaddr.parse(text).toByteArray());
export const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');

export function protocolNumber(family: Family, protocol: Protocol | number): number {
  if (typeof protocol === 'number') return protocol;
  return { tcp: 6, udp: 17, icmp: family === 4 ? 1 : 58 }[protocol];
}

function pseudo(src: Buffer, dst: Buffer, protocol: number, length: number): Buffer {
  const b = Buffer.alloc(8);
  b.writeUInt32BE(length, 0);
  b.writeUInt32BE(protocol, 4);
  return Buffer.concat([src, dst, b]);
}

/** What a layer-4 checksum covers besides the segment. */
function covered(number: number, src: Buffer, dst: Buffer, length: number): Buffer {
  return number === 1 ? Buffer.alloc(0) : pseudo(src, dst, number, length);
}

const SUM_AT: Record<number, number> = { 6: 16, 17: 6, 1: 2, 58: 2 };
const HEADER: Record<number, number> = { 6: 20, 17: 8, 1: 8, 58: 8 };

function segment(c: Craft, number: number): Buffer {
  const b = Buffer.concat([Buffer.alloc(HEADER[number] ?? 0), c.payload ?? Buffer.alloc(0)]);
  const at = SUM_AT[number];
  if (at === undefined) return b;
  if (number === 1 || number === 58) {
    b[0] = c.icmpType ?? ECHO[c.family][0];
    b[1] = c.icmpCode ?? 0;
    if (c.rest) c.rest.copy(b, 4);
    else b.writeUInt16BE(c.sport ?? 0, 4);
  } else {
    b.writeUInt16BE(c.sport ?? 0, 0);
    b.writeUInt16BE(c.dport ?? 0, 2);
  }
  if (number === 6) {
    b.writeUInt32BE(c.seq ?? 0, 4);
    b.writeUInt32BE(c.ack ?? 0, 8);
    b[12] = 5 << 4;
    b[13] = c.flags ?? 0x10;
    b.writeUInt16BE(0xffff, 14);
  }
  if (number === 17) b.writeUInt16BE(b.length, 4);
  if (number === 17 && c.noSum === true && c.family === 4) return b;
  const sum = checksum(covered(number, address(c.src), address(c.dst), b.length), b);
  b.writeUInt16BE(number === 17 ? sum || 0xffff : sum, at);
  return b;
}

/** The extension headers, the last of which names `upper`. */
function extensionHeaders(extensions: readonly Extension[], upper: number): Buffer {
  const headers = extensions.map(([type, body], i) => {
    const next = extensions[i + 1]?.[0] ?? upper;
    // a fragment header's second byte is reserved
    return Buffer.concat([Buffer.from([next, type === EXTENSION.fragment ? 0 : body.length >> 3]), body]);
  });
  return Buffer.concat(headers);
}

/** From the network header on. */
export function packet(c: Craft): Buffer {
  const number = protocolNumber(c.family, c.protocol);
  const body = segment(c, number);
  if (c.family === 6) {
    const header = Buffer.alloc(40);
    const extensions = extensionHeaders(c.extensions ?? [], number);
    header.writeUInt32BE(0x60000000 | ((c.tos ?? 0) << 20) | (c.id ?? 0), 0);
    header.writeUInt16BE(extensions.length + body.length, 4);
    header[6] = c.extensions?.[0]?.[0] ?? number;
    header[7] = c.ttl ?? 64;
    address(c.src).copy(header, 8);
    address(c.dst).copy(header, 24);
    return Buffer.concat([header, extensions, body]);
  }
  const header = Buffer.concat([Buffer.alloc(20), c.options ?? Buffer.alloc(0)]);
  header[0] = 0x40 | (header.length / 4);
  header[1] = c.tos ?? 0;
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(c.id ?? 0x1234, 4);
  header.writeUInt16BE((c.df ?? true) ? 0x4000 : 0, 6);
  header[8] = c.ttl ?? 64;
  header[9] = number;
  address(c.src).copy(header, 12);
  address(c.dst).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, body]);
}

export function frame(ethDst: string, ethSrc: string, etherType: number, body: Buffer): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(etherType);
  return Buffer.concat([mac(ethDst), mac(ethSrc), type, body]);
}

export interface Chain {
  /** Where the upper layer's header is, or what a later fragment has in its place. */
  upper: number;
  protocol: number;
  /** Of the first fragment header: itself, and the byte that names it. */
  fragment: { at: number; namedAt: number } | null;
}

/** Follows the extension headers of an IPv6 packet; null where they do not end. */
export function chain6(b: Buffer): Chain | null {
  let fragment: Chain['fragment'] = null;
  let namedAt = 6;
  let at = 40;
  while (at <= b.length) {
    const type = b[namedAt] as number;
    if (!(Object.values(EXTENSION) as number[]).includes(type))
      return { upper: at, protocol: type, fragment };
    if (at + 8 > b.length) return null;
    const length = b[at + 1] as number;
    if (type === EXTENSION.fragment) {
      fragment ??= { at, namedAt };
      if ((b.readUInt16BE(at + 2) & 0xfff8) !== 0)
        return { upper: at + 8, protocol: b[at] as number, fragment };
    }
    namedAt = at;
    if (type === EXTENSION.fragment) at += 8;
    else if (type === EXTENSION.authentication) at += (length + 2) * 4;
    else at += (length + 1) * 8;
  }
  return null;
}

/** Cuts a packet (of IPv4, one without DF) into fragments of `size` bytes of payload, a multiple of 8. */
export function fragments(whole: Buffer, size: number, family: Family, id = 0): Buffer[] {
  return family === 4 ? fragments4(whole, size) : fragments6(whole, size, id);
}

function fragments4(whole: Buffer, size: number): Buffer[] {
  const length = ((whole[0] as number) & 15) * 4;
  const out: Buffer[] = [];
  for (let at = length; at < whole.length; at += size) {
    const part = Buffer.concat([whole.subarray(0, length), whole.subarray(at, at + size)]);
    const more = at + size < whole.length ? 0x2000 : 0;
    part.writeUInt16BE(part.length, 2);
    part.writeUInt16BE(more | ((at - length) / 8), 6);
    part.writeUInt16BE(0, 10);
    part.writeUInt16BE(checksum(part.subarray(0, length)), 10);
    out.push(part);
  }
  return out;
}

/** Hop-by-hop options stay before each fragment's header; what follows them is cut. */
function fragments6(whole: Buffer, size: number, id: number): Buffer[] {
  const hopByHop = whole[6] === EXTENSION.hopByHop;
  const length = hopByHop ? 48 + 8 * (whole[41] as number) : 40;
  const namedAt = hopByHop ? 40 : 6;
  const out: Buffer[] = [];
  for (let at = length; at < whole.length; at += size) {
    const header = Buffer.alloc(8);
    header[0] = whole[namedAt] as number;
    header.writeUInt16BE((at - length) | (at + size < whole.length ? 1 : 0), 2);
    header.writeUInt32BE(id, 4);
    const part = Buffer.concat([whole.subarray(0, length), header, whole.subarray(at, at + size)]);
    part[namedAt] = EXTENSION.fragment;
    part.writeUInt16BE(part.length - 40, 4);
    out.push(part);
  }
  return out;
}

/** The whole again, once every fragment is there; null otherwise. */
export function reassemble(parts: readonly Buffer[], family: Family): Buffer | null {
  const of = (b: Buffer) => {
    const chain = family === 6 ? chain6(b)?.fragment : null;
    const header = chain ? chain.at + 8 : ((b[0] as number) & 15) * 4;
    const word = chain ? b.readUInt16BE(chain.at + 2) : b.readUInt16BE(6);
    return chain
      ? { header, at: word & 0xfff8, more: (word & 1) !== 0, b }
      : { header, at: (word & 0x1fff) * 8, more: (word & 0x2000) !== 0, b };
  };
  const sorted = parts.map(of).sort((a, b) => a.at - b.at);
  let end = 0;
  for (const { header, at, b } of sorted) {
    if (at !== end) return null;
    end = at + b.length - header;
  }
  const [first] = sorted;
  if (!first || sorted.at(-1)?.more !== false) return null;
  const body = sorted.map(({ header, b }) => b.subarray(header));
  return family === 4 ? whole4(first.b, first.header, body) : whole6(first.b, body);
}

function whole4(first: Buffer, header: number, body: Buffer[]): Buffer {
  const whole = Buffer.concat([first.subarray(0, header), ...body]);
  whole.writeUInt16BE(whole.length, 2);
  whole.writeUInt16BE(0, 6);
  whole.writeUInt16BE(0, 10);
  whole.writeUInt16BE(checksum(whole.subarray(0, header)), 10);
  return whole;
}

function whole6(first: Buffer, body: Buffer[]): Buffer {
  const { at, namedAt } = (chain6(first) as Chain).fragment as NonNullable<Chain['fragment']>;
  const whole = Buffer.concat([first.subarray(0, at), ...body]);
  whole[namedAt] = first[at] as number;
  whole.writeUInt16BE(whole.length - 40, 4);
  return whole;
}

export interface Dissected {
  family: Family;
  /** Up to the upper layer's header. */
  headerLength: number;
  /** As the header says; what follows is padding. */
  totalLength: number;
  src: string;
  dst: string;
  protocol: number;
  ttl: number;
  tos: number;
  /** IPv4; of IPv6 that of the fragment header. */
  id: number;
  /** IPv6. */
  label: number;
  /** IPv4 flags and offset; those of IPv6 in the same places. */
  fragment: number;
  /** IPv4: the sum over the header, 0 if its checksum is right. */
  headerResidue: number;
  /** The sum over the segment (or a first fragment's part), 0 if its checksum is right; null where there is none. */
  residue: number | null;
  /** UDP says that it has no checksum. */
  noSum: boolean;
  sport: number;
  dport: number;
  segment: Buffer;
}

/**
 * What a packet says from its network header on; null where it contradicts
 * itself or its layer-4 header is not whole.
 */
export function dissect(b: Buffer, family: Family): Dissected | null {
  if (b.length < (family === 4 ? 20 : 40) || (b[0] as number) >> 4 !== family) return null;
  const v4 = family === 4;
  const chain = v4 ? null : chain6(b);
  if (!v4 && !chain) return null;
  const headerLength = chain ? chain.upper : ((b[0] as number) & 15) * 4;
  const totalLength = v4 ? b.readUInt16BE(2) : 40 + b.readUInt16BE(4);
  if (headerLength < 20 || totalLength < headerLength || totalLength > b.length) return null;
  const segment = b.subarray(headerLength, totalLength);
  const protocol = chain ? chain.protocol : (b[9] as number);
  const at6 = chain?.fragment?.at;
  const word6 = at6 === undefined ? 0 : b.readUInt16BE(at6 + 2);
  const fragment = v4 ? b.readUInt16BE(6) : (word6 >> 3) | ((word6 & 1) << 13);
  const later = (fragment & 0x1fff) !== 0;
  if (!later && segment.length < (HEADER[protocol] ?? 0)) return null;
  const [src, dst] = v4 ? [b.subarray(12, 16), b.subarray(16, 20)] : [b.subarray(8, 24), b.subarray(24, 40)];
  const text = (x: Buffer): string => ipaddr.fromByteArray([...x]).toString();
  const at = SUM_AT[protocol];
  const summed = at !== undefined && !later;
  const echo = protocol === 1 || protocol === 58;
  const ports = HEADER[protocol] !== undefined && !later;
  return {
    family,
    headerLength,
    totalLength,
    src: text(src),
    dst: text(dst),
    protocol,
    ttl: b[v4 ? 8 : 7] as number,
    tos: v4 ? (b[1] as number) : (b.readUInt16BE(0) >> 4) & 255,
    id: v4 ? b.readUInt16BE(4) : at6 === undefined ? 0 : b.readUInt32BE(at6 + 4),
    label: v4 ? 0 : b.readUInt32BE(0) & 0xfffff,
    fragment,
    headerResidue: v4 ? checksum(b.subarray(0, headerLength)) : 0,
    residue: summed ? checksum(covered(protocol, src, dst, segment.length), segment) : null,
    noSum: summed && protocol === 17 && segment.readUInt16BE(6) === 0,
    sport: ports ? segment.readUInt16BE(echo ? 4 : 0) : 0,
    dport: ports && !echo ? segment.readUInt16BE(2) : 0,
    segment,
  };
}
