// SPDX-License-Identifier: Apache-2.0
/** Entries of a map in another layout: field by field, by their names in the type information of both. */
import { type BtfType, readBtf } from './gen/btf.js';

export interface Layout {
  readonly types: readonly BtfType[];
  readonly type: number;
  /** Bytes. */
  readonly size: number;
}

/** Writes what `from` says at the places where the other layout has it; what only that knows is zero. */
export type Convert = (from: Buffer, fromAt: number, to: Buffer, toAt: number) => void;

interface Field {
  readonly offset: number;
  readonly size: number;
  readonly number: boolean;
}

export function layoutOf(btf: Buffer, type: number, size: number): Layout {
  return { types: readBtf(btf), type, size };
}

/**
 * null: not possible, as a field that both have is something else. `whole`:
 * every field of the one has to be a field of the other, as in keys.
 */
export function converter(from: Layout, to: Layout, whole: boolean): Convert | null {
  const [had, has] = [fields(from), fields(to)];
  if (had === null || has === null) return null;
  if (whole && ([...had.keys()].some((k) => !has.has(k)) || [...has.keys()].some((k) => !had.has(k))))
    return null;
  const moves: { from: number; to: number; bytes: number }[] = [];
  for (const [name, field] of has) {
    const old = had.get(name);
    if (old === undefined) continue;
    if (old.size !== field.size && !(old.number && field.number)) return null;
    // little endian: a number that has become wider begins with its old bytes
    moves.push({ from: old.offset, to: field.offset, bytes: Math.min(old.size, field.size) });
  }
  return (source, fromAt, target, toAt) => {
    target.fill(0, toAt, toAt + to.size);
    for (const move of moves)
      source.copy(target, toAt + move.to, fromAt + move.from, fromAt + move.from + move.bytes);
  };
}

/** What a structure is made of, by path; null: something that cannot be told. */
function fields(layout: Layout): Map<string, Field> | null {
  const found = new Map<string, Field>();
  return collect(layout, layout.type, 0, '', found) ? found : null;
}

function collect(
  layout: Layout,
  id: number,
  offset: number,
  path: string,
  found: Map<string, Field>,
): boolean {
  const type = layout.types[id];
  switch (type?.kind) {
    case 'typedef':
    case 'modifier':
      return collect(layout, type.to, offset, path, found);
    case 'int':
    case 'enum':
      found.set(path, { offset, size: type.size, number: true });
      return true;
    case 'array': {
      const size = sizeOf(layout, id);
      if (size === null) return false;
      if (!isPadding(path)) found.set(path, { offset, size, number: false });
      return true;
    }
    case 'union':
      // one address in several guises: its bytes are moved as they are
      found.set(path, { offset, size: type.size, number: false });
      return true;
    case 'struct':
      return type.members.every((member) => {
        if (member.bits !== 0) return false;
        if (isPadding(member.name)) return true;
        // the members of an unnamed structure are those of the one around it
        const inner = member.name === '' ? path : `${path}.${member.name}`;
        return collect(layout, member.type, offset + member.bitOffset / 8, inner, found);
      });
    default:
      return false;
  }
}

const isPadding = (path: string): boolean => /(^|\.)pad\d*$/.test(path);

function sizeOf(layout: Layout, id: number): number | null {
  const type = layout.types[id];
  switch (type?.kind) {
    case 'typedef':
    case 'modifier':
      return sizeOf(layout, type.to);
    case 'int':
    case 'enum':
    case 'struct':
    case 'union':
      return type.size;
    case 'array': {
      const size = sizeOf(layout, type.element);
      return size === null ? null : size * type.length;
    }
    default:
      return null;
  }
}
