// SPDX-License-Identifier: Apache-2.0
/** docs/CONFORMANCE.md names tests that exist, and is what its source says. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../support/process.js';

const ROOT = join(import.meta.dirname, '../..');
const check = (root: string) =>
  run(null, [process.execPath, join(root, 'scripts/conformance.mjs'), '--check']);

it('names tests that exist, and is not stale', () => {
  expect(check(ROOT)).toEqual({ code: 0, out: '', err: '' });
});

let copy: string;
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'sluice-conformance-'));
  for (const directory of ['docs', 'scripts', 'test']) {
    mkdirSync(join(copy, directory));
    cpSync(join(ROOT, directory), join(copy, directory), { recursive: true });
  }
});
afterEach(() => rmSync(copy, { recursive: true }));

it.each([
  ['a test that is gone', 'test/net/masquerade.test.ts', /keeps the source port/g, 'no such test'],
  ['a file that is gone', 'docs/conformance.json', /test\/net\/publish/g, 'no such file'],
  ['a claim without a test', 'docs/conformance.json', /"tests": \["[^\]]*"\]/, 'but no test proves it'],
  ['a change of the source', 'docs/conformance.json', /Hairpinning/g, 'is stale'],
])('would not let pass %s', (_, file, pattern, message) => {
  const path = join(copy, file);
  const replaced = pattern.source.startsWith('"tests"') ? '"tests": []' : 'test/none';
  writeFileSync(path, readFileSync(path, 'utf8').replace(pattern, replaced));
  const { code, err } = check(copy);
  expect(code).toBe(1);
  expect(err).toContain(message);
});
