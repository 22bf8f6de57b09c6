// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REST_MS, type Region, Regions } from '../../../../src/reconcile/service/regions.js';
import { ManualClock } from '../../support/clock.js';

describe('regions', () => {
  it('gives the first that is large enough, and joins what comes free', () => {
    const clock = new ManualClock();
    const regions = new Regions(100, clock);
    const [a, b, c] = [40, 20, 40].map((length) => regions.take(length)) as Region[];
    expect([a, b, c].map((r) => (r as Region).first)).toEqual([0, 40, 60]);
    expect(regions.take(1)).toBeNull();
    regions.release(c as Region);
    regions.release(a as Region);
    regions.release(b as Region);
    clock.advance(REST_MS);
    expect(regions.take(100)).toEqual({ first: 0, length: 100 });
  });

  it('lets what was left rest before it is used again', () => {
    const clock = new ManualClock();
    const regions = new Regions(10, clock);
    regions.release(regions.take(10) as Region);
    expect(regions.take(1)).toBeNull();
    expect(regions.rested).toBe(REST_MS);
    clock.advance(REST_MS - 1);
    expect([regions.take(1), regions.rested, regions.used]).toEqual([null, 1, 10]);
    clock.advance(1);
    expect(regions.take(10)).toEqual({ first: 0, length: 10 });
    expect(regions.rested).toBeNull();
  });

  it('gives back at once what nobody was led to', () => {
    const regions = new Regions(10, new ManualClock());
    regions.giveBack(regions.take(10) as Region);
    expect(regions.take(10)).not.toBeNull();
  });

  it('adopts what is free and refuses what is not', () => {
    const regions = new Regions(10, new ManualClock());
    expect(regions.adopt({ first: 4, length: 2 })).toBe(true);
    for (const [first, length] of [
      [5, 1],
      [3, 2],
      [0, 10],
      [8, 3],
      [12, 1],
      [2, 0],
    ] as const)
      expect(regions.adopt({ first, length })).toBe(false);
    expect(regions.take(5)).toBeNull();
    expect(regions.take(4)).toEqual({ first: 0, length: 4 });
    expect(regions.take(4)).toEqual({ first: 6, length: 4 });
    expect(regions.used).toBe(10);
  });

  it('never gives an entry twice, and all of them again in the end', () => {
    const step = fc.oneof(
      fc.record({ take: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ adopt: fc.integer({ min: 0, max: 60 }), length: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ release: fc.nat() }),
      fc.record({ giveBack: fc.nat() }),
      fc.record({ wait: fc.integer({ min: 0, max: REST_MS }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const clock = new ManualClock();
        const regions = new Regions(64, clock);
        const held: Region[] = [];
        const resting: Region[] = [];
        const note = (region: Region | null): void => {
          if (region === null) return;
          for (const other of [...held]) {
            const apart =
              region.first + region.length <= other.first || other.first + other.length <= region.first;
            expect(apart).toBe(true);
          }
          expect(region.first + region.length).toBeLessThanOrEqual(64);
          held.push(region);
        };
        const pick = (n: number): Region | undefined => held.splice(n % Math.max(held.length, 1), 1)[0];
        for (const s of steps) {
          if ('take' in s) note(regions.take(s.take));
          else if ('adopt' in s) {
            const region = { first: s.adopt, length: s.length };
            if (regions.adopt(region)) note(region);
          } else if ('release' in s) {
            const region = pick(s.release);
            if (region !== undefined) {
              regions.release(region);
              resting.push(region);
            }
          } else if ('giveBack' in s) {
            const region = pick(s.giveBack);
            if (region !== undefined) regions.giveBack(region);
          } else clock.advance(s.wait);
        }
        for (const region of held) regions.release(region);
        clock.advance(REST_MS);
        expect(regions.take(64)).toEqual({ first: 0, length: 64 });
      }),
    );
  });
});
