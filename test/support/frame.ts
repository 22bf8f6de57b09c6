// SPDX-License-Identifier: Apache-2.0
/** Packets of both families as bytes, with right checksums, and back; independent of the code under test. */
import ipaddr from 'ipaddr.js';

export interface Frame {
  ethDst?: string;
  ethSrc?: string;
  etherType?: number;
  src: string;
  dst: string;
  protocol: 'tcp' | 'udp' | 'icmp' | 'sctp' | number;
  sport?: number;
  dport?: number;
  /** TCP: bits; ICMP: type. Of ICMP, sport and dport are the two words behind the checksum. */
  flags?: number;
  /** ICMP. */
  code?: number;
  ttl?: number;
  /** Flags and offset as in IPv4's header; IPv6: as in the fragment header. */
  fragment?: number;
  /** UDP without checksum. */
  noSum?: boolean;
  /** IPv4's options; IPv6: what follows the two bytes of a hop-by-hop header. */
  options?: Buffer;
  payload?: Buffer;
}

const NUMBERS = { tcp: 6, udp: 17, icmp: 1, sctp: 132 } as const;
const ICMPV6 = 58;
const ECHO = { 4: 8, 6: 128 } as const;
const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
const ip = (text: string): Buffer => Buffer.from(ipaddr.parse(text).toByteArray());
const isV6 = (f: { src: string }): boolean => f.src.includes(':');

/** RFC 1071. */
export function checksum(...parts: Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] as number) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudo(src: Buffer, dst: Buffer, protocol: number, length: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt16BE(protocol, 0);
  b.writeUInt16BE(length, 2);
  return Buffer.concat([src, dst, b]);
}

function layer4(f: Frame, number: number): Buffer {
  const payload = f.payload ?? Buffer.alloc(0);
  const [src, dst] = [ip(f.src), ip(f.dst)];
  if (number === 1 || number === ICMPV6) {
    const type = f.flags ?? ECHO[isV6(f) ? 6 : 4];
    const b = Buffer.concat([Buffer.from([type, f.code ?? 0, 0, 0, 0, 0, 0, 1]), payload]);
    b.writeUInt16BE(f.sport ?? 0, 4);
    if (f.dport !== undefined) b.writeUInt16BE(f.dport, 6);
    b.writeUInt16BE(isV6(f) ? checksum(pseudo(src, dst, number, b.length), b) : checksum(b), 2);
    return b;
  }
  if (number === NUMBERS.sctp) {
    const b = Buffer.concat([Buffer.alloc(12), payload]);
    b.writeUInt16BE(f.sport ?? 0, 0);
    b.writeUInt16BE(f.dport ?? 0, 2);
    return b;
  }
  const length = number === 6 ? 20 : 8;
  const b = Buffer.concat([Buffer.alloc(number === 6 || number === 17 ? length : 0), payload]);
  if (number !== 6 && number !== 17) return b;
  b.writeUInt16BE(f.sport ?? 0, 0);
  b.writeUInt16BE(f.dport ?? 0, 2);
  if (number === 6) {
    b[12] = 5 << 4;
    b[13] = f.flags ?? 0x10;
    b.writeUInt16BE(checksum(pseudo(src, dst, number, b.length), b), 16);
  } else {
    b.writeUInt16BE(b.length, 4);
    if (f.noSum !== true) b.writeUInt16BE(checksum(pseudo(src, dst, number, b.length), b) || 0xffff, 6);
  }
  return b;
}

