// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import type { Owner, Row } from '../../../src/cnm/rows.js';
import { FakeKernel, fakeReconciler } from './fake.js';
import { endpointOwner, endpointRows, NETWORK, networkRows, SANDBOX } from './rows.js';

const NETNS: Row = { kind: 'netns', path: '/run/netns/x' };

describe('apply', () => {
  it('brings an endpoint up in order: device, data and program, link up, ports last', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    const at = (what: string) => kernel.journal.findIndex((line) => line.startsWith(what));
    expect(at('update port')).toBe(0);
    for (const data of ['update dp-endpoint', 'update neighbour', 'update fdb', 'update attachment']) {
      expect(at(data)).toBeGreaterThan(at('update port'));
      expect(at(data)).toBeLessThan(at('raise port'));
    }
    expect(at('update dp-endpoint')).toBeLessThan(at('update attachment'));
    expect(at('update publish')).toBe(kernel.journal.length - 1);
    expect(reconciler.status().every((s) => s.state === 'done')).toBe(true);
  });

  it('takes down in reverse and forgets', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    kernel.journal.length = 0;
    await reconciler.apply(endpointOwner(1), []);
    expect(kernel.journal[0]).toMatch(/^delete publish/);
    expect(kernel.journal.at(-1)).toBe('delete attachment slv1/endpoint_ingress');
    expect(kernel.state.size).toBe(0);
    expect(reconciler.status()).toEqual([]);
  });

  it('touches only what differs', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    kernel.journal.length = 0;
    await reconciler.apply(endpointOwner(1), endpointRows(1, 3));
    expect(kernel.journal.sort()).toEqual(['update publish 102', 'update publish 103']);
    kernel.journal.length = 0;
    await reconciler.apply(endpointOwner(1), endpointRows(1, 1));
    expect(kernel.journal.sort()).toEqual(['delete publish 102', 'delete publish 103']);
  });

  it('runs owners side by side and one owner in sequence', async () => {
    const { reconciler, kernel } = fakeReconciler();
    let running = 0;
    let most = 0;
    kernel.intervene = (what) => {
      if (!what.includes('update port')) return;
      // Asked twice an operation: at its begin and at its effect.
      running += kernel.journal.includes(what) ? -1 : 1;
      most = Math.max(most, running);
    };
    await Promise.all(
      Array.from({ length: 100 }, (_, n) => reconciler.apply(endpointOwner(n), endpointRows(n))),
    );
    expect(most).toBe(100);

    const order: string[] = [];
    await Promise.all([
      reconciler.apply(NETWORK, networkRows()).then(() => order.push('first')),
      reconciler.apply(NETWORK, []).then(() => order.push('second')),
    ]);
    expect(order).toEqual(['first', 'second']);
    expect(reconciler.status().some((s) => s.owner.kind === 'network')).toBe(false);
  });

  it('rejects with the first cause, keeps the row in error, and starts nothing behind it', async () => {
    const { reconciler, kernel } = fakeReconciler();
    kernel.intervene = (what) => {
      if (what === 'update attachment slv1/endpoint_ingress') throw new SluiceError('kernel', 'no');
    };
    await expect(reconciler.apply(endpointOwner(1), endpointRows(1))).rejects.toThrow('no');
    const states = Object.fromEntries(reconciler.status().map((s) => [s.row.kind, s.state]));
    expect(states).toMatchObject({
      attachment: 'error',
      publish: 'pending',
      port: 'pending',
      'dp-endpoint': 'done',
    });
    expect(kernel.journal.some((line) => line.startsWith('raise') || line.includes('publish'))).toBe(false);
  });

  it('undoes by applying what was before', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    const before = new Map(kernel.state);
    kernel.intervene = (what) => {
      if (what === 'update publish 103') throw new SluiceError('kernel', 'no');
    };
    await expect(reconciler.apply(endpointOwner(1), endpointRows(1, 4))).rejects.toThrow('no');
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    expect(kernel.state).toEqual(before);
  });

  it('refuses a key that another owner wants, with nothing changed', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(SANDBOX, [NETNS]);
    kernel.journal.length = 0;
    const other: Owner = { kind: 'sandbox', id: 's2' };
    await expect(reconciler.apply(other, [NETNS])).rejects.toMatchObject({ code: 'conflict' });
    expect(kernel.journal).toEqual([]);
  });

  it('lets another owner have a key whose removal has failed', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(SANDBOX, [NETNS]);
    kernel.intervene = (what) => {
      if (what.startsWith('delete')) throw new SluiceError('kernel', 'busy');
    };
    await expect(reconciler.apply(SANDBOX, [])).rejects.toThrow('busy');
    kernel.intervene = () => {};
    await reconciler.apply({ kind: 'sandbox', id: 's2' }, [NETNS]);
    await reconciler.retry();
    expect(kernel.state.has('netns /run/netns/x')).toBe(true);
    expect(reconciler.status().map((s) => [s.owner.id, s.state])).toEqual([['s2', 'done']]);
  });
});

