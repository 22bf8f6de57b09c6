// SPDX-License-Identifier: Apache-2.0
/** Which backend a connection gets: the choice itself, asked by the hundred thousand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compile } from '../../src/loader/compile.js';
import type { LoadedObject } from '../../src/loader/programs.js';
import { backend_state, service_flag } from '../../src/maps/generated/enums.js';
import { bpfNative } from '../../src/native/bpf.js';
import { TestDataplane } from '../support/dataplane.js';
import { Random } from '../support/random.js';
import { type TestBackend, type TestService, writeService } from '../support/service.js';

const VIP = '10.64.0.100';
const PICKS = 200_000;
const BY_FLOW = service_flag.SERVICE_BY_FLOW;
/** Of ten weights, adding up to 100. */
const WEIGHTS = [1, 2, 3, 5, 7, 9, 12, 16, 20, 25];

let work: string;
let d: TestDataplane;
let chooser: LoadedObject;
/** Of the service: each test has its own. */
let number = 1;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'sluice-choose-'));
  const object = join(work, 'choose.bpf.o');
  await compile(join(import.meta.dirname, 'fixtures/choose.bpf.c'), object);
  d = await TestDataplane.load();
  chooser = await d.foreign(object);
});
afterAll(() => {
  d.close();
  rmSync(work, { recursive: true });
});

const fd = (name: string): number => (chooser.maps.get(name) as { fd: number }).fd;
const index = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};

function answer(n: number): number {
  const value = Buffer.alloc(4);
  bpfNative().bpfMapLookup(fd('answers'), index(n), value);
  return value.readUInt32LE();
}

async function run(program: string, times: number, byClient = false): Promise<void> {
  const question = Buffer.alloc(16);
  Buffer.from(VIP.split('.').map(Number)).copy(question, 0);
  question.writeUInt16BE(80, 4);
  question[6] = 6;
  question.writeUInt32LE(times, 8);
  question.writeUInt32LE(byClient ? 1 : 0, 12);
  bpfNative().bpfMapUpdate(fd('question'), index(0), question, 0);
  await chooser.programs.get(program)?.testRun({ data: Buffer.alloc(64), repeat: 1 });
}

/** What each of so many flows, or clients, gets. */
async function ask(times: number, byClient = false): Promise<number[]> {
  await run('choose', times, byClient);
  const keys = Buffer.alloc(4 * times);
  const values = Buffer.alloc(4 * times);
  const { count } = bpfNative().bpfMapLookupBatch(fd('answers'), null, Buffer.alloc(4), keys, values, times);
  expect(count).toBe(times);
  return Array.from({ length: times }, (_, i) => values.readUInt32LE(4 * i));
}

/** Each backend has the endpoint in the slot of its id. */
const backends = (weights: number[]): TestBackend[] =>
  weights.map((weight, i) => ({ id: i + 1, endpoint: i + 1, generation: 7, weight }));

function write(s: Partial<TestService> & { backends: TestBackend[] }): void {
  writeService(d.maps, {
    number,
    net: 1,
    vips: [VIP],
    ports: [{ port: 80, protocol: 6, to: 8080 }],
    ...s,
  });
}

beforeEach(() => {
  number++;
  d.fill();
  const first = d.maps.endpoints.get(1);
  if (!first) throw new Error('no endpoint');
  for (let slot = 1; slot <= 64; slot++) d.maps.endpoints.set(slot, { ...first, sandbox: slot });
});

/** Pearson's statistic of what was counted against what the weights promise. */
function chiSquare(answers: number[], weights: number[]): number {
  const sum = weights.reduce((a, b) => a + b);
  return weights.reduce((total, weight, i) => {
    const promised = (answers.length * weight) / sum;
    const got = answers.filter((id) => id === i + 1).length;
    return total + (got - promised) ** 2 / promised;
  }, 0);
}

describe('the spread over ten weighted backends', () => {
  // nine degrees of freedom, p = 0.001
  const WORST = 27.88;

  it('is that of the weights, at random', async () => {
    write({ backends: backends(WEIGHTS) });
    const first = chiSquare(await ask(PICKS), WEIGHTS);
    // chance exceeds it once in a thousand times, and twice in a row once in a million
    expect(first < WORST ? first : chiSquare(await ask(PICKS), WEIGHTS)).toBeLessThan(WORST);
  });

  it('is that of the weights, by rendezvous', async () => {
    write({ backends: backends(WEIGHTS), flags: BY_FLOW });
    expect(chiSquare(await ask(PICKS), WEIGHTS)).toBeLessThan(WORST);
  });

  it('is that of the weights where they differ a thousandfold', async () => {
    const weights = [1000, 1000, 500, 1];
    write({ backends: backends(weights), flags: BY_FLOW });
    expect(chiSquare(await ask(PICKS), weights)).toBeLessThan(16.27);
  });

  it.each([
    ['by flow', BY_FLOW],
    ['at random', 0],
  ])('is that of the table where there is one, %s', async (_name, flags) => {
    const count = 40;
    const places = Array.from({ length: 4093 }, (_, i) => i % count);
    write({ backends: backends(Array(count).fill(1)), places, table: 8192, slots: 64, flags });
    const shares = Array.from({ length: count }, (_, n) => places.filter((slot) => slot === n).length);
    // 39 degrees of freedom, p = 0.001
    const first = chiSquare(await ask(PICKS), shares);
    expect(first < 72.05 ? first : chiSquare(await ask(PICKS), shares)).toBeLessThan(72.05);
  });
});

