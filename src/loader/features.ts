// SPDX-License-Identifier: Apache-2.0
/** What this kernel has of what the programs like to use, and what is used instead. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { SluiceError } from '../base/errors.js';
import { type BpfNative, bpfNative } from '../native/bpf.js';
import { canLinkDefragmentation } from './defragment.js';
import { probeSocketHooks, type SocketHooks } from './socket-hooks.js';
import { JIT_HINT } from './verifier.js';

export interface Feature {
  readonly feature: string;
  readonly available: boolean;
  /** What is used: the feature, or its stand-in. */
  readonly using: string;
}

/** One for each way in which the kernel lets it walk the tables, see bpf/gc. */
export type Collector = 'collector' | 'collector_wq' | 'collector_wq_impl';

export interface KernelFeatures {
  /** tc links (6.6) */
  readonly tcx: boolean;
  /** kfunc bpf_cast_to_kern_ctx (6.2) */
  readonly kernCtx: boolean;
  /** BPF_F_IPV6 of bpf_l4_csum_replace (6.16 and stable kernels), as config.csum_ipv6; 0: not known */
  readonly csumIpv6: number;
  /** BPF_FIB_LOOKUP_SKIP_NEIGH (6.4) | BPF_FIB_LOOKUP_SRC (6.7), as config.fib_flags */
  readonly fibFlags: number;
  /** The object of the collector that this kernel takes */
  readonly collector: Collector;
  /** kfunc bpf_skb_ct_lookup, of the kernel or of its module nf_conntrack if that is loaded */
  readonly hostConntrack: boolean;
  readonly socketHooks: SocketHooks;
  /** The host speaks IPv6: not with ipv6.disable=1, nor without the module */
  readonly ipv6: boolean;
  readonly defragment: Defragmentation | null;
}

/** By a BPF link (6.6, CONFIG_NETFILTER_BPF_LINK), or by a table of nf_tables. */
export type Defragmentation = 'link' | 'nftables';

/** What probeKernel can be told to do without, as on a kernel that lacks it. */
export type Dispensable = 'tcx' | 'kern_ctx' | 'fib_lookup' | 'bpf_wq' | 'netfilter_link' | 'nftables';

const BTF = '/sys/kernel/btf/vmlinux';
/** There in each network namespace, or in none. */
const IPV6 = '/proc/sys/net/ipv6';
const CONNTRACK_BTF = '/sys/kernel/btf/nf_conntrack';
const BPF_F_IPV6 = 0x80;
const BPF_FIB_LOOKUP_SKIP_NEIGH = 4;
const BPF_FIB_LOOKUP_SRC = 16;
/** The oldest that is supported. */
const MINIMUM: readonly [number, number] = [6, 1];

export function atLeast(version: readonly [number, number], wanted: readonly [number, number]): boolean {
  return version[0] > wanted[0] || (version[0] === wanted[0] && version[1] >= wanted[1]);
}

export function kernelVersion(text: string = release()): [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(text);
  return match === null ? [0, 0] : [Number(match[1]), Number(match[2])];
}

/** True if the kernel's own types name it: kernels carry features of newer ones. */
function inKernelTypes(types: Buffer, name: string): boolean {
  return types.includes(Buffer.from(`\0${name}\0`));
}

/** Work items came with 6.10; 7.0 gave the kfunc that sets their callback another name and prototype. */
function collectorFor(types: Buffer): Collector {
  if (!inKernelTypes(types, 'bpf_wq_start')) return 'collector';
  if (inKernelTypes(types, 'bpf_wq_set_callback')) return 'collector_wq';
  return inKernelTypes(types, 'bpf_wq_set_callback_impl') ? 'collector_wq_impl' : 'collector';
}

/**
 * Refuses a kernel that is too old or has no type information. What has a name
 * in the kernel's types is looked for there; flags are told by the version.
 */
