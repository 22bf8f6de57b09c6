// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LAYOUT_VERSION } from '../../../src/maps/layout.js';

/** What the version stands for. Who changes a map raises the version and writes the new digest here. */
const RELEASED = { version: 2, digest: '872f0f9ed2952b99' };

it('has a version for every layout of the maps', () => {
  const generated = join(import.meta.dirname, '../../../src/maps/generated');
  const hash = createHash('sha256');
  for (const file of ['maps.ts', 'types.ts', 'codecs.ts']) hash.update(readFileSync(join(generated, file)));
  expect({ version: LAYOUT_VERSION, digest: hash.digest('hex').slice(0, 16) }).toEqual(RELEASED);
});
