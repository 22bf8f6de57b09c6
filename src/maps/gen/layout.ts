// SPDX-License-Identifier: Apache-2.0
/** From types to layouts that a codec can be written for; refuses what it cannot express. */
import { type BtfType, readBtf } from './btf.js';
import { readSections } from './elf.js';

/** How a field appears in TypeScript. */
export type Shape =
  | { as: 'u8' | 'u16' | 'u32' | 's32' | 'u64' | 's64' | 'be16' | 'be32' | 'ipv4' | 'ipv6' | 'mac' }
  | { as: 'array'; of: Shape; length: number; stride: number }
  /** Kernel-owned: not read, and written as zero. */
  | { as: 'opaque' };

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly shape: Shape;
}
export interface Struct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}
export interface MapLayout {
  readonly name: string;
  readonly type: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly key: Struct | Shape;
  readonly value: Struct | Shape;
}
export interface Abi {
  readonly structs: readonly Struct[];
  readonly maps: readonly MapLayout[];
  readonly enums: readonly { name: string; values: readonly [string, bigint][] }[];
}

export class LayoutError extends Error {}

/** Typedefs that carry meaning, bpf/lib/types.h. */
const TYPEDEFS: Record<string, Shape> = {
  be16: { as: 'be16' },
  be32: { as: 'be32' },
  ipv4_addr: { as: 'ipv4' },
  ipv6_addr: { as: 'ipv6' },
  mac_addr: { as: 'mac' },
};
const OPAQUE = new Set(['bpf_timer', 'bpf_wq']);
const INTS: Record<string, Shape> = {
  u1: { as: 'u8' },
  u2: { as: 'u16' },
  u4: { as: 'u32' },
  s4: { as: 's32' },
  u8: { as: 'u64' },
  s8: { as: 's64' },
};

class Types {
  readonly types: readonly BtfType[];
  constructor(types: readonly BtfType[]) {
    this.types = types;
  }

  at(id: number): BtfType {
    const type = this.types[id];
    if (type === undefined) throw new LayoutError(`there is no type ${id}`);
    return type;
  }

  /** Behind typedefs, const and volatile. */
  bare(id: number): BtfType {
    let type = this.at(id);
    for (let depth = 0; type.kind === 'typedef' || type.kind === 'modifier'; depth++) {
      if (depth > 32) throw new LayoutError('a type refers to itself');
      type = this.at(type.to);
    }
    return type;
  }

  size(id: number): number {
    const type = this.bare(id);
    if (type.kind === 'array') return type.length * this.size(type.element);
    if (type.kind === 'ptr') return 8;
    if ('size' in type) return type.size;
    throw new LayoutError(`type ${type.name || type.kind} has no size`);
  }

  shape(id: number, where: string): Shape {
    let type = this.at(id);
    while (type.kind === 'typedef' || type.kind === 'modifier') {
      const meant = type.kind === 'typedef' ? TYPEDEFS[type.name] : undefined;
      if (meant !== undefined) return meant;
      type = this.at(type.to);
    }
    if (type.kind === 'int') {
      const shape = INTS[`${type.signed ? 's' : 'u'}${type.size}`];
      if (shape !== undefined) return shape;
    }
    if (type.kind === 'enum' && type.size === 4) return { as: 'u32' };
    if (type.kind === 'array')
      return {
        as: 'array',
        of: this.shape(type.element, where),
        length: type.length,
        stride: this.size(type.element),
      };
    if (type.kind === 'struct' && OPAQUE.has(type.name)) return { as: 'opaque' };
    throw new LayoutError(`${where}: no way to show a ${type.kind} ${type.name}`);
  }

