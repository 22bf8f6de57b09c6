#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
/**
 * node scripts/bpf-stack.mjs OBJECT...
 *   Fails, and names the chain, where a chain of calls of a program takes more stack than BOUND or
 *   has more frames than the verifier allows. Says nothing otherwise.
 * node scripts/bpf-stack.mjs --list [--top N] [OBJECT...]
 *   The N (5) deepest chains of every program; of those in dist/bpf where no object is named.
 *
 * The calls are read from the objects, the frames from what clang -fstack-usage writes beside them
 * (NAME.bpf.su beside NAME.bpf.o). The verifier counts per function the deepest byte below r10 that
 * an instruction it walked touches. Clang makes r10-relative addresses only within the frame it
 * reserves, and that includes what it spills, so its figure is never the lower one (it is the higher
 * one where a part of the frame is padding or not reached); test/bpf/stack.test.ts compares the two.
 * Three registers that the kernel stores where it inlines bpf_loop come on top after its check.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

/** MAX_BPF_STACK is 512; the rest is for what other compilers and later changes take. */
const BOUND = 448;
/** MAX_CALL_FRAMES of include/linux/bpf_verifier.h. */
const FRAMES = 8;
/** check_max_stack_depth(): a frame counts for at least one byte, rounded up to this. JITs of newer kernels: 16. */
const ROUND = 32;

const INSTRUCTION = 8;
const SHT_SYMTAB = 2;
const SHT_REL = 9;
const SHF_EXECINSTR = 4n;
const STT_FUNC = 2;
const CALL = 0x85;
const PSEUDO_CALL = 1;
const LOAD_ADDRESS = 0x18;
/** The classes of jumps, BPF_JMP and BPF_JMP32, of which calls are one kind. */
const JUMPS = [5, 6];
/** What starts a callback later, on a stack of its own: a helper by number, kfuncs by how their names begin. */
const TIMER_SET_CALLBACK = 170;
const WORK_SET_CALLBACK = 'bpf_wq_set_callback';
/** The callback's register in both. */
const CALLBACK = 2;

const rounded = (bytes) => Math.ceil(Math.max(bytes, 1) / ROUND) * ROUND;
const depth = (chain) => chain.reduce((sum, { bytes }) => sum + rounded(bytes), 0);

/** Sections, symbols and relocations (elf(5)): 64 bits, little-endian. */
function readElf(file) {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error('not a 64-bit little-endian ELF file');
  const at = Number(file.readBigUInt64LE(40));
  const sections = Array.from({ length: file.readUInt16LE(60) }, (_, i) => {
    const h = file.subarray(at + i * 64, at + (i + 1) * 64);
    const [offset, size] = [Number(h.readBigUInt64LE(24)), Number(h.readBigUInt64LE(32))];
    const type = h.readUInt32LE(4);
    const code = type === 1 && (h.readBigUInt64LE(8) & SHF_EXECINSTR) !== 0n;
    const data = file.subarray(offset, offset + size);
    return {
      type,
      code,
      data,
      nameAt: h.readUInt32LE(0),
      link: h.readUInt32LE(40),
      info: h.readUInt32LE(44),
    };
  });
  const text = (strings, from) => strings.data.toString('utf8', from, strings.data.indexOf(0, from));
  const names = sections[file.readUInt16LE(62)];
  for (const section of sections) section.name = text(names, section.nameAt);

  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  if (table === undefined) throw new Error('has no symbols');
  const symbols = Array.from({ length: table.data.length / 24 }, (_, i) => {
    const s = table.data.subarray(i * 24, (i + 1) * 24);
    return {
      name: text(sections[table.link], s.readUInt32LE(0)),
      type: s[4] & 0xf,
      section: sections[s.readUInt16LE(6)],
      value: Number(s.readBigUInt64LE(8)),
      size: Number(s.readBigUInt64LE(16)),
    };
  });
  for (const { type, info, data } of sections) {
    if (type !== SHT_REL) continue;
    sections[info].relocations = new Map(
      Array.from({ length: data.length / 16 }, (_, i) => [
        Number(data.readBigUInt64LE(i * 16)),
        symbols[data.readUInt32LE(i * 16 + 12)],
      ]),
    );
  }
  return symbols;
}

/** Bytes of every function by name. */
function readFrames(path) {
  if (!existsSync(path)) return new Map(); // clang writes none of an object without functions
  const lines = readFileSync(path, 'utf8').split('\n');
  return new Map(
    lines
      .filter((line) => line !== '')
      .map((line) => {
        const [place, bytes] = line.split('\t');
        return [place.slice(place.lastIndexOf(':') + 1), Number(bytes)];
      }),
  );
}

