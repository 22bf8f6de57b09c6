// SPDX-License-Identifier: Apache-2.0
/** The table that has a namespace put datagrams together; nft(8) and the packets are the witnesses. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDefragmentTable, hasDefragmentTable, refusedDefragmentTable } from '../../src/link/defragment.js';
import { inside, Lab, native } from './link-support.js';

describe('defragmentation by nf_tables', () => {
  const lab = new Lab();
  let path: string;

  beforeAll(async () => {
    path = await lab.namespace('d');
  });
  afterAll(async () => {
    await lab.close();
    expect(lab.left()).toEqual([]);
  });
  const ruleset = (): string => inside(path, 'nft', ['list', 'ruleset']);

  test('is one table, as often as it is asked for', async () => {
    expect(await hasDefragmentTable(native, path)).toBe(false);
    await createDefragmentTable(native, path);
    const once = ruleset();
    console.log(once, inside(path, 'nft', ['--debug=netlink', 'list', 'ruleset']));
    expect(await hasDefragmentTable(native, path)).toBe(true);
    await createDefragmentTable(native, path);
    expect(ruleset()).toBe(once);
  });
});
