// SPDX-License-Identifier: Apache-2.0
/** Pins that go while somebody looks at them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Attacher } from '../../../src/loader/attach.js';
import type { BpfNative } from '../../../src/native/bpf.js';

const qdiscs = {
  createClsact: async () => false,
  deleteClsact: async () => undefined,
  hasFilters: async () => false,
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-pins-'));
  for (const name of ['gone', 'here']) writeFileSync(join(directory, name), '');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Of which one pin is gone by the time it is opened. */
function kernel(type: number): BpfNative {
  const native: Partial<BpfNative> = {
    bpfGetPinned: (path) => {
      if (path.endsWith('here')) return 7;
      rmSync(path, { force: true });
      throw Object.assign(new Error('bpf_obj_get: No such file or directory'), {
        kind: 'native',
        code: 'ENOENT',
      });
    },
    bpfLinkInfo: () => ({ id: 1, type, programId: 2, ifindex: 3, cgroupId: 4n }),
    bpfCloseFd: () => undefined,
    bpfCloseFdAsync: async () => undefined,
  };
  return native as BpfNative;
}

it('lists what is there, without what has just gone', async () => {
  expect(
    (await new Attacher(kernel(11), { tcx: true, qdiscs }).listAttachments(directory)).map(({ pin }) => pin),
  ).toEqual([join(directory, 'here')]);
  writeFileSync(join(directory, 'gone'), '');
  expect(
    (await new Attacher(kernel(3), { tcx: true, qdiscs }).listSocketHooks(directory)).map(({ pin }) => pin),
  ).toEqual([join(directory, 'here')]);
  expect(
    await new Attacher(kernel(3), { tcx: true, qdiscs }).listAttachments(join(directory, 'nowhere')),
  ).toEqual([]);
});

it('takes off what has just gone', async () => {
  await new Attacher(kernel(11), { tcx: true, qdiscs }).detach(join(directory, 'gone'));
});
