// SPDX-License-Identifier: Apache-2.0
/** Sections of a 64-bit little-endian ELF file by name (elf(5)). */

export class FormatError extends Error {}

export interface Section {
  readonly name: string;
  readonly data: Buffer;
}

const HEADER = 64;
const SECTION_HEADER = 64;

function slice(file: Buffer, offset: bigint | number, length: bigint | number, what: string): Buffer {
  const from = Number(offset);
  const to = from + Number(length);
  if (from > file.length || to > file.length || to < from)
    throw new FormatError(`${what} lies outside the file`);
  return file.subarray(from, to);
}

function nameAt(strings: Buffer, offset: number): string {
  const end = strings.indexOf(0, offset);
  if (offset >= strings.length || end < 0) throw new FormatError('a name lies outside its table');
  return strings.toString('utf8', offset, end);
}

export function readSections(file: Buffer): Map<string, Section> {
  const header = slice(file, 0, HEADER, 'the header');
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
    throw new FormatError('not a 64-bit little-endian ELF file');
  const at = header.readBigUInt64LE(40);
  const count = header.readUInt16LE(60);
  const headers = Array.from({ length: count }, (_, i) =>
    slice(file, at + BigInt(i * SECTION_HEADER), SECTION_HEADER, 'a section header'),
  );
  // SHT_NOBITS (8) takes no room in the file
  const contents = headers.map((h) =>
    h.readUInt32LE(4) === 8
      ? Buffer.alloc(0)
      : slice(file, h.readBigUInt64LE(24), h.readBigUInt64LE(32), 'a section'),
  );
  const names = contents[header.readUInt16LE(62)];
  if (names === undefined) throw new FormatError('there is no table of section names');
  const sections = new Map<string, Section>();
  headers.forEach((h, i) => {
    const name = nameAt(names, h.readUInt32LE(0));
    sections.set(name, { name, data: contents[i] as Buffer });
  });
  return sections;
}