describe('retry', () => {
  it('comes back to failed rows with growing distance', async () => {
    const { reconciler, kernel, clock } = fakeReconciler();
    let broken = true;
    kernel.intervene = (what) => {
      if (broken && what.startsWith('update dp-network')) throw new SluiceError('kernel', 'no');
    };
    await expect(reconciler.apply(NETWORK, networkRows())).rejects.toThrow();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      const next = reconciler.nextRetry() as number;
      waits.push(next - clock.time);
      clock.time = next - 1;
      const attempts = kernel.journal.length;
      await reconciler.retry();
      expect(kernel.journal.length).toBe(attempts);
      clock.time = next;
      await reconciler.retry();
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
    broken = false;
    clock.time = reconciler.nextRetry() as number;
    await reconciler.retry();
    expect(reconciler.nextRetry()).toBeNull();
    expect(reconciler.status().every((s) => s.state === 'done')).toBe(true);
  });

  it('looks again at rows whose link has gone', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    kernel.state.delete('port slv1');
    reconciler.invalidate(
      (row) => 'link' in row && row.link === 'slv1',
      new SluiceError('kernel', 'link slv1 is gone'),
    );
    expect(reconciler.status().find((s) => s.row.kind === 'port')).toMatchObject({
      state: 'error',
      error: 'link slv1 is gone',
    });
    await reconciler.retry();
    expect(kernel.state.get('port slv1')?.up).toBe(true);
    expect(reconciler.status().every((s) => s.state === 'done')).toBe(true);
  });
});

describe('full pass', () => {
  it('adopts what is there without touching it', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    kernel.journal.length = 0;
    const second = fakeReconciler(kernel).reconciler;
    second.load(new Map([[endpointOwner(1), endpointRows(1)]]));
    const report = await second.fullPass();
    expect(kernel.journal).toEqual([]);
    expect(report).toMatchObject({ adopted: 6, updated: 0, repaired: 0, pruned: [], failed: 0 });
  });

  it('repairs and counts what was lost or changed, and removes what nobody wants', async () => {
    const { reconciler, kernel } = fakeReconciler();
    await reconciler.apply(NETWORK, networkRows());
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    kernel.state.delete('fdb slv1/02:42:0a:40:00:02');
    kernel.state.set('netns /run/netns/left', { row: { kind: 'netns', path: '/run/netns/left' }, up: true });
    const report = await reconciler.fullPass();
    expect(report).toMatchObject({ repaired: 1, pruned: ['netns /run/netns/left'], failed: 0 });
    expect(Object.fromEntries(reconciler.meter.repairs)).toEqual({ fdb: 1, netns: 1 });
    expect(await reconciler.fullPass()).toMatchObject({ repaired: 0, pruned: [] });
  });

  it('does not take for lost what was brought up while it looked', async () => {
    const { reconciler } = fakeReconciler();
    const pass = reconciler.fullPass();
    await reconciler.apply(endpointOwner(1), endpointRows(1));
    expect(await pass).toMatchObject({ repaired: 0 });
    expect(reconciler.meter.repairs.size).toBe(0);
  });
});

describe('any crash', () => {
  const change = fc.record({
    owner: fc.integer({ min: 1, max: 4 }),
    publishes: fc.integer({ min: -1, max: 4 }),
  });

  it('at any step of any changes is mended by a pass of the next process', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 8 }),
        fc.nat(80),
        async (changes, fuse) => {
          const kernel = new FakeKernel();
          kernel.fuse = fuse;
          const first = fakeReconciler(kernel).reconciler;
          // As the model does it: intent is stored before it is applied.
          const intent = new Map<number, Row[]>();
          await Promise.allSettled(
            changes.map(({ owner, publishes }) => {
              const rows = publishes < 0 ? [] : endpointRows(owner, publishes);
              intent.set(owner, rows);
              return first.apply(endpointOwner(owner), rows);
            }),
          );
          kernel.fuse = Number.POSITIVE_INFINITY;

          const next = fakeReconciler(kernel).reconciler;
          next.load(new Map([...intent].map(([n, rows]) => [endpointOwner(n), rows])));
          await next.fullPass();
          const wanted = [...intent.values()].flat();
          expect(kernel.state.size).toBe(wanted.length);
          expect([...kernel.state.values()].every(({ up }) => up)).toBe(true);
          expect(next.status().every((s) => s.state === 'done')).toBe(true);
          // and again changes nothing
          const state = structuredClone(kernel.state);
          expect(await next.fullPass()).toMatchObject({ repaired: 0 });
          expect(kernel.state).toEqual(state);
        },
      ),
      { numRuns: 300 },
    );
  });
});
