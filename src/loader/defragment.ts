// SPDX-License-Identifier: Apache-2.0
/** Defragmentation in a network namespace by a BPF link (6.6, CONFIG_NETFILTER_BPF_LINK). */
import { isNativeError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';

/** include/uapi/linux/bpf.h */
const BPF_PROG_TYPE_NETFILTER = 32;
const BPF_NETFILTER = 45;
const BPF_F_NETFILTER_IP_DEFRAG = 1;
/** include/uapi/linux/netfilter.h */
const NFPROTO = { 4: 2, 6: 10 } as const;
const NF_INET_PRE_ROUTING = 0;
/** r0 = NF_ACCEPT; exit */
const ACCEPT = Buffer.from('b700000001000000' + '9500000000000000', 'hex');
const NEW_NAMESPACE = '';

/** A link that has the namespace at `netns` put a family's datagrams together before it looks at them. */
export async function linkDefragmentation(
  native: BpfNative,
  { netns, family }: { netns: string; family: 4 | 6 },
): Promise<number> {
  const program = native.bpfProgramLoadRaw(BPF_PROG_TYPE_NETFILTER, ACCEPT, BPF_NETFILTER);
  try {
    return await native.bpfNetfilterLinkCreate(
      program,
      netns,
      NFPROTO[family],
      NF_INET_PRE_ROUTING,
      0,
      BPF_F_NETFILTER_IP_DEFRAG,
    );
  } finally {
    native.bpfCloseFd(program);
  }
}

/**
 * Whether this kernel has such links, tried in a namespace that is gone with
 * the answer: what stands behind the flag is in modules of their own.
 */
export async function canLinkDefragmentation(
  native: BpfNative,
  families: readonly (4 | 6)[],
): Promise<boolean> {
  try {
    for (const family of families)
      await native.bpfCloseFdAsync(await linkDefragmentation(native, { netns: NEW_NAMESPACE, family }));
    return true;
  } catch (e) {
    if (isNativeError(e)) return false;
    throw e;
  }
}
