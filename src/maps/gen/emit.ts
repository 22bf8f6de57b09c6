// SPDX-License-Identifier: Apache-2.0
/** TypeScript from layouts. One file for types, one for codecs, one for enumerations, one for maps. */
import { type Abi, type Field, isStruct, LayoutError, type Shape, type Struct } from './layout.js';

const HEAD = `// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.
`;

const pascal = (name: string): string =>
  name.replace(/(^|_)([a-z0-9])/g, (_, _u, c: string) => c.toUpperCase());
const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());

function typeOf(shape: Shape): string {
  switch (shape.as) {
    case 'ipv4':
    case 'ipv6':
    case 'mac':
      return 'string';
    case 'u64':
    case 's64':
      return 'bigint';
    case 'array':
      return `${typeOf(shape.of)}[]`;
    case 'opaque':
      return 'never';
    default:
      return 'number';
  }
}

const METHODS: Partial<Record<Shape['as'], string>> = {
  u8: 'UInt8',
  u16: 'UInt16LE',
  u32: 'UInt32LE',
  s32: 'Int32LE',
  u64: 'BigUInt64LE',
  s64: 'BigInt64LE',
  be16: 'UInt16BE',
  be32: 'UInt32BE',
};

function put(shape: Shape, value: string, at: string): string {
  if (shape.as === 'ipv4') return `putIpv4(${value}, to, ${at})`;
  if (shape.as === 'ipv6') return `putIpv6(${value}, to, ${at})`;
  if (shape.as === 'mac') return `putMac(${value}, to, ${at})`;
  return `to.write${METHODS[shape.as]}(${value}, ${at})`;
}

function get(shape: Shape, at: string): string {
  if (shape.as === 'ipv4') return `getIpv4(from, ${at})`;
  if (shape.as === 'ipv6') return `getIpv6(from, ${at})`;
  if (shape.as === 'mac') return `getMac(from, ${at})`;
  if (shape.as === 'array') {
    const items = Array.from({ length: shape.length }, (_, i) =>
      get(shape.of, `${at} + ${i * shape.stride}`),
    );
    return `[${items.join(', ')}]`;
  }
  return `from.read${METHODS[shape.as]}(${at})`;
}

function putField(field: Field): string[] {
  const at = field.offset === 0 ? 'at' : `at + ${field.offset}`;
  const { shape } = field;
  if (shape.as !== 'array') return [`    ${put(shape, `value.${field.name}`, at)};`];
  return Array.from(
    { length: shape.length },
    (_, i) =>
      `    ${put(shape.of, `value.${field.name}[${i}] as ${typeOf(shape.of)}`, `at + ${field.offset + i * shape.stride}`)};`,
  );
}

const shown = (struct: Struct): readonly Field[] => struct.fields.filter((f) => f.shape.as !== 'opaque');

function emitTypes(abi: Abi): string {
  const interfaces = abi.structs.map((s) =>
    [
      `export interface ${pascal(s.name)} {`,
      ...shown(s).map((f) => `  ${f.name}: ${typeOf(f.shape)};`),
      '}',
    ].join('\n'),
  );
  return `${HEAD}\n${interfaces.join('\n\n')}\n`;
}

function emitCodecs(abi: Abi): string {
  const bodies = abi.structs.map((s) => {
    const type = pascal(s.name);
    const fields = shown(s);
    const at = (f: Field): string => (f.offset === 0 ? 'at' : `at + ${f.offset}`);
    return [
      `export const ${camel(s.name)}Codec: Codec<t.${type}> = {`,
      `  size: ${s.size},`,
      '  encode(value, to, at) {',
      `    to.fill(0, at, at + ${s.size});`,
      ...fields.flatMap(putField),
      '  },',
      '  decode(from, at) {',
      '    return {',
      ...fields.map((f) => `      ${f.name}: ${get(f.shape, at(f))},`),
      '    };',
      '  },',
      '};',
    ].join('\n');
  });
  const text = bodies.join('\n\n');
  const helpers = ['getIpv4', 'getIpv6', 'getMac', 'putIpv4', 'putIpv6', 'putMac'].filter((h) =>
    text.includes(`${h}(`),
  );
  return `${HEAD}import { type Codec, ${helpers.join(', ')} } from '../codec.js';
import type * as t from './types.js';

${text}
`;
}

function emitEnums(abi: Abi): string {
  const bodies = abi.enums.map((e) =>
    [
      `export const ${e.name} = {`,
      ...e.values.map(([name, value]) => `  ${name}: ${value},`),
      '} as const;',
    ].join('\n'),
  );
  return `${HEAD}\n${bodies.join('\n\n')}\n`;
}

/** Sides of maps that are no struct. */
const SCALARS: Partial<Record<Shape['as'], string>> = {
  u32: 'u32Codec',
  u64: 'u64Codec',
  ipv4: 'ipv4Codec',
  ipv6: 'ipv6Codec',
};

function emitMaps(abi: Abi): string {
  const scalars = new Set<string>();
  const codec = (side: Struct | Shape, where: string): string => {
    if (isStruct(side)) return `c.${camel(side.name)}Codec`;
    const name = SCALARS[side.as];
    if (name === undefined) throw new LayoutError(`${where}: no codec for a ${side.as}`);
    scalars.add(name);
    return name;
  };
  const type = (side: Struct | Shape): string => (isStruct(side) ? `t.${pascal(side.name)}` : typeOf(side));
  const entries = abi.maps.map((m) =>
    [
      `  ${m.name}: {`,
      `    name: '${m.name}',`,
      `    type: ${m.type},`,
      `    maxEntries: ${m.maxEntries},`,
      `    flags: ${m.flags},`,
      `    key: ${codec(m.key, m.name)},`,
      `    value: ${codec(m.value, m.name)},`,
      `  } satisfies MapDescriptor<${type(m.key)}, ${type(m.value)}>,`,
    ].join('\n'),
  );
  return `${HEAD}import { ${[...scalars].sort().join(', ')}, type MapDescriptor } from '../codec.js';
import * as c from './codecs.js';
import type * as t from './types.js';

export const maps = {
${entries.join('\n')}
};
`;
}

/** `rodata`: the object's constants, which are one struct config. */
function emitConfig(rodata: Buffer): string {
  return `${HEAD}
/** The defaults that bpf/lib/config.h gives, as they lie in .rodata. */
export const configDefaults = Buffer.from('${rodata.toString('hex')}', 'hex');
`;
}

export function emit(abi: Abi, rodata: Buffer): Record<string, string> {
  const config = abi.structs.find((s) => s.name === 'config');
  if (config?.size !== rodata.length)
    throw new LayoutError(
      `.rodata has ${rodata.length} bytes, struct config ${config?.size}: a constant besides it`,
    );
  return {
    'types.ts': emitTypes(abi),
    'codecs.ts': emitCodecs(abi),
    'enums.ts': emitEnums(abi),
    'maps.ts': emitMaps(abi),
    'config.ts': emitConfig(rodata),
  };
}
