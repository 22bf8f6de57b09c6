// SPDX-License-Identifier: Apache-2.0
/** The testbed itself: what it hands to a test can be used at once. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

let bed: Testbed;
let far: string;

beforeAll(async () => {
  bed = await Testbed.start({ daemon: false });
  far = bed.namespace(`far-${bed.suffix}`);
  bed.pair(bed.ext2, 'eth1', null, far, 'eth0', null);
});
afterAll(() => bed?.stop());

it('has no address that is tentative, and no link without a carrier', () => {
  for (const ns of [bed.host, bed.ext1, bed.ext2, bed.ext3, `lan-${bed.suffix}`, far]) {
    expect(must(ns, ['ip', '-6', 'addr', 'show', 'tentative'])).toBe('');
    expect(must(ns, ['ip', '-br', 'link'])).not.toMatch(/DOWN|NO-CARRIER/);
  }
});

it('leaves nothing where a test failed between one daemon and the next', async () => {
  const failed = await Testbed.start();
  failed.ok('network', 'create', 'lan');
  await expect(failed.startDaemon()).rejects.toThrow(/another daemon/);
  await failed.stop();
  expect(must(null, ['ip', 'netns'])).not.toContain(failed.suffix);
  expect([failed.bpffs, failed.directory].filter(existsSync)).toEqual([]);
});
