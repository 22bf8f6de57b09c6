// SPDX-License-Identifier: Apache-2.0
/** Whether this kernel and this host have what the socket hooks need. */

import { isNativeError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import { findCgroupRoot } from './cgroup.js';

/** enum bpf_attach_type */
export const SOCKET_HOOK_TYPES = {
  bind4: 8,
  bind6: 9,
  connect4: 10,
  connect6: 11,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
} as const;

const BPF_PROG_TYPE_CGROUP_SOCK_ADDR = 18;
/** r0 = 1; exit: such programs answer 0 or 1 */
const ALLOW = Buffer.from('b700000001000000' + '9500000000000000', 'hex');

export interface SocketHooks {
  /** The root of cgroup v2, which they go on; null: there are none. */
  readonly cgroup: string | null;
  /** Why not, for people; null: nothing is missing. */
  readonly missing: string | null;
}

/**
 * All of them or none: a connection that is translated by one hook and not
 * translated back by another would show a program an address that it never
 * named, and a port that one family guards would be free in the other.
 */
export function decideSocketHooks(root: string | null, refused: readonly string[]): SocketHooks {
  const total = Object.keys(SOCKET_HOOK_TYPES).length;
  if (refused.length === total)
    return { cgroup: null, missing: 'this kernel has no programs on cgroups (CONFIG_CGROUP_BPF)' };
  if (refused.length > 0)
    return { cgroup: null, missing: `this kernel lacks the socket hooks ${refused.join(', ')}` };
  return root === null
    ? { cgroup: null, missing: 'cgroup v2 is not mounted' }
    : { cgroup: root, missing: null };
}

/** The hooks that the kernel does not know: it takes no program for them. */
export function refusedSocketHooks(native: Pick<BpfNative, 'bpfProgramLoadRaw' | 'bpfCloseFd'>): string[] {
  return Object.entries(SOCKET_HOOK_TYPES).flatMap(([hook, type]) => {
    try {
      native.bpfCloseFd(native.bpfProgramLoadRaw(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, ALLOW, type));
      return [];
    } catch (e) {
      // anything else, such as a missing right, is for the real load to report
      return isNativeError(e) && e.code === 'EINVAL' ? [hook] : [];
    }
  });
}

export async function probeSocketHooks(native: BpfNative): Promise<SocketHooks> {
  return decideSocketHooks(await findCgroupRoot(), refusedSocketHooks(native));
}
