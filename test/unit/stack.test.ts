// SPDX-License-Identifier: Apache-2.0
/** The build's check of the stack of call chains, on small objects compiled for it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findClang } from '../../src/loader/compile.js';
import { packageRoot } from '../../src/native/load.js';

const SCRIPTS = join(packageRoot(), 'scripts');
const PRELUDE = `
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))
#define STATIC static __attribute__((noinline))
#define GLOBAL __attribute__((noinline))
/* a frame of BYTES, which nothing can be optimised out of */
#define FRAME(bytes) u64 frame[(bytes) / 8]; asm volatile("" : : "r"(frame), "r"(x) : "memory")
#define UNUSED __attribute__((unused))
UNUSED static long (*bpf_loop)(u32 n, void *callback, void *context, u64 flags) = (void *)181;
UNUSED static long (*bpf_find_vma)(void *task, u64 address, void *callback, void *context, u64 flags) = (void *)180;
UNUSED static long (*bpf_timer_set_callback)(void *timer, void *callback) = (void *)170;
extern int bpf_wq_set_callback_impl(void *wq, void *callback, u32 flags, void *aux)
	__attribute__((section(".ksyms")));
`;

let work: string;
let clang: string;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'sluice-stack-'));
  clang = (await findClang()) as string;
});
afterAll(() => rmSync(work, { recursive: true }));

function build(name: string, source: string, ...options: string[]): string {
  const object = join(work, `${name}.bpf.o`);
  const from = join(work, `${name}.c`);
  writeFileSync(from, PRELUDE + source);
  execFileSync(clang, ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...options, '-c', from, '-o', object]);
  return object;
}
const compiled = (name: string, source: string) => build(name, source, '-fstack-usage');

function run(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync('node', [join(SCRIPTS, 'bpf-stack.mjs'), ...args], {
    encoding: 'utf8',
  });
  return { status, out: stdout, err: stderr };
}
const SILENT = { status: 0, out: '', err: '' };
const listed = (object: string) => run('--list', object).out.trim().split('\n');

/** Static functions f1 to fN in a row, each with its frame; `a` calls the first. */
function row(frames: readonly number[]): string {
  const bodies = frames.map((bytes, i) => {
    const next = i + 1 < frames.length ? `f${i + 2}(x) + 1` : 'x';
    return `STATIC int f${i + 1}(u64 x) { FRAME(${bytes}); return ${next} + frame[0]; }`;
  });
  return `${bodies.reverse().join('\n')}\nSEC("tc") int a(u64 *p) { return f1(*p) + 1; }`;
}

describe('a chain of calls', () => {
  it('takes what its frames take, each rounded up to 32, and an empty one too', () => {
    expect(listed(compiled('row', row([40, 8, 64])))).toEqual(['192 row.bpf.o: a 0 > f1 40 > f2 8 > f3 64']);
  });

  it('is followed through static functions and global ones, for each program', () => {
    const object = compiled(
      'kinds',
      `GLOBAL int leaf(u64 x) { FRAME(16); return frame[0]; }
       STATIC int middle(u64 x) { FRAME(24); return leaf(x) + frame[0]; }
       SEC("tc") int a(u64 *p) { u64 x = *p; FRAME(8); return middle(x) + frame[0]; }
       SEC("xdp") int b(u64 *p) { return leaf(*p) + 1; }`,
    );
    expect(listed(object)).toEqual([
      '96 kinds.bpf.o: a 8 > middle 24 > leaf 16',
      '64 kinds.bpf.o: b 0 > leaf 16',
    ]);
  });

  it('goes on in the callback of bpf_loop, be it static or global, chosen or fixed', () => {
    const object = compiled(
      'loop',
      `GLOBAL int all(u32 i, u64 *p) { u64 x = i; FRAME(48); return frame[0]; }
       STATIC int some(u32 i, u64 *p) { u64 x = i; FRAME(104); return frame[0]; }
       STATIC int few(u32 i, u64 *p) { u64 x = i; FRAME(8); return frame[0]; }
       SEC("tc") int a(u64 *p) { bpf_loop(4, all, 0, 0); return bpf_loop(5, *p ? some : few, 0, 0); }`,
    );
    expect(listed(object)).toEqual([
      '160 loop.bpf.o: a 0 > some 104',
      '96 loop.bpf.o: a 0 > all 48',
      '64 loop.bpf.o: a 0 > few 8',
    ]);
  });

  it('goes on in a callback that is the third argument, or reaches bpf_loop past a timer’s call', () => {
    const object = compiled(
      'places',
      `STATIC int found(void *task, void *vma, u64 *p) { u64 x = 1; FRAME(40); return frame[0]; }
       __attribute__((used)) STATIC int each(u32 i, u64 *p) { u64 x = i; FRAME(104); return frame[0]; }
       SEC("tc") int a(u64 *p) { return bpf_find_vma(p, 0, found, 0, 0); }
       SEC("xdp") int b(u64 *p) {
         asm volatile("if r1 == 0 goto 1f; r2 = each ll; goto 2f; 1: call 170; 2: call 181"
           : : : "r0", "r1", "r2", "r3", "r4", "r5");
         return 0;
       }`,
    );
    expect(listed(object)).toEqual(['96 places.bpf.o: a 0 > found 40', '160 places.bpf.o: b 0 > each 104']);
  });

  it('begins anew in what a timer or a work queue starts later', () => {
    const object = compiled(
      'later',
      `STATIC int tick(void *map, int *key, u64 *p) { u64 x = *p; FRAME(40); return frame[0]; }
       STATIC int work(void *map, int *key, u64 *p) { u64 x = *p; FRAME(104); return frame[0]; }
       SEC("syscall") int a(u64 *p) {
         u64 x = *p; FRAME(16);
         return bpf_timer_set_callback(p, tick) + bpf_wq_set_callback_impl(p, work, 0, 0);
       }`,
    );
    expect(listed(object).sort()).toEqual([
      '128 later.bpf.o: work 104',
      '32 later.bpf.o: a 16',
      '64 later.bpf.o: tick 40',
    ]);
  });
});

describe('the check', () => {
  it('says nothing of 448 bytes, and names the chain of more', () => {
    expect(run(compiled('fits', row([200, 160, 32])))).toEqual(SILENT);
    const { status, out, err } = run(compiled('deep', row([200, 168, 32])), compiled('fits', row([8])));
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err).toBe(
      'bpf-stack: deep.bpf.o: a takes 480 bytes of stack, more than 448: a 0 > f1 200 > f2 168 > f3 32\n',
    );
  });

  it('measures every program of an object', () => {
    const object = compiled(
      'second',
      `${row([200, 168])}\nSEC("xdp") int b(u64 *p) { u64 x = *p; FRAME(40); return f1(x) + frame[0]; }`,
    );
    expect(run(object).err).toBe(
      'bpf-stack: second.bpf.o: b takes 480 bytes of stack, more than 448: b 40 > f1 200 > f2 168\n',
    );
  });

  it('refuses a ninth frame', () => {
    expect(run(compiled('eight', row(Array(7).fill(8))))).toEqual(SILENT);
    expect(run(compiled('nine', row(Array(8).fill(8)))).err).toContain(
      'a has 9 frames, more than 8: a 0 > f1 8',
    );
  });

  it('refuses a function that calls itself', () => {
    const object = compiled(
      'again',
      `STATIC int pong(u64 x);
       STATIC int ping(u64 x) { FRAME(8); return x ? pong(x - 1) + frame[0] : 3; }
       STATIC int pong(u64 x) { FRAME(8); return x ? ping(x - 2) + frame[0] : 4; }
       SEC("tc") int a(u64 *p) { return ping(*p) + 1; }`,
    );
    const { status, err } = run(object);
    expect(status).toBe(1);
    expect(err).toMatch(/again\.bpf\.o: (ping|pong) calls itself: a > /);
  });

  it('takes no object for good whose frames it does not know', () => {
    const { status, err } = run(build('bare', row([8])));
    expect(status).toBe(1);
    expect(err).toMatch(/bare\.bpf\.o: the frame of \w+ is not known/);
    const empty = join(work, 'empty.bpf.o');
    writeFileSync(empty, '');
    expect(run(empty)).toMatchObject({ status: 1, err: expect.stringContaining('not a 64-bit') });
    expect(existsSync(join(work, 'none.bpf.o'))).toBe(false);
    expect(run(join(work, 'none.bpf.o')).status).toBe(1);
  });
});

describe('the build', () => {
  it('fails with a chain above the bound, again too when nothing has changed', () => {
    const tree = join(work, 'tree');
    mkdirSync(join(tree, 'scripts'), { recursive: true });
    mkdirSync(join(tree, 'bpf/tc'), { recursive: true });
    for (const name of ['build-bpf.sh', 'bpf-stack.mjs'])
      copyFileSync(join(SCRIPTS, name), join(tree, 'scripts', name));
    const source = join(tree, 'bpf/tc/deep.bpf.c');
    const made = () => spawnSync('bash', [join(tree, 'scripts/build-bpf.sh')], { encoding: 'utf8' });
    writeFileSync(source, PRELUDE + row([200, 168, 64]));
    for (const stdout of ['build-bpf: bpf/tc/deep.bpf.c\n', ''])
      expect(made()).toMatchObject({
        status: 1,
        stdout,
        stderr: expect.stringContaining('a takes 512 bytes'),
      });
    writeFileSync(source, PRELUDE + row([200, 160]));
    expect(made()).toMatchObject({ status: 0, stderr: '' });
  });
});
