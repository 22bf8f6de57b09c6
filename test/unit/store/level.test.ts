// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LevelStore } from '../../../src/store/level.js';
import { failure } from '../support/model.js';

let directory: string;
let store: LevelStore;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sluice-level-'));
  store = new LevelStore(join(directory, 'state'));
  await store.open();
});
afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

test('what was committed is there again, versions go on', async () => {
  await store.put('a', 1);
  const version = await store.put('b', 2);
  await store.delete('b');
  await store.close();
  await store.open();
  expect(await store.list('')).toEqual([{ key: 'a', value: 1, version: 1 }]);
  expect(await store.put('c', 3)).toBeGreaterThan(version + 1);
});

test('the directory is for its owner only', async () => {
  expect((await stat(join(directory, 'state'))).mode & 0o777).toBe(0o700);
});

test('a second daemon on the same state is refused', async () => {
  const second = new LevelStore(join(directory, 'state'));
  const error = await failure(second.open());
  expect(error.code).toBe('daemon_running');
  expect(error.message).toContain(join(directory, 'state'));
  await second.close();
});

test('a closed store says so', async () => {
  await store.close();
  expect((await failure(store.put('a', 1))).code).toBe('unavailable');
  expect((await failure(store.get('a'))).code).toBe('unavailable');
});

test('a place that cannot be a directory is an error of the store', async () => {
  await writeFile(join(directory, 'file'), '');
  const error = await failure(new LevelStore(join(directory, 'file', 'state')).open());
  expect(error.code).toBe('store');
  expect(error.message).toContain('opened');
});

test.each([
  ['no JSON', () => 'nonsense'],
  ['a flipped digit', (text: string) => text.replace('"port":80', '"port":81')],
  ['another key’s value', (_: string, other: string) => other],
  ['cut off', (text: string) => text.slice(0, -4)],
])('a damaged value is named by its key: %s', async (_, damage) => {
  await store.put('endpoints/1', { port: 80 });
  await store.put('endpoints/2', { port: 80 });
  await store.close();
  const db = new ClassicLevel(join(directory, 'state'));
  const [text, other] = await db.getMany(['data/endpoints/1', 'data/endpoints/2']);
  await db.put('data/endpoints/1', damage(text as string, other as string));
  await db.close();
  await store.open();
  for (const run of [store.get('endpoints/1'), store.list('endpoints/')]) {
    const error = await failure(run);
    expect(error.code).toBe('store');
    expect(error.message).toContain("'endpoints/1'");
  }
  expect((await store.get('endpoints/2'))?.value).toEqual({ port: 80 });
});

/** The process may write no file beyond this size: to LevelDB the same as a full disk. */
function limitFileSize(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
}

test('a full disk fails the write alone, and passes', async () => {
  await store.put('a', 'before');
  const version = await store.put('b', 'before');
  limitFileSize(2048);
  try {
    for (let i = 0; i < 3; i++) {
      const change = [
        { op: 'put', key: 'a', value: 'x'.repeat(10_000) },
        { op: 'delete', key: 'b' },
      ] as const;
      const error = await failure(store.transaction(change));
      expect(error.code).toBe('store');
      expect(error.hint).toContain('disk');
    }
  } finally {
    limitFileSize('unlimited');
  }
  expect((await store.list('')).map(({ key, value }) => [key, value])).toEqual([
    ['a', 'before'],
    ['b', 'before'],
  ]);
  expect(await store.put('c', 'after')).toBe(version + 1);
  await store.close();
  await store.open();
  expect((await store.list('')).map(({ key, value }) => [key, value])).toEqual([
    ['a', 'before'],
    ['b', 'before'],
    ['c', 'after'],
  ]);
});

test('a batch that landed although its write failed is taken back', async () => {
  await store.put('a', 1);
  await store.put('b', 1);
  // The write happens, and then the engine reports an error, as after a failed sync.
  const { batch } = ClassicLevel.prototype;
  ClassicLevel.prototype.batch = function (this: ClassicLevel) {
    ClassicLevel.prototype.batch = batch;
    const chain = (batch as () => { write(options: object): Promise<void> }).call(this);
    const write = chain.write.bind(chain);
    chain.write = async (options) => {
      await write(options);
      throw new Error('Input/output error');
    };
    return chain;
  } as unknown as typeof batch;
  try {
    const change = [
      { op: 'put', key: 'a', value: 2 },
      { op: 'delete', key: 'b' },
      { op: 'put', key: 'c', value: 2 },
    ] as const;
    expect((await failure(store.transaction(change))).message).toContain('Input/output error');
  } finally {
    ClassicLevel.prototype.batch = batch;
  }
  expect(await store.list('')).toEqual([
    { key: 'a', value: 1, version: 1 },
    { key: 'b', value: 1, version: 2 },
  ]);
  expect(await store.put('d', 1)).toBe(3);
});

test('a directory that cannot be read is an error of the store', async () => {
  await store.close();
  await chmod(join(directory, 'state'), 0o700);
  await writeFile(join(directory, 'state', 'CURRENT'), 'not a manifest\n');
  expect((await failure(store.open())).code).toBe('store');
});
