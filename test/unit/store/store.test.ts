// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LevelStore } from '../../../src/store/level.js';
import { MemoryStore } from '../../../src/store/memory.js';
import { migrate, SCHEMA_KEY } from '../../../src/store/migrate.js';
import type { Store, StoreChange } from '../../../src/store/store.js';
import { failure } from '../support/model.js';

const directories: string[] = [];
afterAll(() => Promise.all(directories.map((path) => rm(path, { recursive: true }))));

async function levelStore(): Promise<Store> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-store-'));
  directories.push(path);
  return new LevelStore(join(path, 'state'));
}

describe.each([
  ['memory', async () => new MemoryStore()],
  ['level', levelStore],
])('every engine: %s', (_, create) => {
  const withStore = async (run: (store: Store) => Promise<void>): Promise<void> => {
    const store = await create();
    await store.open();
    try {
      await run(store);
    } finally {
      await store.close();
    }
  };

  test('puts, gets, lists in order, deletes', () =>
    withStore(async (store) => {
      await store.put('b/2', { x: 2 });
      await store.put('b/1', ['y', null, true]);
      await store.put('c', 'ä');
      expect(await store.get('b/2')).toEqual({ key: 'b/2', value: { x: 2 }, version: 1 });
      expect((await store.list('b/')).map(({ key }) => key)).toEqual(['b/1', 'b/2']);
      expect((await store.list('')).map(({ key }) => key)).toEqual(['b/1', 'b/2', 'c']);
      await store.delete('b/2');
      await store.delete('never/there');
      expect(await store.get('b/2')).toBeUndefined();
      expect((await store.get('c'))?.value).toBe('ä');
    }));

  test('versions grow over the whole store', () =>
    withStore(async (store) => {
      const first = await store.put('a', 1);
      const second = await store.transaction([
        { op: 'put', key: 'b', value: 1 },
        { op: 'put', key: 'c', value: 1 },
      ]);
      expect(second).toBeGreaterThan(first);
      expect((await store.list('')).map(({ version }) => version)).toEqual([first, second, second]);
    }));

  test('a precondition that fails leaves everything alone', () =>
    withStore(async (store) => {
      const version = await store.put('a', 1);
      const change = [
        { op: 'put', key: 'a', value: 2 },
        { op: 'put', key: 'b', value: 2 },
      ] as const;
      for (const wrong of [
        { key: 'a', version: 0 },
        { key: 'a', version: version + 1 },
        { key: 'z', version: 1 },
      ]) {
        expect((await failure(store.transaction(change, [wrong]))).code).toBe('conflict');
      }
      expect(await store.list('')).toEqual([{ key: 'a', value: 1, version }]);
      await store.transaction(change, [
        { key: 'a', version },
        { key: 'b', version: 0 },
      ]);
      expect((await store.list('')).map(({ value }) => value)).toEqual([2, 2]);
    }));

  test('of two transactions with the same precondition one wins', () =>
    withStore(async (store) => {
      const attempt = (value: number) =>
        store.transaction([{ op: 'put', key: 'a', value }], [{ key: 'a', version: 0 }]);
      const results = await Promise.allSettled([attempt(1), attempt(2), attempt(3)]);
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    }));

  test('watchers see their changes in commit order, until they leave', () =>
    withStore(async (store) => {
      const seen: StoreChange[][] = [];
      const leave = store.watch('n/', (changes) => seen.push([...changes]));
      const v1 = await store.transaction([
        { op: 'put', key: 'n/1', value: 1 },
        { op: 'put', key: 'other', value: 1 },
      ]);
      await store.put('other', 2);
      const v3 = await store.transaction([{ op: 'delete', key: 'n/1' }]);
      leave();
      await store.put('n/2', 2);
      expect(seen).toEqual([
        [{ type: 'put', key: 'n/1', value: 1, version: v1 }],
        [{ type: 'delete', key: 'n/1', version: v3 }],
      ]);
    }));

  test('a key twice in a transaction is a defect', () =>
    withStore(async (store) => {
      const twice = [
        { op: 'put', key: 'a', value: 1 },
        { op: 'delete', key: 'a' },
      ] as const;
      expect((await failure(store.transaction(twice))).code).toBe('internal');
    }));

  test('what was given and taken is nobody else’s', () =>
    withStore(async (store) => {
      const value = { list: [1] };
      await store.put('a', value);
      value.list.push(2);
      const entry = await store.get('a');
      expect(entry?.value).toEqual({ list: [1] });
      (entry as unknown as { value: { list: number[] } }).value.list.push(3);
      expect((await store.get('a'))?.value).toEqual({ list: [1] });
    }));

  test('migrations run once, in order, each noting its number', () =>
    withStore(async (store) => {
      const rename = (schema: number) => ({
        schema,
        what: `step ${schema}`,
        run: async (s: Store) =>
          (await s.list('x/')).map(
            ({ key, value }) => ({ op: 'put', key, value: `${value}-${schema}` }) as const,
          ),
      });
      await migrate(store, []);
      await store.put('x/1', 'v');
      expect((await migrate(store, [rename(3), rename(2)])).map(({ schema }) => schema)).toEqual([2, 3]);
      expect((await store.get('x/1'))?.value).toBe('v-2-3');
      expect(await migrate(store, [rename(2), rename(3)])).toEqual([]);
      expect((await store.get('x/1'))?.value).toBe('v-2-3');
      expect((await failure(migrate(store, []))).message).toMatch(/schema 3, this version reads 1/);
      expect((await failure(migrate(store, [rename(3)]))).code).toBe('internal');
      await store.put(SCHEMA_KEY, 'what');
      expect((await failure(migrate(store, [rename(2)]))).message).toContain("'schema'");
    }));
});
