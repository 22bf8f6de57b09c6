// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import type { Row } from '../../../src/cnm/rows.js';
import { FakeKernel, fakeReconciler } from './fake.js';
import { endpointOwner, endpointRows } from './rows.js';

const row = (n: number, mac: number): Row => ({
  kind: 'neighbour',
  link: 'br0',
  address: `10.64.0.${n}`,
  mac: `02:00:00:00:00:0${mac}`,
});

describe('what is unfinished', () => {
  it('waits for the row that failed before it, also if it was lost with a reason of its own', async () => {
    const kernel = new FakeKernel();
    const { reconciler, clock } = fakeReconciler(kernel);
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    reconciler.invalidate(() => true, new SluiceError('kernel', 'the link is gone'));
    let tries = 0;
    kernel.intervene = (what) => {
      if (!what.startsWith('update port')) return;
      tries++;
      throw new Error('the namespace is gone');
    };
    for (let ms = 0; ms < 900; ms += 100, clock.time += 100) await reconciler.retry();
    expect(tries).toBe(1);
    expect(reconciler.nextRetry()).toBeGreaterThan(clock.time);
  });

  it('is known without looking at every row, whatever has happened', async () => {
    const step = fc.oneof(
      fc.record({
        owner: fc.integer({ min: 1, max: 2 }),
        rows: fc.uniqueArray(fc.integer({ min: 1, max: 4 })),
        mac: fc.integer({ min: 1, max: 2 }),
      }),
      fc.record({ failing: fc.constantFrom('update', 'delete', 'nothing') }),
      fc.record({ lose: fc.integer({ min: 1, max: 4 }) }),
      fc.constantFrom('retry' as const, 'pass' as const, 'invalidate' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const kernel = new FakeKernel();
        const { reconciler, tables, clock } = fakeReconciler(kernel);
        for (const s of steps) {
          clock.time += 60_000;
          if (s === 'retry') await reconciler.retry();
          else if (s === 'pass') await reconciler.fullPass();
          else if (s === 'invalidate') reconciler.invalidate(() => true, null);
          else if ('lose' in s) kernel.state.delete(`neighbour br0/10.64.0.${s.lose}`);
          else if ('failing' in s) {
            kernel.intervene = (what) => {
              if (what.startsWith(s.failing)) throw new Error('refused');
            };
          } else {
            const rows = s.rows.map((n) => row(n, s.mac));
            await reconciler.apply(endpointOwner(s.owner), rows).catch(() => undefined);
          }
          const looked = tables.all().filter((e) => e.state !== 'done' || !e.wanted);
          // an entry that has a successor of its key is its owner's alone
          expect(tables.unfinished().filter((e) => tables.current(e))).toHaveLength(looked.length);
          expect(new Set(tables.unfinished())).toEqual(new Set([...tables.unfinished(), ...looked]));
          expect(reconciler.problems()).toHaveLength(
            tables.unfinished().filter((e) => e.state !== 'done').length,
          );
        }
        kernel.intervene = () => undefined;
        clock.time += 600_000;
        await reconciler.retry();
        expect(reconciler.nextRetry()).toBeNull();
        expect(tables.unfinished()).toEqual([]);
        expect(reconciler.status().every(({ state }) => state === 'done')).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
