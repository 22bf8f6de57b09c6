// SPDX-License-Identifier: Apache-2.0
/**
 * Programs on devices and cgroups. Each attachment is pinned, so that it outlives the
 * daemon: a BPF link where the kernel has them for tc (tcx, 6.6), else a clsact
 * filter.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { isNativeError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import { ClsactFilters, type Direction, type Qdiscs } from './clsact.js';
import { linkDefragmentation } from './defragment.js';
import type { Program } from './programs.js';

/** include/uapi/linux/bpf.h; those of tcx are newer than some systems' headers. */
const BPF_XDP = 37;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const BPF_LINK_TYPE_CGROUP = 3;
const BPF_LINK_TYPE_NETFILTER = 10;
const BPF_LINK_TYPE_TCX = 11;
/** include/uapi/linux/if_link.h */
const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;

export type AttachMode = 'tcx' | 'clsact' | 'xdp-native' | 'xdp-generic';

export interface Attachment {
  readonly mode: AttachMode;
  readonly pin: string;
  readonly programId: number;
}

export interface PinnedAttachment {
  readonly pin: string;
  /** 0: the device is gone. */
  readonly ifindex: number;
  readonly programId: number;
  /** The kernel does not tell native from generic of a link. */
  readonly mode: 'tcx' | 'clsact' | 'xdp';
}

export interface PinnedSocketHook {
  readonly pin: string;
  readonly cgroupId: bigint;
  readonly programId: number;
}

/** What a link hangs on, and how to tell that of a pinned one. */
interface LinkTarget {
  /** An ifindex or a cgroup's descriptor. */
  readonly target: number;
  readonly type: number;
  readonly flags: number;
  isOf(link: ReturnType<BpfNative['bpfLinkInfo']>): boolean;
}

function errno(e: unknown): string {
  return isNativeError(e) ? e.code : '';
}

export class Attacher {
  readonly #native: BpfNative;
  /** False: clsact filters. */
  readonly #tcx: boolean;
  readonly #filters: ClsactFilters;

  constructor(native: BpfNative, { tcx, qdiscs }: { tcx: boolean; qdiscs: Qdiscs }) {
    this.#native = native;
    this.#tcx = tcx;
    this.#filters = new ClsactFilters(native, qdiscs);
  }

  /**
   * Puts the program on a device's tc hook, after those that are there. Where
   * `pin` holds a link of the same device its program is exchanged atomically;
   * one of a device that is gone is replaced. What an earlier daemon attached by
   * the other means goes.
   */
  async attachTc(
    program: Program,
    at: { ifindex: number; direction: Direction; pin: string },
  ): Promise<Attachment> {
    makeDirectory(dirname(at.pin), 0o700);
    if (!this.#tcx) {
      const pin = await this.#filters.attach(program, at);
      await this.#detachLink(at.pin);
      return { mode: 'clsact', pin, programId: program.id };
    }
    const type = at.direction === 'ingress' ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
    await this.#attachLink(program, at.pin, onDevice(at.ifindex, type, 0));
    await this.#filters.detachFrom(at);
    return { mode: 'tcx', pin: at.pin, programId: program.id };
  }

  /** Native where the driver can, else generic. */
  async attachXdp(program: Program, at: { ifindex: number; pin: string }): Promise<Attachment> {
    makeDirectory(dirname(at.pin), 0o700);
    let mode: AttachMode = 'xdp-native';
    try {
      await this.#attachLink(program, at.pin, onDevice(at.ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE));
    } catch (e) {
      if (errno(e) !== 'EOPNOTSUPP' && errno(e) !== 'EINVAL') throw e;
      mode = 'xdp-generic';
      await this.#attachLink(program, at.pin, onDevice(at.ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE));
    }
    return { mode, pin: at.pin, programId: program.id };
  }

  /**
   * Puts the program on a cgroup's hook, beside those of others. `type`: enum
   * bpf_attach_type. Exchanged atomically where the pin holds a link already.
   */
  async attachSocketHook(program: Program, at: { cgroup: string; type: number; pin: string }): Promise<void> {
    makeDirectory(dirname(at.pin), 0o700);
    const target = openSync(at.cgroup, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const { ino } = fstatSync(target, { bigint: true });
      const isOf: LinkTarget['isOf'] = ({ cgroupId }) => cgroupId === ino;
      await this.#attachLink(program, at.pin, { target, type: at.type, flags: 0, isOf });
    } finally {
      closeSync(target);
    }
  }

