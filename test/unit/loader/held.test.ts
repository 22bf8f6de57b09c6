// SPDX-License-Identifier: Apache-2.0
/** Links that this process holds: what other hands change of them is noticed, and what they take away is put back. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Attacher } from '../../../src/loader/attach.js';
import type { Program } from '../../../src/loader/programs.js';
import type { BpfNative } from '../../../src/native/bpf.js';

const qdiscs = {
  createClsact: async () => false,
  deleteClsact: async () => undefined,
  hasFilters: async () => false,
};
const program = { fd: 20, id: 200 } as Program;

let directory: string;
let pin: string;
let attach: Attacher;
/** The kernel's: by descriptor, and what is closed or made. */
let link: { id: number; type: number; programId: number; ifindex: number; cgroupId: bigint };
let made: number;
let closed: number[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-held-'));
  pin = join(directory, 'uplink_ingress-up0');
  made = 0;
  closed = [];
  link = { id: 1, type: 11, programId: 200, ifindex: 3, cgroupId: 0n };
  const native: Partial<BpfNative> = {
    bpfGetPinned: () => {
      throw Object.assign(new Error('bpf_obj_get'), { kind: 'native', code: 'ENOENT' });
    },
    bpfLinkCreate: async () => {
      link = { ...link, programId: 200, ifindex: 3 };
      return 100 + ++made;
    },
    bpfLinkUpdate: async () => {
      link = { ...link, programId: 200 };
    },
    bpfLinkInfo: () => link,
    bpfPin: (_, path) => writeFileSync(path, ''),
    bpfCloseFd: (fd) => void closed.push(fd),
    bpfCloseFdAsync: async (fd) => void closed.push(fd),
  };
  attach = new Attacher(native as BpfNative, { tcx: true, qdiscs });
  await attach.attachTc(program, { ifindex: 3, direction: 'ingress', pin });
});
afterEach(() => rmSync(directory, { recursive: true }));

it('is whole while nobody touches it', async () => {
  expect(await attach.lost(new Set())).toEqual([]);
  expect(await attach.restorePins()).toEqual([]);
  expect(closed).toEqual([]);
});

it('gets its pin back, and is not attached anew', async () => {
  rmSync(pin);
  expect(await attach.restorePins()).toEqual([pin]);
  expect(existsSync(pin)).toBe(true);
  expect(made).toBe(1);
});

it('is lost when it is detached, and another one takes its place', async () => {
  link = { ...link, ifindex: 0 };
  expect(await attach.lost(new Set())).toEqual([pin]);
  await attach.attachTc(program, { ifindex: 3, direction: 'ingress', pin });
  expect(await attach.lost(new Set())).toEqual([]);
  expect([made, closed]).toEqual([2, [101]]);
});

it('is lost when it has another program, and gets its own again', async () => {
  link = { ...link, programId: 999 };
  expect(await attach.lost(new Set())).toEqual([pin]);
  await attach.attachTc(program, { ifindex: 3, direction: 'ingress', pin });
  expect(await attach.lost(new Set())).toEqual([]);
  expect([made, closed]).toEqual([1, []]);
});

it('is held no more once it is detached by us, or under another name', async () => {
  await attach.rename(pin, `${pin}x`);
  rmSync(`${pin}x`);
  expect(await attach.restorePins()).toEqual([`${pin}x`]);
  await attach.detach(`${pin}x`);
  expect(await attach.restorePins()).toEqual([]);
  expect(closed).toEqual([101]);
});
