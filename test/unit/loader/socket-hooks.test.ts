// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { describeFeatures, type KernelFeatures } from '../../../src/loader/features.js';
import {
  decideSocketHooks,
  refusedSocketHooks,
  SOCKET_HOOK_TYPES,
} from '../../../src/loader/socket-hooks.js';

const ALL = Object.keys(SOCKET_HOOK_TYPES);
const ROOT = '/sys/fs/cgroup';

/** A kernel that answers `code` to programs of these attach types. */
function kernel(types: readonly number[], code: string) {
  const open = new Set<number>();
  return {
    open,
    bpfProgramLoadRaw: (_: number, __: Buffer, type: number): number => {
      if (types.includes(type))
        throw Object.assign(new Error(`BPF_PROG_LOAD: ${code}`), { kind: 'native', code });
      open.add(type);
      return type;
    },
    bpfCloseFd: (fd: number): void => void open.delete(fd),
  };
}

describe('what a kernel refuses', () => {
  it('is nothing where it knows every hook', () => {
    const native = kernel([], 'EINVAL');
    expect(refusedSocketHooks(native)).toEqual([]);
    expect(native.open.size).toBe(0);
  });

  it('is told by hook', () => {
    const native = kernel([SOCKET_HOOK_TYPES.getpeername4, SOCKET_HOOK_TYPES.getpeername6], 'EINVAL');
    expect(refusedSocketHooks(native)).toEqual(['getpeername4', 'getpeername6']);
    expect(native.open.size).toBe(0);
  });

  it('is everything without CONFIG_CGROUP_BPF', () => {
    expect(refusedSocketHooks(kernel(Object.values(SOCKET_HOOK_TYPES), 'EINVAL'))).toEqual(ALL);
  });

  it('is not what only the right is missing for', () => {
    expect(refusedSocketHooks(kernel(Object.values(SOCKET_HOOK_TYPES), 'EPERM'))).toEqual([]);
  });
});

describe('the socket hooks', () => {
  it('are used where kernel and host have all they need', () => {
    expect(decideSocketHooks(ROOT, [])).toEqual({ cgroup: ROOT, missing: null });
  });

  it.each([
    ['no cgroup v2', null, [], /^cgroup v2 is not mounted$/],
    ['no programs on cgroups', ROOT, ALL, /CONFIG_CGROUP_BPF/],
    ['neither', null, ALL, /CONFIG_CGROUP_BPF/],
    ['a kernel that lacks one', ROOT, ['getpeername6'], /lacks the socket hooks getpeername6$/],
    ['a kernel that lacks two', ROOT, ['recvmsg4', 'recvmsg6'], /recvmsg4, recvmsg6$/],
  ])('are left out with %s, all of them', (_, root, refused, why) => {
    const { cgroup, missing } = decideSocketHooks(root, refused);
    expect(cgroup).toBeNull();
    expect(missing).toMatch(why);
  });

  it('are told among the features, and what becomes of services without them', () => {
    const told = (socketHooks: KernelFeatures['socketHooks'], name = 'socket hooks') =>
      describeFeatures({
        tcx: true,
        kernCtx: true,
        csumIpv6: 0,
        fibFlags: 0,
        collector: 'collector_wq',
        defragment: 'link',
        ipv6: true,
        hostConntrack: true,
        socketHooks,
      }).find(({ feature }) => feature === name);
    expect(told(decideSocketHooks(ROOT, []))).toMatchObject({
      available: true,
      using: 'socket hooks on /sys/fs/cgroup',
    });
    expect(told(decideSocketHooks(ROOT, ALL))).toMatchObject({
      available: false,
      using: expect.stringContaining('CONFIG_CGROUP_BPF'),
    });
    expect(told(decideSocketHooks(ROOT, []), 'services at the socket')).toMatchObject({
      available: true,
      using: expect.stringMatching(/as sockets connect, on \/sys\/fs\/cgroup;/),
    });
    expect(told(decideSocketHooks(null, []), 'services at the socket')).toMatchObject({
      available: false,
      using: expect.stringMatching(/^packet by packet, cgroup v2 is not mounted: /),
    });
  });
});
