// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import { Ledger } from '../../../src/cnm/ledger.js';
import { Locks } from '../../../src/cnm/locks.js';
import { FaultyStore, failure } from '../support/model.js';

const turn = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('locks', () => {
  test('are shared by readers, exclusive to writers, first come first served', async () => {
    const locks = new Locks();
    const log: string[] = [];
    const hold = (name: string, mode: 'shared' | 'exclusive') =>
      locks.with('network', 'x', mode, async () => {
        log.push(`+${name}`);
        await turn(2);
        log.push(`-${name}`);
      });
    await Promise.all([
      hold('r1', 'shared'),
      hold('r2', 'shared'),
      hold('w', 'exclusive'),
      hold('r3', 'shared'),
    ]);
    expect(log).toEqual(['+r1', '+r2', '-r1', '-r2', '+w', '-w', '+r3', '-r3']);
  });

  test('are given back when the task fails', async () => {
    const locks = new Locks();
    await expect(
      locks.with('network', 'x', 'exclusive', async () => Promise.reject(new Error('no'))),
    ).rejects.toThrow('no');
    expect(await locks.with('network', 'x', 'exclusive', async () => 'yes')).toBe('yes');
  });
});

describe('the ledger', () => {
  test('refuses what somebody else changed meanwhile', async () => {
    const store = new FaultyStore();
    const ledger = new Ledger(store, silentLog());
    await ledger.write([{ op: 'put', key: 'a', value: 1 }]);
    await store.put('a', 'theirs');
    expect((await failure(ledger.write([{ op: 'put', key: 'a', value: 2 }]))).code).toBe('conflict');
    expect((await store.get('a'))?.value).toBe('theirs');
  });

  test('puts back what it owes with the next write, and then no more', async () => {
    const store = new FaultyStore();
    const sizes: number[] = [];
    store.watch('', (changes) => sizes.push(changes.length));
    const ledger = new Ledger(store, silentLog());
    await ledger.write([{ op: 'put', key: 'a', value: 1 }]);
    store.failAfter = 1;
    await ledger.revert([{ op: 'delete', key: 'a' }]);
    expect(await store.list('')).toHaveLength(1);
    await ledger.write([{ op: 'put', key: 'b', value: 1 }]);
    await ledger.write([{ op: 'put', key: 'c', value: 1 }]);
    expect((await store.list('')).map(({ key }) => key)).toEqual(['b', 'c']);
    expect(sizes).toEqual([1, 2, 1]);
  });

  test('keeps transactions within what a store takes', async () => {
    const store = new FaultyStore();
    const sizes: number[] = [];
    store.watch('', (changes) => sizes.push(changes.length));
    const ledger = new Ledger(store, silentLog());
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => ledger.write([{ op: 'put', key: `k${i}`, value: i }])),
    );
    expect(sizes).toEqual([1, 128, 128, 43]);
    await ledger.write([]);
    await ledger.drain();
    expect(sizes).toHaveLength(4);
  });
});
