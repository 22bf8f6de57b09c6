// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** Which rooms a room may import, besides itself; docs/ARCHITECTURE.md tells why. */
const MAY_IMPORT: Record<string, string[]> = {
  base: [],
  native: ['base'],
  link: ['base', 'native'],
  maps: ['base', 'native'],
  loader: ['base', 'native', 'maps'],
  store: ['base'],
  cnm: ['base', 'store'],
  health: ['base', 'cnm'],
  config: ['base'],
  reconcile: ['base', 'cnm', 'maps', 'link', 'loader', 'native'],
  dns: ['base', 'cnm', 'reconcile'],
  docker: ['base', 'cnm', 'reconcile'],
  api: ['base', 'cnm', 'reconcile'],
  cli: ['base', 'api/schemas'],
  metrics: ['base', 'reconcile', 'maps', 'dns'],
};

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name));
}

/** `src/api/schemas/x.ts` is in the room `api`, and in `api/schemas`. */
function roomsOf(path: string): string[] {
  const parts = relative(ROOT, path).split('/');
  if (parts[0] === 'metrics') return ['metrics'];
  if (parts[0] !== 'src' || parts.length < 3) return [];
  return [parts[1] as string, parts.slice(1, 3).join('/')];
}

const files = [...sources(join(ROOT, 'src')), ...sources(join(ROOT, 'metrics'))];

it('keeps the import table', () => {
  const violations: string[] = [];
  for (const file of files) {
    const [room] = roomsOf(file);
    const allowed = room === undefined ? undefined : MAY_IMPORT[room];
    if (allowed === undefined) continue; // daemon: wires everything
    const text = readFileSync(file, 'utf8');
    for (const [, specifier] of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
      const rooms = roomsOf(join(dirname(file), specifier as string));
      if (rooms.length === 0 || rooms[0] === room || rooms.some((r) => allowed.includes(r))) continue;
      violations.push(`${relative(ROOT, file)} imports ${specifier}`);
    }
  }
  expect(violations).toEqual([]);
});

it('sees every room', () => {
  const rooms = new Set(files.map((f) => roomsOf(f)[0]).filter((r) => r !== undefined));
  rooms.delete('daemon');
  expect([...rooms].filter((r) => !(r in MAY_IMPORT))).toEqual([]);
});
