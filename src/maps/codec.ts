// SPDX-License-Identifier: Apache-2.0
/** What generated codecs are made of. */
import { formatAddress, parseAddress } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';

export interface Codec<T> {
  /** Bytes. */
  readonly size: number;
  /** Writes every byte, padding as zero. */
  encode(value: T, to: Buffer, at: number): void;
  decode(from: Buffer, at: number): T;
}

export interface MapDescriptor<K, V> {
  readonly name: string;
  /** enum bpf_map_type */
  readonly type: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly key: Codec<K>;
  readonly value: Codec<V>;
}

export function putIpv4(text: string, to: Buffer, at: number): void {
  const parts = text.split('.');
  if (parts.length !== 4) throw new SluiceError('internal', `${text} is no IPv4 address`);
  for (let i = 0; i < 4; i++) to[at + i] = Number(parts[i]);
}

export function getIpv4(from: Buffer, at: number): string {
  return `${from[at]}.${from[at + 1]}.${from[at + 2]}.${from[at + 3]}`;
}

export function putMac(text: string, to: Buffer, at: number): void {
  if (to.write(text.replaceAll(':', ''), at, 6, 'hex') !== 6)
    throw new SluiceError('internal', `${text} is no MAC address`);
}

export function getMac(from: Buffer, at: number): string {
  return from.toString('hex', at, at + 6).replace(/(..)(?=.)/g, '$1:');
}

/** A codec of one number. */
export const u32Codec: Codec<number> = {
  size: 4,
  encode: (value, to, at) => {
    to.writeUInt32LE(value, at);
  },
  decode: (from, at) => from.readUInt32LE(at),
};
export const u64Codec: Codec<bigint> = {
  size: 8,
  encode: (value, to, at) => {
    to.writeBigUInt64LE(value, at);
  },
  decode: (from, at) => from.readBigUInt64LE(at),
};
export const ipv4Codec: Codec<string> = { size: 4, encode: putIpv4, decode: getIpv4 };

export function putIpv6(text: string, to: Buffer, at: number): void {
  const address = parseAddress(text);
  if (address?.family !== 6) throw new SluiceError('internal', `${text} is no IPv6 address`);
  to.writeBigUInt64BE(address.value >> 64n, at);
  to.writeBigUInt64BE(address.value & 0xffff_ffff_ffff_ffffn, at + 8);
}

export function getIpv6(from: Buffer, at: number): string {
  const value = (from.readBigUInt64BE(at) << 64n) | from.readBigUInt64BE(at + 8);
  return formatAddress({ family: 6, value });
}

export const ipv6Codec: Codec<string> = { size: 16, encode: putIpv6, decode: getIpv6 };
