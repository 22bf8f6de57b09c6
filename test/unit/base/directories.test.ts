// SPDX-License-Identifier: Apache-2.0
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeDirectory } from '../../../src/base/directories.js';

const SRC = join(import.meta.dirname, '../../../src');
let work: string;

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'sluice-directories-'));
});
afterEach(() => rmSync(work, { recursive: true }));

it('makes what is missing, with the mode, and takes what is there', () => {
  makeDirectory(join(work, 'a/b/c'), 0o700);
  makeDirectory(join(work, 'a/b/c'), 0o700);
  for (const name of ['a', 'a/b', 'a/b/c']) expect(statSync(join(work, name)).mode & 0o777).toBe(0o700);
  symlinkSync(join(work, 'a'), join(work, 'link'));
  makeDirectory(join(work, 'link/d'));
  expect(readdirSync(join(work, 'a')).sort()).toEqual(['b', 'd']);
});

it('says what is in the way', () => {
  writeFileSync(join(work, 'file'), '');
  symlinkSync(join(work, 'nowhere'), join(work, 'dangling'));
  expect(() => makeDirectory(join(work, 'file'))).toThrow(/EEXIST/);
  expect(() => makeDirectory(join(work, 'file/a/b'))).toThrow(/ENOTDIR/);
  expect(() => makeDirectory(join(work, 'dangling'))).toThrow(/EEXIST/);
});

it('ends where the kernel refuses a name in a directory that is there', () => {
  expect(() => makeDirectory('/proc/self/sluice/a/b')).toThrow(/ENOENT/);
  expect(() => makeDirectory('/sys/kernel/sluice/a')).toThrow(/ENOENT|EPERM|EROFS|EACCES/);
});

it('is what every directory is made with', () => {
  const others = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .filter((name) => /mkdir(Sync)?\([^;]*recursive/.test(readFileSync(join(SRC, name), 'utf8')));
  expect(others).toEqual([]);
});