  /**
   * Has the namespace at `netns` put datagrams of a family together before it
   * looks at them. A link at `pin` is replaced: nothing tells which namespace
   * it is of.
   */
  async attachDefragmentation(at: { netns: string; family: 4 | 6; pin: string }): Promise<void> {
    makeDirectory(dirname(at.pin), 0o700);
    await this.#detachLink(at.pin);
    const link = await linkDefragmentation(this.#native, at);
    try {
      this.#native.bpfPin(link, at.pin);
    } finally {
      this.#native.bpfCloseFd(link);
    }
  }

  async #attachLink(program: Program, pin: string, on: LinkTarget): Promise<void> {
    const native = this.#native;
    const link = this.#pinned(pin);
    if (link !== null) {
      try {
        if (on.isOf(native.bpfLinkInfo(link))) {
          await native.bpfLinkUpdate(link, program.fd);
          return;
        }
        await rm(pin, { force: true });
      } finally {
        await native.bpfCloseFdAsync(link);
      }
    }
    const made = await native.bpfLinkCreate(program.fd, on.target, on.type, on.flags);
    try {
      native.bpfPin(made, pin);
    } catch (e) {
      // without a pin the program comes off again, which waits
      await native.bpfCloseFdAsync(made);
      throw e;
    }
    native.bpfCloseFd(made);
  }

  /** Takes the program off and the pin away. Absent is success. */
  async detach(pin: string): Promise<void> {
    await this.#filters.detach(pin);
    await this.#detachLink(pin);
  }

  async #detachLink(pin: string): Promise<void> {
    const link = this.#pinned(pin);
    if (link === null) return;
    await rm(pin, { force: true });
    await this.#native.bpfCloseFdAsync(link);
  }

  /** null: there is none, or none any more. */
  #pinned(pin: string): number | null {
    try {
      return this.#native.bpfGetPinned(pin);
    } catch (e) {
      if (errno(e) === 'ENOENT') return null;
      throw e;
    }
  }

  /** The device whose program is pinned there; null: there is no such pin. */
  async deviceOf(pin: string): Promise<number | null> {
    const filter = await this.#filters.deviceOf(pin);
    if (filter !== null) return filter;
    const link = this.#pinned(pin);
    if (link === null) return null;
    const { ifindex } = this.#native.bpfLinkInfo(link);
    this.#native.bpfCloseFd(link);
    return ifindex;
  }

  /** Another name for a pin; the program works on. */
  async rename(from: string, to: string): Promise<void> {
    if (!(await this.#filters.rename(from, to))) await rename(from, to);
  }

  /** What is pinned in a directory, on devices. */
  async listAttachments(directory: string): Promise<PinnedAttachment[]> {
    const native = this.#native;
    const found: PinnedAttachment[] = [];
    for (const name of await listDirectory(directory)) {
      const path = join(directory, name);
      const filter = await this.#filters.find(path);
      if (filter !== null) {
        found.push({ ...filter, mode: 'clsact' });
        continue;
      }
      const link = this.#pinned(path);
      if (link === null) continue;
      const info = native.bpfLinkInfo(link);
      native.bpfCloseFd(link);
      if (info.type === BPF_LINK_TYPE_CGROUP || info.type === BPF_LINK_TYPE_NETFILTER) continue;
      const mode = info.type === BPF_LINK_TYPE_TCX ? 'tcx' : 'xdp';
      found.push({ pin: path, ifindex: info.ifindex, programId: info.programId, mode });
    }
    return found;
  }

  /** What is pinned in a directory, on cgroups. */
  async listSocketHooks(directory: string): Promise<PinnedSocketHook[]> {
    const native = this.#native;
    const found: PinnedSocketHook[] = [];
    for (const name of await listDirectory(directory)) {
      if (name.includes('@')) continue; // a clsact filter's program
      const pin = join(directory, name);
      const link = this.#pinned(pin);
      if (link === null) continue;
      const { type, cgroupId, programId } = native.bpfLinkInfo(link);
      native.bpfCloseFd(link);
      if (type === BPF_LINK_TYPE_CGROUP) found.push({ pin, cgroupId, programId });
    }
    return found;
  }
}

function onDevice(ifindex: number, type: number, flags: number): LinkTarget {
  return { target: ifindex, type, flags, isOf: (link) => link.ifindex === ifindex };
}

/** The pins: directories are marks. */
async function listDirectory(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw e;
  }
}
