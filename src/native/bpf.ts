// SPDX-License-Identifier: Apache-2.0
/**
 * The BPF half of the addon: about one function a system call. Descriptors are
 * numbers and belong to the caller; src/loader and src/maps own them. Failures
 * are NativeErrors.
 */
import { loadAddon } from './load.js';

export interface MapSpec {
  readonly name: string;
  /** enum bpf_map_type */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

export interface MapInfo extends MapSpec {
  readonly id: number;
  /** Id of the type information, 0 without, and the types of key and value in it. */
  readonly btf: number;
  readonly keyType: number;
  readonly valueType: number;
}

export interface ProgramInfo {
  readonly id: number;
  /** enum bpf_prog_type */
  readonly type: number;
  /** Hash of the instructions, hexadecimal. */
  readonly tag: string;
  readonly name: string;
  /** Nanoseconds and runs since kernel.bpf_stats_enabled was set. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  /** Bytes. */
  readonly jitedLength: number;
  readonly verifiedInstructions: number;
}

export interface TestRunResult {
  /** As a signed number: TCX_NEXT is -1. */
  readonly retval: number;
  readonly data: Buffer;
  readonly context: Buffer;
  /** Mean over the repeats. */
  readonly durationNs: number;
}

export type RingBuffer = { readonly __brand: 'RingBuffer' };

export interface BpfNative {
  bpfObjectInfo(path: string): { maps: MapSpec[]; programs: string[]; rodata: Buffer | null };
  /** `reuse`: descriptors of maps to use instead of new ones; `sizes`: max_entries by map. */
  bpfObjectLoad(
    path: string,
    reuse: Record<string, number>,
    sizes: Record<string, number>,
    rodata: Buffer | null,
  ): Promise<{ maps: Record<string, number>; programs: Record<string, number> }>;
  bpfMapLookup(fd: number, key: Buffer, value: Buffer): boolean;
  /** `flags`: BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2. */
  bpfMapUpdate(fd: number, key: Buffer, value: Buffer, flags: number): void;
  bpfMapDelete(fd: number, key: Buffer): boolean;
  bpfMapNextKey(fd: number, key: Buffer | null, next: Buffer): boolean;
  /** `from` and `next` are positions, as wide as the key and at least 4 bytes. */
  bpfMapLookupBatch(
    fd: number,
    from: Buffer | null,
    next: Buffer,
    keys: Buffer,
    values: Buffer,
    count: number,
  ): { count: number; end: boolean };
  bpfMapUpdateBatch(fd: number, keys: Buffer, values: Buffer, count: number, flags: number): void;
  bpfMapDeleteBatch(fd: number, keys: Buffer, count: number): void;
  bpfMapInfo(fd: number): MapInfo;
  /** Type information that the kernel has, by its id. */
  bpfBtf(id: number): Buffer;
  bpfProgramInfo(fd: number): ProgramInfo;
  /** `dataOut`: bytes to make room for. A syscall program takes no data. */
  bpfProgramTestRun(
    fd: number,
    data: Buffer | null,
    context: Buffer | null,
    repeat: number,
    dataOut: number,
  ): Promise<TestRunResult>;
  bpfProgramLoadRaw(type: number, instructions: Buffer, expectedAttachType: number): number;
  bpfPin(fd: number, path: string): void;
  bpfGetPinned(path: string): number;
  bpfCloseFd(fd: number): void;
  /** For links: detaching waits for RTNL and a grace period. */
  bpfCloseFdAsync(fd: number): Promise<void>;
  bpfPossibleCpus(): number;
  /** `target`: an ifindex, or the descriptor of a cgroup, as the type has it. */
  bpfLinkCreate(programFd: number, target: number, attachType: number, flags: number): Promise<number>;
  /**
   * On a hook of the namespace at `netns`, '' for a new one that ends with the
   * link. `family`: NFPROTO_*; `hook`: enum nf_inet_hooks.
   */
  bpfNetfilterLinkCreate(
    programFd: number,
    netns: string,
    family: number,
    hook: number,
    priority: number,
    flags: number,
  ): Promise<number>;
  bpfLinkUpdate(linkFd: number, programFd: number): Promise<void>;
  /** `ifindex`, `cgroupId`: 0 if the device or cgroup is gone, or the link is of another kind. */
  bpfLinkInfo(linkFd: number): {
    id: number;
    type: number;
    programId: number;
    ifindex: number;
    cgroupId: bigint;
  };
  /** The device has a clsact qdisc. */
  bpfTcAttach(
    programFd: number,
    ifindex: number,
    egress: boolean,
    handle: number,
    priority: number,
  ): Promise<void>;
  bpfTcDetach(ifindex: number, egress: boolean, handle: number, priority: number): Promise<void>;
  /** The program's id, 0 if there is none. */
  bpfTcQuery(ifindex: number, egress: boolean, handle: number, priority: number): Promise<number>;
  bpfRingOpen(mapFd: number, onRecord: (record: Buffer) => void): RingBuffer;
  bpfRingClose(ring: RingBuffer): void;
}

export function bpfNative(): BpfNative {
  return loadAddon() as BpfNative;
}
