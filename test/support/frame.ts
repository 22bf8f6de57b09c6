// SPDX-License-Identifier: Apache-2.0
/** IPv4 packets as bytes, with right checksums, and back; independent of the code under test. */

export interface Frame {
  ethDst?: string;
  ethSrc?: string;
  etherType?: number;
  src: string;
  dst: string;
  protocol: 'tcp' | 'udp' | 'icmp' | number;
  sport?: number;
  dport?: number;
  /** TCP: bits; ICMP: type. */
  flags?: number;
  ttl?: number;
  /** Flags and offset as in the header. */
  fragment?: number;
  /** UDP without checksum. */
  noSum?: boolean;
  options?: Buffer;
  payload?: Buffer;
}

const NUMBERS = { tcp: 6, udp: 17, icmp: 1 } as const;
const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex');
const ip = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

/** RFC 1071. */
export function checksum(...parts: Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] as number) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudo(src: Buffer, dst: Buffer, protocol: number, length: number): Buffer {
  const b = Buffer.from([0, protocol, 0, 0]);
  b.writeUInt16BE(length, 2);
  return Buffer.concat([src, dst, b]);
}

function layer4(f: Frame, number: number): Buffer {
  const payload = f.payload ?? Buffer.alloc(0);
  const [src, dst] = [ip(f.src), ip(f.dst)];
  if (number === 1) {
    const b = Buffer.concat([Buffer.from([f.flags ?? 8, 0, 0, 0, 0, 0, 0, 1]), payload]);
    b.writeUInt16BE(f.sport ?? 0, 4);
    b.writeUInt16BE(checksum(b), 2);
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

export function build(f: Frame): Buffer {
  const number = typeof f.protocol === 'number' ? f.protocol : NUMBERS[f.protocol];
  const options = f.options ?? Buffer.alloc(0);
  const body = layer4(f, number);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(0x1234, 4);
  header.writeUInt16BE(f.fragment ?? 0x4000, 6);
  header[8] = f.ttl ?? 64;
  header[9] = number;
  ip(f.src).copy(header, 12);
  ip(f.dst).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  const eth = Buffer.concat([
    mac(f.ethDst ?? '00:00:00:00:00:00'),
    mac(f.ethSrc ?? '02:00:00:00:00:99'),
    Buffer.alloc(2),
  ]);
  eth.writeUInt16BE(f.etherType ?? 0x0800, 12);
  return Buffer.concat([eth, header, body]);
}

export interface Parsed {
  ethDst: string;
  ethSrc: string;
  src: string;
  dst: string;
  ttl: number;
  sport: number;
  dport: number;
  sum: number;
  sumsOk: boolean;
  payload: string;
}

export function parse(b: Buffer): Parsed {
  const colon = (x: Buffer): string => x.toString('hex').replace(/(..)(?=.)/g, '$1:');
  const dotted = (x: Buffer): string => [...x].join('.');
  const length = ((b[14] as number) & 15) * 4;
  const header = b.subarray(14, 14 + length);
  const total = header.readUInt16BE(2);
  const body = b.subarray(14 + length, 14 + total);
  const protocol = header[9] as number;
  const at = { 6: 16, 17: 6, 1: 2 }[protocol] as number;
  const sum = body.readUInt16BE(at);
  const [src, dst] = [header.subarray(12, 16), header.subarray(16, 20)];
  const whole = protocol === 1 ? checksum(body) : checksum(pseudo(src, dst, protocol, body.length), body);
  return {
    ethDst: colon(b.subarray(0, 6)),
    ethSrc: colon(b.subarray(6, 12)),
    src: dotted(src),
    dst: dotted(dst),
    ttl: header[8] as number,
    sport: protocol === 1 ? body.readUInt16BE(4) : body.readUInt16BE(0),
    dport: protocol === 1 ? 0 : body.readUInt16BE(2),
    sum,
    sumsOk: checksum(header) === 0 && (whole === 0 || (protocol === 17 && sum === 0)),
    payload: body.subarray(protocol === 6 ? 20 : 8).toString('hex'),
  };
}
