// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { maglevTable, placesFor, type Weighted } from '../../../../src/reconcile/service/maglev.js';

function backends(count: number, weight: (i: number) => number = () => 1): Weighted[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `backend-${String(i).padStart(5, '0')}`,
    weight: weight(i),
  }));
}

/** By name: of the places, those it has. */
function shares(table: Uint16Array, of: readonly Weighted[]): Map<string, number> {
  const counts = new Map(of.map(({ name }) => [name, 0]));
  for (const index of table) {
    const { name } = of[index] as Weighted;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Of the places of those that stay, the part that is another one's now. */
function moved(before: Uint16Array, old: readonly Weighted[], after: Uint16Array, now: readonly Weighted[]) {
  const stays = new Set(now.map(({ name }) => name));
  let [kept, lost] = [0, 0];
  before.forEach((index, place) => {
    const { name } = old[index] as Weighted;
    if (!stays.has(name)) return;
    if ((now[after[place] as number] as Weighted).name === name) kept++;
    else lost++;
  });
  return lost / (kept + lost);
}

describe('a Maglev table', () => {
  it('has a prime number of places, two hundred for each backend while there are so many', () => {
    expect([33, 40, 41, 81, 82, 163, 164, 327, 328, 655, 656, 5000].map(placesFor)).toEqual([
      8191, 8191, 16381, 16381, 32749, 32749, 65521, 65521, 131071, 131071, 131071, 131071,
    ]);
  });

  it.each([33, 81, 300, 655])('gives each of %d equal backends an equal share', (count) => {
    const all = backends(count);
    const table = maglevTable(all);
    const even = table.length / count;
    for (const share of shares(table, all).values()) expect(Math.abs(share - even)).toBeLessThan(1);
  });

  it('gives shares in proportion to weights', () => {
    const weights = [1, 2, 3, 7, 10];
    const all = backends(50, (i) => weights[i % weights.length] as number);
    const table = maglevTable(all);
    const sum = all.reduce((total, { weight }) => total + weight, 0);
    const counts = shares(table, all);
    for (const { name, weight } of all) {
      const wanted = (table.length * weight) / sum;
      // a place is the smallest share there is
      expect(Math.abs((counts.get(name) as number) - wanted)).toBeLessThanOrEqual(Math.max(1, wanted * 0.01));
    }
  });

  it('leaves none without a place, however light', () => {
    const all = backends(200, (i) => (i === 0 ? 1 : 1000));
    expect(shares(maglevTable(all), all).get('backend-00000')).toBe(1);
  });

  // the fewer places a backend has, the more of the others' move: about a hundred are the worst
  it.each([
    [33, () => 1, 0.02],
    [40, () => 1, 0.02],
    [64, () => 1, 0.02],
    [100, (i: number) => 1 + (i % 5), 0.02],
    [500, () => 1, 0.02],
    [1000, () => 1, 0.02],
    [500, (i: number) => (i % 10 === 0 ? 100 : 10), 0.02],
  ] as const)('moves few places of the others when one of %d goes', (count, weight, most) => {
    const all = backends(count, weight);
    const table = maglevTable(all);
    for (const gone of [0, Math.floor(count / 2), count - 1]) {
      const rest = all.filter((_, i) => i !== gone);
      const part = moved(table, all, maglevTable(rest, table.length), rest);
      expect(part).toBeLessThan(most);
    }
  });
});