function header4(f: Frame, number: number, body: Buffer): Buffer {
  const header = Buffer.concat([Buffer.alloc(20), f.options ?? Buffer.alloc(0)]);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(0x1234, 4);
  header.writeUInt16BE(f.fragment ?? 0x4000, 6);
  header[8] = f.ttl ?? 64;
  header[9] = number;
  ip(f.src).copy(header, 12);
  ip(f.dst).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function header6(f: Frame, number: number, body: Buffer): Buffer {
  let next = number;
  const extensions: Buffer[] = [];
  if (f.fragment !== undefined) {
    extensions.unshift(Buffer.from([next, 0, f.fragment >> 8, f.fragment & 255, 0, 0, 0x12, 0x34]));
    next = 44;
  }
  if (f.options !== undefined) {
    const hop = Buffer.concat([Buffer.from([next, 0]), f.options, Buffer.alloc(6)]).subarray(0, 8);
    extensions.unshift(hop);
    next = 0;
  }
  const header = Buffer.alloc(40);
  const behind = Buffer.concat(extensions);
  header[0] = 0x60;
  header.writeUInt16BE(behind.length + body.length, 4);
  header[6] = next;
  header[7] = f.ttl ?? 64;
  ip(f.src).copy(header, 8);
  ip(f.dst).copy(header, 24);
  return Buffer.concat([header, behind]);
}

/** A packet without its Ethernet header, as errors quote it. */
export function packet(f: Frame): Buffer {
  const icmp = isV6(f) ? ICMPV6 : NUMBERS.icmp;
  const number =
    typeof f.protocol === 'number' ? f.protocol : f.protocol === 'icmp' ? icmp : NUMBERS[f.protocol];
  const body = layer4(f, number);
  return Buffer.concat([(isV6(f) ? header6 : header4)(f, number, body), body]);
}

export function build(f: Frame): Buffer {
  const eth = Buffer.concat([
    mac(f.ethDst ?? '00:00:00:00:00:00'),
    mac(f.ethSrc ?? '02:00:00:00:00:99'),
    Buffer.alloc(2),
  ]);
  eth.writeUInt16BE(f.etherType ?? (isV6(f) ? 0x86dd : 0x0800), 12);
  return Buffer.concat([eth, packet(f)]);
}

export interface Parsed {
  ethDst: string;
  ethSrc: string;
  src: string;
  dst: string;
  ttl: number;
  sport: number;
  dport: number;
  /** ICMP. */
  type: number | null;
  code: number | null;
  sum: number;
  headerOk: boolean;
  sumsOk: boolean;
  payload: string;
}

export function parse(frame: Buffer): Parsed {
  const colon = (x: Buffer): string => x.toString('hex').replace(/(..)(?=.)/g, '$1:');
  const b = frame.subarray(14);
  return {
    ethDst: colon(frame.subarray(0, 6)),
    ethSrc: colon(frame.subarray(6, 12)),
    ...parsePacket(b),
  };
}

/** From the network header on. */
export function parsePacket(b: Buffer): Omit<Parsed, 'ethDst' | 'ethSrc'> {
  const v6 = (b[0] as number) >> 4 === 6;
  let length = v6 ? 40 : ((b[0] as number) & 15) * 4;
  let protocol = b[v6 ? 6 : 9] as number;
  if (v6 && protocol === 0) {
    protocol = b[length] as number;
    length += 8 + 8 * (b[length + 1] as number);
  }
  const header = b.subarray(0, length);
  const total = v6 ? 40 + header.readUInt16BE(4) : header.readUInt16BE(2);
  const body = b.subarray(length, total);
  const icmp = protocol === 1 || protocol === ICMPV6;
  const at = { 6: 16, 17: 6, 1: 2, [ICMPV6]: 2, [NUMBERS.sctp]: 8 }[protocol] as number;
  const sum = body.length >= at + 2 ? body.readUInt16BE(at) : 0;
  const [src, dst] = v6
    ? [header.subarray(8, 24), header.subarray(24, 40)]
    : [header.subarray(12, 16), header.subarray(16, 20)];
  const whole = protocol === 1 ? checksum(body) : checksum(pseudo(src, dst, protocol, body.length), body);
  return {
    src: ipaddr.fromByteArray([...src]).toString(),
    dst: ipaddr.fromByteArray([...dst]).toString(),
    ttl: header[v6 ? 7 : 8] as number,
    type: icmp ? (body[0] as number) : null,
    code: icmp ? (body[1] as number) : null,
    sport: icmp ? body.readUInt16BE(4) : body.readUInt16BE(0),
    dport: icmp ? body.readUInt16BE(6) : body.readUInt16BE(2),
    sum,
    headerOk: v6 || checksum(header) === 0,
    sumsOk: (v6 || checksum(header) === 0) && (whole === 0 || (protocol === 17 && sum === 0)),
    payload: body.subarray(protocol === 6 ? 20 : 8).toString('hex'),
  };
}
