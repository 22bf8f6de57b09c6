// SPDX-License-Identifier: Apache-2.0
/** What the stack check of the build takes a function's frame to be, against the verifier's own log. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/native/load.js';

const OBJECTS = join(packageRoot(), 'dist/bpf');
const HELPER = join(packageRoot(), 'test/support/stack_depth.py');

/** What clang -fstack-usage wrote: FILE:LINE:FUNCTION, bytes, static. */
function reserved(object: string): Map<string, number> {
  const file = object.replace(/\.o$/, '.su');
  if (!existsSync(file)) return new Map();
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return new Map(lines.map((line) => [/(\w+)\t/.exec(line)?.[1] ?? line, Number(line.split('\t')[1])]));
}

/**
 * What the verifier says of an object: PROGRAM FUNCTION BYTES a line. Nothing of one that is for
 * other kernels: it calls what this one does not have.
 */
function verified(object: string): string[] {
  const { status, stdout, stderr } = spawnSync('python3', [HELPER, object], { encoding: 'utf8' });
  if (status === 0) return stdout.split('\n').filter((line) => line !== '');
  const lacks = /'(\w+)': not found in kernel or module BTFs/.exec(stderr)?.[1];
  if (lacks === undefined || new RegExp(` ${lacks}\\b`).test(readFileSync('/proc/kallsyms', 'utf8')))
    throw new Error(`${object}: ${stderr}`);
  return [];
}

describe('the frame that the compiler reserves', () => {
  it('is never less than the stack that the verifier sees a function use', () => {
    const frames = readdirSync(OBJECTS)
      .filter((name) => name.endsWith('.bpf.o'))
      .flatMap((name) => {
        const compiled = reserved(join(OBJECTS, name));
        return verified(join(OBJECTS, name)).map((line) => {
          const [program, name, used] = line.split(' ') as [string, string, string];
          return { program, name, used: Number(used), reserved: compiled.get(name) };
        });
      });
    expect(frames.length).toBeGreaterThan(100);
    expect(frames.filter((f) => f.reserved === undefined || f.used > f.reserved)).toEqual([]);
    // the two speak of the same thing: most are equal to the byte
    const used = frames.filter((f) => f.used > 0);
    expect(used.filter((f) => f.used === f.reserved).length).toBeGreaterThan(used.length / 2);
  });
});