it('takes logarithms to five digits', async () => {
  const random = new Random(1);
  const draws = [1, 2, 3, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
  for (let i = 0; i < 2000; i++) draws.push(random.word());
  for (const draw of draws) {
    await run('length', draw);
    const [low, high] = [answer(0), answer(1)];
    const exact = -Math.log1p((2 * draw + 1 - 2 ** 33) / 2 ** 33) / Math.LN2;
    // and to the last two of its 32 bits behind the point
    expect(Math.abs(high + low / 2 ** 32 - exact), String(draw)).toBeLessThan(2e-5 * exact + 2 ** -30);
  }
});

describe('by flow', () => {
  it('gives the same flow the same backend', async () => {
    write({ backends: backends(WEIGHTS), flags: BY_FLOW });
    expect(await ask(5_000)).toEqual(await ask(5_000));
  });

  it.each([2, 10, 32])('of %i backends, moves no flow but those of one that goes', async (count) => {
    const all = backends(Array.from({ length: count }, (_, i) => 1 + (i % 5)));
    write({ backends: all, flags: BY_FLOW });
    const before = await ask(20_000);
    const gone = Math.ceil(count / 2);
    write({ backends: all.filter(({ id }) => id !== gone), flags: BY_FLOW, slots: 128 });
    const after = await ask(20_000);
    expect(before).toContain(gone);
    expect(after).not.toContain(gone);
    expect(after.filter((id, i) => before[i] !== gone && id !== before[i])).toEqual([]);
  });

  it('does not depend on the order of the backends', async () => {
    const all = backends(WEIGHTS);
    write({ backends: all, flags: BY_FLOW });
    const before = await ask(5_000);
    write({ backends: [...all].reverse(), flags: BY_FLOW, slots: 128 });
    expect(await ask(5_000)).toEqual(before);
  });
});

describe('who is there', () => {
  it('is nobody where the service has no backend', async () => {
    write({ backends: [] });
    expect(new Set(await ask(10))).toEqual(new Set([0]));
  });

  it.each([
    ['at random', 0],
    ['by flow', BY_FLOW],
  ])('leaves out, %s, a container that left before its slot', async (_name, flags) => {
    write({ backends: backends([1, 1, 1]), flags });
    const ep = d.maps.endpoints.get(2);
    if (!ep) throw new Error('no endpoint');
    d.maps.endpoints.set(2, { ...ep, generation: 8 });
    const answers = await ask(10_000);
    expect(answers).not.toContain(2);
    expect(new Set(answers).size).toBeLessThan(4);
    expect(answers.filter((id) => id === 1).length).toBeGreaterThan(4_000);
    expect(answers.filter((id) => id === 3).length).toBeGreaterThan(4_000);
  });

  it('counts how often each was chosen', async () => {
    for (let id = 1; id <= 3; id++)
      d.maps.backend_load.set(id, { picks: 0n, flows: 0n, sockets: 0n, active: 0, counted: 0 });
    write({ backends: backends([1, 2, 3]) });
    const answers = await ask(6_000);
    for (let id = 1; id <= 3; id++)
      expect(d.maps.backend_load.get(id)?.picks).toBe(BigInt(answers.filter((a) => a === id).length));
  });
});

describe('affinity', () => {
  const AFFINITY = 600;
  const TICKS = Math.ceil((AFFINITY * 1e9) / 2 ** 30);
  const keyOf = (endpoint: number) => ({ service: number, endpoint, client: '::' });

  it('keeps every client with its backend, without counting that as a choice', async () => {
    write({ backends: backends(WEIGHTS), affinity: AFFINITY });
    const before = await ask(1_000, true);
    const picks = (): bigint =>
      WEIGHTS.reduce((sum, _, i) => sum + (d.maps.backend_load.get(i + 1)?.picks ?? 0n), 0n);
    const counted = picks();
    expect(new Set(before).size).toBe(10);
    expect(await ask(1_000, true)).toEqual(before);
    expect(picks()).toBe(counted);
  });

  it('ends when the client has not been there for so long, and begins again with every visit', async () => {
    write({ backends: backends([1, 1]), affinity: AFFINITY });
    const [first] = await ask(1, true);
    const seen = d.maps.service_affinity.get(keyOf(1))?.seen ?? 0;
    // still known: the visit is noted
    d.maps.service_affinity.set(keyOf(1), { backend: first as number, seen: seen - TICKS + 2 });
    expect(await ask(1, true)).toEqual([first]);
    expect((d.maps.service_affinity.get(keyOf(1))?.seen ?? 0) - seen).toBeGreaterThanOrEqual(0);
    const moved: number[] = [];
    for (let i = 0; i < 40; i++) {
      d.maps.service_affinity.set(keyOf(1), { backend: first as number, seen: seen - TICKS - 2 });
      moved.push(...(await ask(1, true)));
    }
    expect(new Set(moved).size).toBe(2);
  });

  it.each([
    ['draining', backend_state.BACKEND_DRAINING],
    ['gone', backend_state.BACKEND_NONE],
  ])('ends with a backend that is %s', async (_name, state) => {
    const all = backends([1, 1]);
    write({ backends: all, affinity: AFFINITY });
    const before = await ask(200, true);
    write({ backends: all.map((b) => (b.id === 1 ? { ...b, state } : b)), affinity: AFFINITY, slots: 16 });
    const after = await ask(200, true);
    expect(before).toContain(1);
    expect(after).not.toContain(1);
  });

  it('is each service its own', async () => {
    write({ backends: backends([1]), affinity: AFFINITY });
    await ask(1, true);
    write({ number: ++number, backends: [{ id: 2, endpoint: 2, generation: 7 }], affinity: AFFINITY });
    expect(await ask(1, true)).toEqual([2]);
  });
});
