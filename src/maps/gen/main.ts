// SPDX-License-Identifier: Apache-2.0
/**
 * Writes src/maps/generated from dist/bpf, or with --check says what is stale
 * and exits with 1.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../base/directories.js';
import { packageRoot } from '../../native/load.js';
import { readSections } from './elf.js';
import { emit } from './emit.js';
import { readAbi } from './layout.js';

export function generate(objects: string): Record<string, string> {
  const abi = readAbi(readFileSync(join(objects, 'abi.bpf.o')), ['config']);
  const rodata = readSections(readFileSync(join(objects, 'uplink_ingress.bpf.o'))).get('.rodata');
  return emit(abi, rodata?.data ?? Buffer.alloc(0));
}

function main(): number {
  const root = packageRoot();
  const target = join(root, 'src/maps/generated');
  const stale: string[] = [];
  for (const [name, text] of Object.entries(generate(join(root, 'dist/bpf')))) {
    const path = join(target, name);
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    stale.push(path);
    if (process.argv.includes('--check')) continue;
    makeDirectory(target);
    writeFileSync(path, text);
  }
  if (!process.argv.includes('--check')) return 0;
  for (const path of stale) console.error(`gen: ${path} is stale: run \`npm run gen\` and commit it`);
  return stale.length === 0 ? 0 : 1;
}

if (process.argv[1]?.endsWith('gen/main.js')) process.exit(main());
