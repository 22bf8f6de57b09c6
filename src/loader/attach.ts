// SPDX-License-Identifier: Apache-2.0
/**
 * Programs on devices and cgroups. Each attachment is pinned, so that it outlives the
 * daemon: a BPF link where the kernel has them for tc (tcx, 6.6), else a clsact
 * filter.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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

type LinkInfo = ReturnType<BpfNative['bpfLinkInfo']>;

/** What a link hangs on, and how to tell that of a pinned one. */
interface LinkTarget {
  /** An ifindex or a cgroup's descriptor. */
  readonly target: number;
  readonly type: number;
  readonly flags: number;
  isOf(link: LinkInfo): boolean;
}

/** A link that stays attached for as long as this process lives, whatever becomes of its pin. */
interface HeldLink {
  readonly fd: number;
  /** False: somebody detached it, or put another program in. */
  isWhole(link: LinkInfo): boolean;
}

/** Looked at between two turns of the event loop. */
const CHECKED_AT_ONCE = 256;

function errno(e: unknown): string {
  return isNativeError(e) ? e.code : '';
}

export class Attacher {
  readonly #native: BpfNative;
  /** False: clsact filters. */
  readonly #tcx: boolean;
  readonly #filters: ClsactFilters;
  /** By pin. */
  readonly #held = new Map<string, HeldLink>();

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
    await this.#pin(link, at.pin);
    this.#hold(at.pin, link, () => true);
  }

  /** Holds what an earlier daemon has pinned there as if this one had attached it. */
  holdDefragmentation(pin: string): void {
    if (this.#held.has(pin)) return;
    const link = this.#pinned(pin);
    if (link !== null) this.#hold(pin, link, () => true);
  }

  async #attachLink(program: Program, pin: string, on: LinkTarget): Promise<void> {
    const native = this.#native;
    const programId = program.id;
    const isWhole = (info: LinkInfo): boolean => on.isOf(info) && info.programId === programId;
    const known = this.#held.get(pin)?.fd ?? this.#pinned(pin);
    if (known !== null) {
      // no change of somebody else's while it is ours that is under way
      this.#hold(pin, known, () => true);
      if (on.isOf(native.bpfLinkInfo(known))) {
        await native.bpfLinkUpdate(known, program.fd).finally(() => this.#hold(pin, known, isWhole));
        return;
      }
      await this.#letGo(pin);
      await rm(pin, { force: true });
    }
    const made = await native.bpfLinkCreate(program.fd, on.target, on.type, on.flags);
    await this.#pin(made, pin);
    this.#hold(pin, made, isWhole);
  }

  async #pin(link: number, pin: string): Promise<void> {
    try {
      pinAt(this.#native, link, pin);
    } catch (e) {
      // without a pin the program comes off again, which waits
      await this.#native.bpfCloseFdAsync(link);
      throw e;
    }
  }

  #hold(pin: string, fd: number, isWhole: HeldLink['isWhole']): void {
    this.#held.set(pin, { fd, isWhole });
  }

  async #letGo(pin: string): Promise<void> {
    const held = this.#held.get(pin);
    this.#held.delete(pin);
    if (held !== undefined) await this.#native.bpfCloseFdAsync(held.fd);
  }

  /**
   * What other hands have changed: answers the pins whose program is off its
   * hook, or another one. `touched`: devices of which the kernel tells that
   * filters of theirs went.
   */
  async lost(touched: ReadonlySet<number>): Promise<string[]> {
    const lost: string[] = [];
    let looked = 0;
    for (const [pin, { fd, isWhole }] of [...this.#held]) {
      // detached by ourselves meanwhile
      if (this.#held.get(pin)?.fd !== fd) continue;
      if (!isWhole(this.#native.bpfLinkInfo(fd))) lost.push(pin);
      if (++looked % CHECKED_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return [...lost, ...(await this.#filters.lost(touched))];
  }

  /** Puts pins back that somebody took away, and answers them. The programs were attached all along. */
  async restorePins(): Promise<string[]> {
    const restored: string[] = [];
    const present = new Map<string, Set<string>>();
    for (const [pin, { fd }] of [...this.#held]) {
      const directory = dirname(pin);
      const names = present.get(directory) ?? new Set(await listDirectory(directory));
      present.set(directory, names);
      if (names.has(basename(pin)) || this.#held.get(pin)?.fd !== fd) continue;
      makeDirectory(directory, 0o700);
      this.#native.bpfPin(fd, pin);
      restored.push(pin);
    }
    return [...restored, ...(await this.#filters.restorePins())];
  }

  /** Descriptors only: what is pinned stays and works on. */
  close(): void {
    for (const { fd } of this.#held.values()) this.#native.bpfCloseFd(fd);
    this.#held.clear();
  }

  /** Takes the program off and the pin away. Absent is success. */
  async detach(pin: string): Promise<void> {
    await this.#filters.detach(pin);
    await this.#detachLink(pin);
  }

  async #detachLink(pin: string): Promise<void> {
    const link = this.#pinned(pin);
    await rm(pin, { force: true });
    await this.#letGo(pin);
    if (link !== null) await this.#native.bpfCloseFdAsync(link);
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
    const held = this.#held.get(pin);
    if (held !== undefined) return this.#native.bpfLinkInfo(held.fd).ifindex;
    const link = this.#pinned(pin);
    if (link === null) return null;
    const { ifindex } = this.#native.bpfLinkInfo(link);
    this.#native.bpfCloseFd(link);
    return ifindex;
  }

  /** Another name for a pin; the program works on. */
  async rename(from: string, to: string): Promise<void> {
    if (await this.#filters.rename(from, to)) return;
    await rename(from, to);
    const held = this.#held.get(from);
    if (held === undefined) return;
    this.#held.delete(from);
    await this.#letGo(to);
    this.#held.set(to, held);
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

/** Somebody may have taken away the directory that was there a moment ago. */
function pinAt(native: BpfNative, fd: number, pin: string): void {
  try {
    native.bpfPin(fd, pin);
  } catch (e) {
    if (errno(e) !== 'ENOENT') throw e;
    makeDirectory(dirname(pin), 0o700);
    native.bpfPin(fd, pin);
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
