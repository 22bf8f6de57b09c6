// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import { type Backup, formatBackup, parseBackup } from '../../../src/store/backup.js';
import { fillDatabase } from '../../../src/store/batch.js';
import { stage } from '../../../src/store/directory.js';
import { LevelStore } from '../../../src/store/level.js';

const backup: Backup = {
  created: '2026-11-30T12:00:00.000Z',
  state: 'a1'.repeat(16),
  schema: 3,
  revision: 9,
  entries: [
    { key: 'endpoints/1', version: 4, value: { name: 'ä\u2028', ports: [80, null] } },
    { key: 'networks/1', version: 9, value: 'x'.repeat(300) },
    { key: 'schema', version: 1, value: 3 },
  ],
};
const whole = [...formatBackup(backup)].join('');

function refusal(text: string, schema = 3): SluiceError {
  try {
    parseBackup(text, schema);
  } catch (e) {
    if (e instanceof SluiceError) return e;
    throw e;
  }
  throw new Error('it was read');
}

describe('a backup', () => {
  it('is read as it was written', () => {
    expect(parseBackup(whole, 3)).toEqual(backup);
    expect(
      parseBackup([...formatBackup({ ...backup, entries: [], state: null })].join(''), 7).entries,
    ).toEqual([]);
  });

  it('is refused cut at any byte', () => {
    const bytes = Buffer.from(whole);
    for (let length = 0; length < bytes.length; length++) {
      const { code, message } = refusal(bytes.subarray(0, length).toString());
      expect([code, message], `${length} bytes`).toEqual([
        'invalid_argument',
        expect.stringMatching(/is cut|no backup|changed/),
      ]);
    }
  });

  it('is refused changed at any byte', () => {
    const bytes = Buffer.from(whole);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x01;
      expect(refusal(changed.toString()).status, `byte ${at}`).toBe(400);
    }
  });

  it('is refused with something added, left out or twice', () => {
    const lines = whole.trimEnd().split('\n');
    refusal(`${whole}\n`);
    refusal(whole + whole);
    refusal(`${[...lines.slice(0, 2), ...lines.slice(3)].join('\n')}\n`);
    refusal(`${[...lines.slice(0, 2), lines[1], ...lines.slice(2)].join('\n')}\n`);
  });

  it('is refused from a newer version, by that name', () => {
    expect(refusal(whole, 2)).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('newer'),
    });
    expect(refusal(whole.replace('"version":1', '"version":2'))).toMatchObject({ code: 'unsupported' });
  });
});

it('takes the place of a database when that is opened, also where the power went between', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-restore-'));
  const location = join(directory, 'db');
  const store = new LevelStore(location);
  await store.open();
  for (let i = 0; i < 20; i++) await store.put(`old/${i}`, i);
  await stage(location, (path) => fillDatabase(path, backup.entries, backup.revision));
  expect(await store.list('')).toHaveLength(20);
  await store.close();
  await store.open();
  expect(await store.list('')).toEqual(backup.entries);
  expect(store.version).toBe(9);
  expect(await store.put('new', 1)).toBe(10);
  await store.close();
  expect(readdirSync(directory).sort()).toEqual(['db', 'db.before-restore', 'db.version']);
  // half of a staged one is none
  await expect(
    stage(location, async (path) => {
      await fillDatabase(path, backup.entries, 1);
      throw new Error('power');
    }),
  ).rejects.toThrow('power');
  await store.open();
  expect((await store.get('new'))?.value).toBe(1);
  await store.close();
  // the old one had gone aside, the staged one not come yet
  await stage(location, (path) => fillDatabase(path, backup.entries, backup.revision));
  rmSync(location, { recursive: true });
  await store.open();
  expect(await store.list('')).toEqual(backup.entries);
  await store.close();
  rmSync(directory, { recursive: true });
});
