// SPDX-License-Identifier: Apache-2.0
/** What the fuzzer tolerates is there still. */
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { FuzzBed, PROGRAMS } from '../support/fuzzbed.js';
import { checkPacket } from '../support/invariants.js';
import { KNOWN } from './known.js';

let bed: FuzzBed | null = null;

beforeEach(async () => {
  await bed?.close();
  bed = await FuzzBed.start();
});
afterAll(() => bed?.close());

describe('known, and not mended yet:', () => {
  it.each(KNOWN.map((fault) => [fault.what, fault] as const))('%s', async (_, fault) => {
    const { runs } = bed as FuzzBed;
    const answers = await runs.run(
      fault.frames.map(([program, hex]) => ({
        program: PROGRAMS.indexOf(program),
        ifindex: (bed as FuzzBed).ifindex(program),
        flags: 0,
        data: Buffer.from(hex, 'hex'),
      })),
    );
    const [program, hex] = fault.frames.at(-1) as (typeof fault.frames)[number];
    const last = answers.at(-1) as (typeof answers)[number];
    const fate = last.verdict === 7 ? 'redirected' : last.verdict === 2 ? 'dropped' : 'passed';
    expect(checkPacket(program, fate, Buffer.from(hex, 'hex'), last.data)).not.toBe(null);
  });
});
