// SPDX-License-Identifier: Apache-2.0
/** BTF, the type information of BPF objects (Documentation/bpf/btf.rst), as a table of types. */
import { FormatError } from './elf.js';

interface Named {
  readonly name: string;
}
export type BtfType = Named &
  (
    | { kind: 'void' }
    | { kind: 'int'; size: number; signed: boolean }
    | { kind: 'ptr'; to: number }
    | { kind: 'array'; element: number; length: number }
    | { kind: 'struct' | 'union'; size: number; members: BtfMember[] }
    | { kind: 'enum'; size: number; values: [name: string, value: bigint][] }
    | { kind: 'typedef' | 'modifier'; to: number }
    | { kind: 'var'; to: number }
    | { kind: 'datasec'; vars: number[] }
    | { kind: 'other' }
  );
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0: not a bit-field. */
  readonly bits: number;
}

const MAGIC = 0xeb9f;

/** Reads with bounds, so that a truncated file is a FormatError and nothing else. */
class Cursor {
  #at = 0;
  readonly #data: Buffer;
  constructor(data: Buffer) {
    this.#data = data;
  }
  get done(): boolean {
    return this.#at >= this.#data.length;
  }
  u32(): number {
    if (this.#at + 4 > this.#data.length) throw new FormatError('the types end in the middle of one');
    const value = this.#data.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }
}

export function readBtf(section: Buffer): BtfType[] {
  const header = new Cursor(section);
  if ((header.u32() & 0xffff) !== MAGIC) throw new FormatError('no BTF');
  const length = header.u32();
  const [typeOffset, typeLength, nameOffset, nameLength] = [
    header.u32(),
    header.u32(),
    header.u32(),
    header.u32(),
  ];
  const part = (offset: number, size: number): Buffer => {
    if (length + offset + size > section.length) throw new FormatError('a part of the BTF lies outside it');
    return section.subarray(length + offset, length + offset + size);
  };
  const names = part(nameOffset, nameLength);
  const nameAt = (offset: number): string => {
    const end = names.indexOf(0, offset);
    if (offset >= names.length || end < 0) throw new FormatError('a name lies outside the BTF');
    return names.toString('utf8', offset, end);
  };
  const cursor = new Cursor(part(typeOffset, typeLength));
  const types: BtfType[] = [{ kind: 'void', name: 'void' }];
  while (!cursor.done) types.push(readType(cursor, nameAt));
  return types;
}

function readType(c: Cursor, nameAt: (offset: number) => string): BtfType {
  const name = nameAt(c.u32());
  const info = c.u32();
  const sizeOrType = c.u32();
  const count = info & 0xffff;
  const flag = info >>> 31 === 1;
  const times = <T>(read: () => T): T[] => Array.from({ length: count }, read);
  switch ((info >>> 24) & 0x1f) {
    case 1: // INT: bits 24-27 of the extra word are its encoding
      return { kind: 'int', name, size: sizeOrType, signed: ((c.u32() >>> 24) & 1) === 1 };
    case 2:
      return { kind: 'ptr', name, to: sizeOrType };
    case 3: {
      const element = c.u32();
      c.u32();
      return { kind: 'array', name, element, length: c.u32() };
    }
    case 4:
    case 5: {
      const kind = ((info >>> 24) & 0x1f) === 4 ? 'struct' : 'union';
      const members = times((): BtfMember => {
        const member = { name: nameAt(c.u32()), type: c.u32() };
        const offset = c.u32();
        return { ...member, bitOffset: flag ? offset & 0xffffff : offset, bits: flag ? offset >>> 24 : 0 };
      });
      return { kind, name, size: sizeOrType, members };
    }
    case 6:
      return {
        kind: 'enum',
        name,
        size: sizeOrType,
        values: times((): [string, bigint] => {
          const label = nameAt(c.u32());
          const value = c.u32();
          return [label, BigInt(flag ? value | 0 : value)];
        }),
      };
    case 8:
      return { kind: 'typedef', name, to: sizeOrType };
    case 9:
    case 10:
    case 11:
    case 18:
      return { kind: 'modifier', name, to: sizeOrType };
    case 13:
      times(() => [c.u32(), c.u32()]);
      return { kind: 'other', name };
    case 14:
      c.u32();
      return { kind: 'var', name, to: sizeOrType };
    case 15:
      return { kind: 'datasec', name, vars: times(() => [c.u32(), c.u32(), c.u32()][0] as number) };
    case 17:
      c.u32();
      return { kind: 'other', name };
    case 19:
      return {
        kind: 'enum',
        name,
        size: sizeOrType,
        values: times((): [string, bigint] => {
          const label = nameAt(c.u32());
          const low = c.u32();
          return [label, BigInt(low) | (BigInt(c.u32()) << 32n)];
        }),
      };
    default: // FWD, FUNC, FLOAT: nothing behind the header
      return { kind: 'other', name };
  }
}
