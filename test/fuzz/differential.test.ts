// SPDX-License-Identifier: Apache-2.0
/**
 * Random scripts of packets, played to Sluice and to a host that does the same
 * with nftables: what comes out on every side is the same but for the ports
 * that were chosen, and for what ./differences.ts lists, each of which is there
 * and is just what it says.
 *
 * SLUICE_FUZZ_SEED repeats a run, SLUICE_FUZZ_SCRIPTS says how many of each
 * family, SLUICE_FUZZ_FAMILY has it play those of one family alone.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Differential, report } from '../support/differential.js';
import { Random, seedOf } from '../support/random.js';
import { type Side, startSides } from '../support/reference.js';
import { makeScript } from '../support/script.js';
import { DIFFERENCES } from './differences.js';

const SCRIPTS = Number(process.env['SLUICE_FUZZ_SCRIPTS'] || 12);
const SEED = seedOf(process.env['SLUICE_FUZZ_SEED']);
const FAMILIES = ([4, 6] as const).filter((f) => Number(process.env['SLUICE_FUZZ_FAMILY'] || f) === f);

describe.each(FAMILIES)('of IPv%i', (family) => {
  let sluice: Side;
  let netfilter: Side;

  beforeAll(async () => {
    ({ sluice, netfilter } = await startSides(family));
  });
  afterAll(async () => {
    await netfilter?.stop();
    await sluice?.stop();
  });

  it('does with random scripts what netfilter does', { timeout: 60_000 + SCRIPTS * 5_000 }, async () => {
    const pair = new Differential(sluice, netfilter, DIFFERENCES);
    for (let n = 0; n < SCRIPTS; n++) {
      const found = await pair.play(makeScript(new Random(SEED + n), family));
      if (found) {
        const shortest = await pair.shorten(found);
        expect.fail(`seed ${SEED + n}, family ${family}: ${report(shortest)}`);
      }
    }
    console.log(
      `seed ${SEED}, family ${family}: ${SCRIPTS} scripts, ${pair.alike} packets alike`,
      Object.fromEntries(pair.met),
    );
    // so that silence on both sides does not count as agreement
    expect(pair.alike).toBeGreaterThan(SCRIPTS);
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
