// SPDX-License-Identifier: Apache-2.0
/** What the programs and the daemon can say is explained in docs/. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { drop_reason } from '../../src/maps/generated/enums.js';
import { maps } from '../../src/maps/generated/maps.js';
import { DIFFERENCES } from '../fuzz/differences.js';

const ROOT = join(import.meta.dirname, '../..');
const docs = readdirSync(join(ROOT, 'docs'))
  .filter((f) => f.endsWith('.md'))
  .map((f) => readFileSync(join(ROOT, 'docs', f), 'utf8'))
  .join('\n');

it.each(
  Object.keys(drop_reason)
    .map((name) => name.replace('DROP_', '').toLowerCase())
    .filter((name) => name !== 'none' && name !== 'reasons'),
)('explains the drop reason %s', (name) => {
  expect(docs).toContain(`| \`${name}\` |`);
});

it.each(Object.keys(maps))('explains the map %s', (name) => {
  expect(docs).toContain(`\`${name}\``);
});

it('explains every metric', () => {
  const named = readdirSync(join(ROOT, 'metrics'))
    .filter((f) => f.endsWith('.ts'))
    .flatMap((f) => [...readFileSync(join(ROOT, 'metrics', f), 'utf8').matchAll(/'(sluice_[a-z_]+[a-z])'/g)])
    .map((m) => m[1] as string);
  expect(named.length).toBeGreaterThan(8);
  for (const name of named) expect(docs, name).toContain(`\`${name}\``);
});

it('lists the differences from netfilter that the fuzzer allows, and no other', () => {
  const [, section = ''] = docs.split('## Differences from netfilter\n');
  const listed = (section.split('\n## ')[0] as string).match(/^\| `.*$/gm);
  const allowed = DIFFERENCES.map(
    ({ name, family, reason }) => `| \`${name}\` | ${family ? `IPv${family}` : 'both'} | ${reason} |`,
  );
  expect(listed).toEqual(allowed);
});
