// SPDX-License-Identifier: Apache-2.0
/** Every difference that the scripts may show is there, and is just what it says. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Differential, report } from '../support/differential.js';
import { type Side, startSides } from '../support/reference.js';
import { DIFFERENCES } from './differences.js';

describe.each([4, 6] as const)('of IPv%i', (family) => {
  let sluice: Side;
  let netfilter: Side;

  beforeAll(async () => {
    ({ sluice, netfilter } = await startSides(family));
  });
  afterAll(async () => {
    await netfilter?.stop();
    await sluice?.stop();
  });

  const differences = DIFFERENCES.filter((d) => (d.family ?? family) === family);
  it.each(differences.map((d) => [d.name, d.reason, d] as const))(
    'differs from netfilter still: %s: %s',
    async (_name, _reason, difference) => {
      const pair = new Differential(sluice, netfilter, [difference]);
      const other = await pair.play(difference.example(family));
      expect(other && report(other)).toBe(null);
      expect([...pair.met.keys()]).toEqual([difference.name]);
    },
  );
});
