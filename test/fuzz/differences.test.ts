// SPDX-License-Identifier: Apache-2.0
/** Every difference that the scripts may show is there, and is just what it says. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Differential, report } from '../support/differential.js';
import { type Side, startSides } from '../support/reference.js';
import { DIFFERENCES } from './differences.js';

let sluice: Side;
let netfilter: Side;

beforeAll(async () => {
  ({ sluice, netfilter } = await startSides(4));
});
afterAll(async () => {
  await netfilter?.stop();
  await sluice?.stop();
});

describe('differs from netfilter still:', () => {
  it.each(DIFFERENCES.map((d) => [`${d.name}: ${d.reason}`, d] as const))('%s', async (_, difference) => {
    const pair = new Differential(sluice, netfilter, [difference]);
    const other = await pair.play(difference.example);
    expect(other && report(other)).toBe(null);
    expect([...pair.met.keys()]).toEqual([difference.name]);
  });
});