  /**
   * A struct without gaps: padding has to be named (`pad`), so that it is
   * written as zero. The verifier and map keys both depend on it.
   */
  struct(id: number): Struct {
    const type = this.bare(id);
    if (type.kind !== 'struct') throw new LayoutError(`${type.name} is no struct`);
    let end = 0;
    const fields: Field[] = [];
    for (const member of type.members) {
      const where = `${type.name}.${member.name}`;
      if (member.bits !== 0 || member.bitOffset % 8 !== 0) throw new LayoutError(`${where}: a bit-field`);
      const offset = member.bitOffset / 8;
      const size = this.size(member.type);
      if (offset !== end)
        throw new LayoutError(`${where}: ${offset - end} bytes of implicit padding before it`);
      end = offset + size;
      if (member.name === '') {
        // an embedded struct: its fields are this one's
        const { fields: inner } = this.struct(member.type);
        fields.push(...inner.map((f) => ({ ...f, offset: offset + f.offset })));
        continue;
      }
      if (!member.name.startsWith('pad')) {
        fields.push({ name: member.name, offset, size, shape: this.shape(member.type, where) });
      }
    }
    if (end !== type.size)
      throw new LayoutError(`${type.name}: ${type.size - end} bytes of implicit padding at its end`);
    return { name: type.name, size: type.size, fields };
  }

  side(id: number, where: string): Struct | Shape {
    const type = this.bare(id);
    return type.kind === 'struct' && type.name !== '' ? this.struct(id) : this.shape(id, where);
  }

  /** libbpf's map definitions: `int (*name)[number]` and `type *name`. */
  map(name: string, id: number): MapLayout {
    const type = this.bare(id);
    if (type.kind !== 'struct') throw new LayoutError(`map ${name} is no struct`);
    const target = (field: string): number | undefined => {
      const member = type.members.find((m) => m.name === field);
      const pointer = member && this.bare(member.type);
      return pointer?.kind === 'ptr' ? pointer.to : undefined;
    };
    const number = (field: string): number => {
      const to = target(field);
      const array = to === undefined ? undefined : this.bare(to);
      return array?.kind === 'array' ? array.length : 0;
    };
    const side = (field: string): Struct | Shape => {
      const to = target(field);
      if (to === undefined) throw new LayoutError(`map ${name} has no ${field}`);
      return this.side(to, `${name}.${field}`);
    };
    return {
      name,
      type: number('type'),
      maxEntries: number('max_entries'),
      flags: number('map_flags'),
      key: side('key'),
      value: side('value'),
    };
  }
}

export function isStruct(side: Struct | Shape): side is Struct {
  return 'fields' in side;
}

/** `extra`: structs to take in besides those of maps. */
export function readAbi(object: Buffer, extra: readonly string[] = []): Abi {
  const section = readSections(object).get('.BTF');
  if (section === undefined) throw new LayoutError('the object has no BTF: compile with -g');
  const types = new Types(readBtf(section.data));
  const maps: MapLayout[] = [];
  const enums: { name: string; values: [string, bigint][] }[] = [];
  for (const datasec of types.types) {
    if (datasec.kind !== 'datasec') continue;
    for (const id of datasec.vars) {
      const variable = types.at(id);
      if (variable.kind !== 'var') continue;
      if (datasec.name === '.maps') maps.push(types.map(variable.name, variable.to));
      const pointer = types.bare(variable.to);
      if (!variable.name.startsWith('abi_') || pointer.kind !== 'ptr') continue;
      const type = types.bare(pointer.to);
      if (type.kind === 'enum') enums.push({ name: type.name, values: type.values });
    }
  }
  const structs = new Map<string, Struct>();
  for (const map of maps)
    for (const side of [map.key, map.value]) if (isStruct(side)) structs.set(side.name, side);
  for (const name of extra) {
    const id = types.types.findIndex((t) => t.kind === 'struct' && t.name === name);
    if (id < 0) throw new LayoutError(`there is no struct ${name}`);
    structs.set(name, types.struct(id));
  }
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
  return {
    structs: [...structs.values()].sort(byName),
    maps: maps.sort(byName),
    enums: enums.sort(byName),
  };
}