export async function probeKernel(
  options: {
    version?: [number, number];
    btf?: string;
    ipv6?: string;
    native?: BpfNative;
    without?: readonly Dispensable[];
    /** Whether nf_tables can put fragments together; absent: not asked. */
    nftables?: () => Promise<boolean>;
  } = {},
): Promise<KernelFeatures> {
  const has = (feature: Dispensable): boolean => options.without?.includes(feature) !== true;
  const version = options.version ?? kernelVersion();
  const btf = options.btf ?? BTF;
  const native = options.native ?? bpfNative();
  if (!atLeast(version, MINIMUM))
    throw new SluiceError('environment', `Linux ${version.join('.')} is too old`, {
      hint: `Linux ${MINIMUM.join('.')} or newer is needed`,
    });
  if (!existsSync(btf))
    throw new SluiceError('environment', `this kernel has no type information (${btf})`, {
      hint: 'use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian and Ubuntu are',
    });
  requireJit(native);
  // sysfs answers by the page: asynchronously that would be a thousand round trips
  const types = readFileSync(btf);
  const ipv6 = existsSync(options.ipv6 ?? IPV6);
  // before it is asked what modules there are: this may load them
  const defragment =
    has('netfilter_link') && (await canLinkDefragmentation(native, ipv6 ? [4, 6] : [4]))
      ? 'link'
      : has('nftables') && (await options.nftables?.()) === true
        ? 'nftables'
        : null;
  return {
    tcx: has('tcx') && inKernelTypes(types, 'tcx_link_attach'),
    kernCtx: has('kern_ctx') && inKernelTypes(types, 'bpf_cast_to_kern_ctx'),
    csumIpv6: inKernelTypes(types, 'BPF_F_IPV6') ? BPF_F_IPV6 : 0,
    fibFlags:
      (has('fib_lookup') && atLeast(version, [6, 4]) ? BPF_FIB_LOOKUP_SKIP_NEIGH : 0) |
      (has('fib_lookup') && atLeast(version, [6, 7]) ? BPF_FIB_LOOKUP_SRC : 0),
    collector: has('bpf_wq') ? collectorFor(types) : 'collector',
    hostConntrack:
      inKernelTypes(types, 'bpf_skb_ct_lookup') ||
      (existsSync(CONNTRACK_BTF) && inKernelTypes(readFileSync(CONNTRACK_BTF), 'bpf_skb_ct_lookup')),
    ipv6,
    socketHooks: await probeSocketHooks(native),
    defragment,
  };
}

/** For people: `status` and the daemon's first lines. */
export function describeFeatures(features: KernelFeatures): Feature[] {
  const row = (feature: string, available: boolean, using: string, instead: string): Feature => ({
    feature,
    available,
    using: available ? using : instead,
  });
  return [
    row('tcx', features.tcx, 'tcx links', 'clsact filters'),
    row('kern_ctx', features.kernCtx, 'checksums adjusted in place', 'checksum helpers'),
    row(
      'fib_lookup_src',
      (features.fibFlags & BPF_FIB_LOOKUP_SRC) !== 0,
      "the route's preferred source address",
      "the uplink's first address",
    ),
    row(
      'socket hooks',
      features.socketHooks.cgroup !== null,
      `socket hooks on ${features.socketHooks.cgroup}`,
      `none, ${features.socketHooks.missing}: the host itself reaches no published port`,
    ),
    row(
      'services at the socket',
      features.socketHooks.cgroup !== null,
      `backends chosen as sockets connect, on ${features.socketHooks.cgroup}; else packet by packet`,
      `packet by packet, ${features.socketHooks.missing}: the host itself reaches no service`,
    ),
    row(
      'defragmentation',
      features.defragment !== null,
      `fragments are put together in a namespace of ours, by ${features.defragment === 'link' ? 'a netfilter link' : 'nftables'}`,
      'none: fragments of containers are dropped',
    ),
    row('IPv6', features.ipv6, 'IPv4 and IPv6', 'IPv4 only: IPv6 is off on this host (ipv6.disable=1)'),
    row(
      'bpf_wq',
      features.collector !== 'collector',
      `collection in a work item (${features.collector})`,
      'collection in a timer',
    ),
  ];
}

/**
 * Functions of the kernel, and functions of ours that it calls back, as timers
 * and iteration do, are for compiled programs only. Whether they are compiled is
 * told by one: the sysctl shows in the host's network namespace alone.
 */
function requireJit(native: BpfNative): void {
  let program: number;
  try {
    program = loadTrivial(native);
  } catch {
    return; // the load of the real ones says why
  }
  const { jitedLength } = native.bpfProgramInfo(program);
  native.bpfCloseFd(program);
  if (jitedLength > 0) return;
  throw new SluiceError('environment', 'this kernel does not compile BPF programs (JIT), which ours need', {
    hint: JIT_HINT,
  });
}

/** bpf(2) itself: a program of two instructions. EPERM where the right is missing. */
export function canLoadPrograms(native: BpfNative): boolean {
  try {
    native.bpfCloseFd(loadTrivial(native));
    return true;
  } catch {
    return false;
  }
}

function loadTrivial(native: BpfNative): number {
  const BPF_PROG_TYPE_SOCKET_FILTER = 1;
  // r0 = 0; exit
  const instructions = Buffer.from('b700000000000000' + '9500000000000000', 'hex');
  return native.bpfProgramLoadRaw(BPF_PROG_TYPE_SOCKET_FILTER, instructions, 0);
}
