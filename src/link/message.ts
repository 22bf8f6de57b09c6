// SPDX-License-Identifier: Apache-2.0
/** Netlink messages as bytes: headers, attributes, nesting. Host byte order, as the kernel's. */
import { endianness } from 'node:os';
import { NLA_F_NESTED, NLA_TYPE_MASK } from './uapi.js';

const LITTLE = endianness() === 'LE';
/** struct nlmsghdr and struct nlattr, include/uapi/linux/netlink.h */
const HEADER = 16;
const ATTRIBUTE = 4;

const align = (length: number): number => (length + 3) & ~3;

export function writeU16(b: Buffer, value: number, offset: number): void {
  if (LITTLE) b.writeUInt16LE(value, offset);
  else b.writeUInt16BE(value, offset);
}
export function writeU32(b: Buffer, value: number, offset: number): void {
  if (LITTLE) b.writeUInt32LE(value >>> 0, offset);
  else b.writeUInt32BE(value >>> 0, offset);
}
export function readU16(b: Buffer, offset: number): number {
  return LITTLE ? b.readUInt16LE(offset) : b.readUInt16BE(offset);
}
export function readU32(b: Buffer, offset: number): number {
  return LITTLE ? b.readUInt32LE(offset) : b.readUInt32BE(offset);
}

/** An attribute to send: bytes, or attributes nested in it. */
export type Attribute = readonly [type: number, value: Buffer | readonly Attribute[]];

export const u8 = (value: number): Buffer => Buffer.from([value]);
export const u16 = (value: number): Buffer => {
  const b = Buffer.alloc(2);
  writeU16(b, value, 0);
  return b;
};
export const u32 = (value: number): Buffer => {
  const b = Buffer.alloc(4);
  writeU32(b, value, 0);
  return b;
};
/** NUL-terminated, as names are. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`);

export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(
    attributes.map(([type, value]) => {
      const nested = !Buffer.isBuffer(value);
      const payload = nested ? encodeAttributes(value as readonly Attribute[]) : (value as Buffer);
      const b = Buffer.alloc(align(ATTRIBUTE + payload.length));
      writeU16(b, ATTRIBUTE + payload.length, 0);
      writeU16(b, type | (nested ? NLA_F_NESTED : 0), 2);
      payload.copy(b, ATTRIBUTE);
      return b;
    }),
  );
}

/** A whole message: `fixed` is the family's header, such as struct ifinfomsg. */
export function encodeMessage(
  type: number,
  flags: number,
  fixed: Buffer,
  attributes: readonly Attribute[] = [],
): Buffer {
  const header = Buffer.alloc(HEADER);
  const padding = Buffer.alloc(align(fixed.length) - fixed.length);
  const payload = Buffer.concat([fixed, padding, encodeAttributes(attributes)]);
  writeU32(header, HEADER + payload.length, 0);
  writeU16(header, type, 4);
  writeU16(header, flags, 6);
  return Buffer.concat([header, payload]);
}

export interface Message {
  type: number;
  /** The family's header, of the length asked for. */
  fixed: Buffer;
  attributes: Map<number, Buffer>;
}

/** In their order, for lists, whose elements share a type; a malformed tail is left out. */
export function* attributesOf(data: Buffer): Generator<[type: number, value: Buffer]> {
  let offset = 0;
  while (offset + ATTRIBUTE <= data.length) {
    const length = readU16(data, offset);
    if (length < ATTRIBUTE || offset + length > data.length) return;
    yield [readU16(data, offset + 2) & NLA_TYPE_MASK, data.subarray(offset + ATTRIBUTE, offset + length)];
    offset += align(length);
  }
}

/** Attributes by type. */
export function decodeAttributes(data: Buffer): Map<number, Buffer> {
  return new Map(attributesOf(data));
}

export function decodeMessage(message: Buffer, fixedLength: number): Message {
  const fixed = message.subarray(HEADER, HEADER + fixedLength);
  return {
    type: readU16(message, 4),
    fixed,
    attributes: decodeAttributes(message.subarray(HEADER + align(fixedLength))),
  };
}

/** The messages of one datagram, whole. */
export function* splitMessages(datagram: Buffer): Generator<Buffer> {
  let offset = 0;
  while (offset + HEADER <= datagram.length) {
    const length = readU32(datagram, offset);
    if (length < HEADER || offset + length > datagram.length) return;
    yield datagram.subarray(offset, offset + length);
    offset += align(length);
  }
}

export const messageType = (message: Buffer): number => readU16(message, 4);

/** Text up to the NUL. */
export function textOf(value: Buffer | undefined): string {
  if (value === undefined) return '';
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}