/** Every function of the object: its frame, whom it calls, and what it lets be called later. */
function readFunctions(path) {
  const frames = readFrames(path.replace(/\.o$/, '.su'));
  const functions = readElf(readFileSync(path))
    .filter(({ type, section }) => type === STT_FUNC && section?.code)
    .map((symbol) => ({ ...symbol, bytes: frames.get(symbol.name), calls: new Set(), later: new Set() }));
  for (const f of functions) {
    if (f.bytes === undefined)
      throw new Error(`the frame of ${f.name} is not known: was it compiled with -fstack-usage?`);
    readCalls(f, functions);
  }
  return functions;
}

/** A callback runs in a frame on top of its caller's, except where it is started later. */
function readCalls(caller, functions) {
  const { section, value, size } = caller;
  const find = (of, offset) => {
    const f = functions.find((f) => f.section === of && f.value === offset);
    if (f === undefined) throw new Error(`${caller.name} calls what is no function`);
    return f;
  };
  /** What r2 holds since the last call or jump. */
  let callback;
  const settle = (kind) => {
    if (callback !== undefined) caller[kind].add(callback);
    callback = undefined;
  };
  for (let at = value; at < value + size; at += INSTRUCTION) {
    const code = section.data[at];
    const source = section.data[at + 1] >> 4;
    const immediate = section.data.readInt32LE(at + 4);
    const symbol = section.relocations?.get(at);
    if (code === LOAD_ADDRESS) {
      if (symbol?.section?.code) {
        const f = find(symbol.section, symbol.value + immediate);
        settle('calls');
        if ((section.data[at + 1] & 0xf) === CALLBACK) callback = f;
        else caller.calls.add(f);
      }
      at += INSTRUCTION; // it is of two
    } else if (code === CALL) {
      const steps = (immediate + 1) * INSTRUCTION;
      if (source === PSEUDO_CALL && symbol === undefined) caller.calls.add(find(section, at + steps));
      // a kfunc is a pseudo call of a symbol that is of no section
      else if (source === PSEUDO_CALL && symbol.section?.code)
        caller.calls.add(find(symbol.section, symbol.value + steps));
      const later =
        source === PSEUDO_CALL
          ? symbol?.name.startsWith(WORK_SET_CALLBACK)
          : immediate === TIMER_SET_CALLBACK;
      settle(later ? 'later' : 'calls');
    } else if (JUMPS.includes(code & 7)) settle('calls');
  }
  settle('calls');
}

/** The `top` chains that begin with `f` and are the greatest by `measure`; `open` are f's callers. */
function chains(f, measure, top, known = new Map(), open = []) {
  const path = [...open, f];
  if (open.includes(f))
    throw new Error(`${f.name} calls itself: ${path.map(({ name }) => name).join(' > ')}`);
  if (!known.has(f)) {
    const below = [...f.calls].flatMap((callee) => chains(callee, measure, top, known, path));
    const all = below.length === 0 ? [[f]] : below.map((chain) => [f, ...chain]);
    known.set(f, all.sort((a, b) => measure(b) - measure(a)).slice(0, top));
  }
  return known.get(f);
}

const shown = (chain) => chain.map(({ name, bytes }) => `${name} ${bytes}`).join(' > ');

/** What the verifier would refuse, or might. */
function faults(root) {
  const [deepest] = chains(root, depth, 1);
  const [longest] = chains(root, (chain) => chain.length, 1);
  const found = [];
  if (depth(deepest) > BOUND)
    found.push(`takes ${depth(deepest)} bytes of stack, more than ${BOUND}: ${shown(deepest)}`);
  if (longest.length > FRAMES)
    found.push(`has ${longest.length} frames, more than ${FRAMES}: ${shown(longest)}`);
  return found;
}

const { values, positionals } = parseArgs({
  options: { list: { type: 'boolean' }, top: { type: 'string', default: '5' } },
  allowPositionals: true,
});
const built = join(import.meta.dirname, '../dist/bpf');
const objects =
  positionals.length > 0
    ? positionals
    : readdirSync(built)
        .filter((name) => name.endsWith('.bpf.o'))
        .map((name) => join(built, name));
for (const object of objects) {
  const name = basename(object);
  const fail = (message) => {
    console.error(`bpf-stack: ${name}: ${message}`);
    process.exitCode = 1;
  };
  try {
    const functions = readFunctions(object);
    // an entry point of its own is what libbpf makes a program of, and what is started later
    const later = new Set(functions.flatMap((f) => [...f.later]));
    for (const root of functions.filter((f) => f.section.name !== '.text' || later.has(f))) {
      if (values.list)
        for (const chain of chains(root, depth, Number(values.top)))
          console.log(`${depth(chain)} ${name}: ${shown(chain)}`);
      else for (const fault of faults(root)) fail(`${root.name} ${fault}`);
    }
  } catch (e) {
    fail(e.message);
  }
}
