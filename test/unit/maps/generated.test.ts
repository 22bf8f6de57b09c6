// SPDX-License-Identifier: Apache-2.0
/** The generator against somebody else's reading of the same types, and its codecs against themselves. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatAddress } from '../../../src/base/addresses.js';
import { findClang } from '../../../src/loader/compile.js';
import type { Codec } from '../../../src/maps/codec.js';
import { encodeConfig } from '../../../src/maps/config.js';
import { FormatError, readSections } from '../../../src/maps/gen/elf.js';
import { LayoutError, readAbi } from '../../../src/maps/gen/layout.js';
import { generate } from '../../../src/maps/gen/main.js';
import * as codecs from '../../../src/maps/generated/codecs.js';
import * as enums from '../../../src/maps/generated/enums.js';

const ROOT = join(import.meta.dirname, '../../..');
const OBJECTS = join(ROOT, 'dist/bpf');
const ABI = join(OBJECTS, 'abi.bpf.o');
let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'sluice-gen-'));
});
afterAll(() => rmSync(work, { recursive: true }));

async function compiled(source: string): Promise<Buffer> {
  const file = join(work, 'fixture.c');
  writeFileSync(file, source);
  const include = `-I/usr/include/${arch() === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const clang = (await findClang()) as string;
  execFileSync(clang, ['-O2', '-g', '-target', 'bpf', include, '-c', file, '-o', `${file}.o`]);
  return readFileSync(`${file}.o`);
}

const MAP = (value: string) => `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
${value}
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct v); } m SEC(".maps");
`;

describe('layouts', () => {
  it('agree with bpftool, field by field', () => {
    const dump = JSON.parse(
      execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', ABI], { encoding: 'utf8', maxBuffer: 64 << 20 }),
    ) as {
      types: Type[];
    };
    type Type = {
      id: number;
      kind: string;
      name: string;
      size: number;
      members?: { name: string; type_id: number; bits_offset: number }[];
    };
    /** Also where an embedded struct without a name has the field. */
    const bitOffset = (type: Type | undefined, field: string): number | undefined => {
      for (const m of type?.members ?? []) {
        if (m.name === field) return m.bits_offset;
        const inner = m.name === '(anon)' ? dump.types.find((t) => t.id === m.type_id) : undefined;
        const within = inner && bitOffset(inner, field);
        if (within !== undefined) return m.bits_offset + within;
      }
      return undefined;
    };
    const abi = readAbi(readFileSync(ABI), ['config']);
    expect(abi.structs.length).toBeGreaterThan(10);
    for (const struct of abi.structs) {
      const other = dump.types.find((t) => t.kind === 'STRUCT' && t.name === struct.name);
      expect(other?.size, struct.name).toBe(struct.size);
      for (const field of struct.fields)
        expect(bitOffset(other, field.name), `${struct.name}.${field.name}`).toBe(field.offset * 8);
    }
  });

  it('are those that are committed', () => {
    for (const [name, text] of Object.entries(generate(OBJECTS)))
      expect(readFileSync(join(ROOT, 'src/maps/generated', name), 'utf8'), name).toBe(text);
  });

  it('take in every enumeration of bpf/maps', () => {
    for (const header of readdirSync(join(ROOT, 'bpf/maps')).filter((f) => f.endsWith('.h')))
      for (const [, name] of readFileSync(join(ROOT, 'bpf/maps', header), 'utf8').matchAll(
        /^enum (\w+) \{/gm,
      ))
        expect(Object.keys(enums), `${header}: enum ${name}`).toContain(name);
  });

  it.each([
    ['padding between fields', 'struct v { __u8 a; __u32 b; };', /v\.b: 3 bytes of implicit padding/],
    ['padding at the end', 'struct v { __u32 a; __u8 b; };', /v: 3 bytes of implicit padding at its end/],
    ['a bit-field', 'struct v { __u32 a : 3; __u32 b : 29; };', /v\.a: a bit-field/],
    ['a pointer', 'struct v { void *a; };', /v\.a: no way to show a ptr/],
  ])('refuse %s', async (_, value, message) => {
    const object = await compiled(MAP(value));
    expect(() => readAbi(object)).toThrow(LayoutError);
    expect(() => readAbi(object)).toThrow(message);
  });

  it('answer a file cut off anywhere with an error of their own', () => {
    const whole = readFileSync(ABI);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
        try {
          readAbi(whole.subarray(0, length));
        } catch (e) {
          expect(e instanceof FormatError || e instanceof LayoutError).toBe(true);
        }
      }),
    );
    expect(() => readSections(Buffer.from('no ELF at all'))).toThrow(FormatError);
  });
});

/** Values for a field, by what the decoder answers for zero bytes. */
function arbitrary(zero: unknown, bytes: number, signed: boolean): fc.Arbitrary<unknown> {
  if (typeof zero === 'bigint') return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  if (zero === '0.0.0.0') return fc.ipV4();
  if (zero === '::')
    return fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => formatAddress({ family: 6, value }));
  if (typeof zero === 'string')
    return fc.uint8Array({ minLength: 6, maxLength: 6 }).map((b) =>
      Buffer.from(b)
        .toString('hex')
        .replace(/(..)(?=.)/g, '$1:'),
    );
  if (Array.isArray(zero)) return fc.tuple(...zero.map((z) => arbitrary(z, bytes / zero.length, signed)));
  if (signed) return fc.integer({ min: -(2 ** (8 * bytes - 1)), max: 2 ** (8 * bytes - 1) - 1 });
  return fc.nat(2 ** (8 * bytes) - 1);
}

describe('codecs', () => {
  const sizes = new Map(readAbi(readFileSync(ABI), ['config']).structs.map((s) => [s.name, s]));
  const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());

  it.each([...sizes.values()].map((s) => [s.name, s] as const))(
    '%s: decoding undoes encoding',
    (name, struct) => {
      const codec = (codecs as unknown as Record<string, Codec<Record<string, unknown>>>)[
        `${camel(name)}Codec`
      ];
      if (codec === undefined) throw new Error(`no codec for ${name}`);
      expect(codec.size).toBe(struct.size);
      const zero = codec.decode(Buffer.alloc(codec.size), 0);
      const fields = Object.fromEntries(
        Object.entries(zero).map(([key, value]) => {
          const field = struct.fields.find((f) => f.name === key);
          const shape = field?.shape.as === 'array' ? field.shape.of : field?.shape;
          return [key, arbitrary(value, field?.size ?? 0, shape?.as === 's32')];
        }),
      );
      fc.assert(
        fc.property(fc.record(fields), fc.nat(16), (value, at) => {
          const buffer = Buffer.alloc(at + codec.size + 8, 0xee);
          codec.encode(value, buffer, at);
          expect(codec.decode(buffer, at)).toEqual(value);
          // nothing outside is touched
          expect(buffer.subarray(0, at).every((b) => b === 0xee)).toBe(true);
          expect(buffer.subarray(at + codec.size).every((b) => b === 0xee)).toBe(true);
        }),
      );
    },
  );

  it('set constants by name and keep the defaults of the rest', () => {
    const config = codecs.configCodec.decode(encodeConfig({ l3_device: 1 }), 0);
    expect(config).toMatchObject({
      l3_device: 1,
      tcp_established: 7440,
      snat_port_min: 32768,
      snat_port_max: 65535,
    });
  });
});
