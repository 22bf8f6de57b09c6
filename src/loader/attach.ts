// SPDX-License-Identifier: Apache-2.0
/**
 * Programs on devices and cgroups. Each attachment is pinned, so that it outlives the
 * daemon: a BPF link where the kernel has them for tc (tcx, 6.6), else a clsact
 * filter, whose pin is that of its program and whose place is told by the
 * filter's fixed handle and priority.
 */
import { closeSync, constants, existsSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import { readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isNativeError, SluiceError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import type { Program } from './programs.js';

/** include/uapi/linux/bpf.h; those of tcx are newer than some systems' headers. */
const BPF_XDP = 37;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const BPF_LINK_TYPE_CGROUP = 3;
const BPF_LINK_TYPE_NETFILTER = 10;
const BPF_LINK_TYPE_TCX = 11;
const BPF_PROG_TYPE_NETFILTER = 32;
const BPF_NETFILTER = 45;
const BPF_F_NETFILTER_IP_DEFRAG = 1;
/** include/uapi/linux/netfilter.h */
const NFPROTO = { 4: 2, 6: 10 } as const;
const NF_INET_PRE_ROUTING = 0;
/** r0 = NF_ACCEPT; exit */
const ACCEPT = Buffer.from('b700000001000000' + '9500000000000000', 'hex');
/** include/uapi/linux/if_link.h */
const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;

/** Ours among the filters of a clsact qdisc; "Sl" and a middling priority. */
export const CLSACT_HANDLE = 0x536c;
export const CLSACT_PRIORITY = 0x536c;

export type Direction = 'ingress' | 'egress';
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

  constructor(native: BpfNative, options: { tcx: boolean }) {
    this.#native = native;
    this.#tcx = options.tcx;
  }

  /**
   * Puts the program on a device's tc hook, after those that are there. Where
   * `pin` holds a link of the same device its program is exchanged atomically;
   * one of a device that is gone is replaced.
   */
  async attachTc(
    program: Program,
    at: { ifindex: number; direction: Direction; pin: string },
  ): Promise<Attachment> {
    mkdirSync(dirname(at.pin), { recursive: true, mode: 0o700 });
    if (!this.#tcx) return this.#attachClsact(program, at);
    const type = at.direction === 'ingress' ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
    await this.#attachLink(program, at.pin, onDevice(at.ifindex, type, 0));
    return { mode: 'tcx', pin: at.pin, programId: program.id };
  }

  /** Native where the driver can, else generic. */
  async attachXdp(program: Program, at: { ifindex: number; pin: string }): Promise<Attachment> {
    mkdirSync(dirname(at.pin), { recursive: true, mode: 0o700 });
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
    mkdirSync(dirname(at.pin), { recursive: true, mode: 0o700 });
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
    const native = this.#native;
    mkdirSync(dirname(at.pin), { recursive: true, mode: 0o700 });
    await this.detach(at.pin);
    const program = native.bpfProgramLoadRaw(BPF_PROG_TYPE_NETFILTER, ACCEPT, BPF_NETFILTER);
    try {
      const link = await native.bpfNetfilterLinkCreate(
        program,
        at.netns,
        NFPROTO[at.family],
        NF_INET_PRE_ROUTING,
        0,
        BPF_F_NETFILTER_IP_DEFRAG,
      );
      try {
        native.bpfPin(link, at.pin);
      } finally {
        native.bpfCloseFd(link);
      }
    } finally {
      native.bpfCloseFd(program);
    }
  }

  async #attachLink(program: Program, pin: string, on: LinkTarget): Promise<void> {
    const native = this.#native;
    if (existsSync(pin)) {
      const link = native.bpfGetPinned(pin);
      try {
        if (on.isOf(native.bpfLinkInfo(link))) {
          await native.bpfLinkUpdate(link, program.fd);
          return;
        }
        await unlink(pin);
      } finally {
        await native.bpfCloseFdAsync(link);
      }
    }
    const link = await native.bpfLinkCreate(program.fd, on.target, on.type, on.flags);
    try {
      native.bpfPin(link, pin);
    } catch (e) {
      // without a pin the program comes off again, which waits
      await native.bpfCloseFdAsync(link);
      throw e;
    }
    native.bpfCloseFd(link);
  }

  async #attachClsact(
    program: Program,
    at: { ifindex: number; direction: Direction; pin: string },
  ): Promise<Attachment> {
    const native = this.#native;
    await native.bpfTcAttach(
      program.fd,
      at.ifindex,
      at.direction === 'egress',
      CLSACT_HANDLE,
      CLSACT_PRIORITY,
    );
    const pin = clsactPin(at.pin, at.ifindex, at.direction);
    if (existsSync(pin)) await unlink(pin);
    native.bpfPin(program.fd, pin);
    return { mode: 'clsact', pin, programId: program.id };
  }

  /** Takes the program off and the pin away. Absent is success. */
  async detach(pin: string): Promise<void> {
    const native = this.#native;
    const clsact = await findClsact(pin);
    if (clsact !== undefined) {
      const [ifindex, direction] = clsactPlace(clsact);
      await native.bpfTcDetach(ifindex, direction === 'egress', CLSACT_HANDLE, CLSACT_PRIORITY);
      await unlink(join(dirname(pin), clsact));
    }
    if (!existsSync(pin)) return;
    const link = native.bpfGetPinned(pin);
    await unlink(pin);
    await native.bpfCloseFdAsync(link);
  }

  /** The device whose program is pinned there; null: there is no such pin. */
  async deviceOf(pin: string): Promise<number | null> {
    const clsact = await findClsact(pin);
    if (clsact !== undefined) return clsactPlace(clsact)[0];
    if (!existsSync(pin)) return null;
    const link = this.#native.bpfGetPinned(pin);
    const { ifindex } = this.#native.bpfLinkInfo(link);
    this.#native.bpfCloseFd(link);
    return ifindex;
  }

  /** Another name for a pin; the program works on. */
  async rename(from: string, to: string): Promise<void> {
    const clsact = await findClsact(from);
    if (clsact === undefined) await rename(from, to);
    else await rename(join(dirname(from), clsact), to + clsact.slice(basename(from).length));
  }

  /** What is pinned in a directory, on devices. */
  async listAttachments(directory: string): Promise<PinnedAttachment[]> {
    const native = this.#native;
    const found: PinnedAttachment[] = [];
    for (const name of await listDirectory(directory)) {
      const path = join(directory, name);
      if (name.includes('@')) {
        const [ifindex, direction] = clsactPlace(name);
        const pin = join(directory, name.slice(0, name.indexOf('@')));
        const programId = await native.bpfTcQuery(
          ifindex,
          direction === 'egress',
          CLSACT_HANDLE,
          CLSACT_PRIORITY,
        );
        found.push({ pin, ifindex: programId === 0 ? 0 : ifindex, programId, mode: 'clsact' });
        continue;
      }
      const link = native.bpfGetPinned(path);
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
      const link = native.bpfGetPinned(pin);
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

const clsactPin = (pin: string, ifindex: number, direction: Direction): string =>
  `${pin}@${ifindex}-${direction}`;

/** The file that stands for `pin` where there is a filter instead of a link. */
async function findClsact(pin: string): Promise<string | undefined> {
  return (await listDirectory(dirname(pin))).find((name) => name.startsWith(`${basename(pin)}@`));
}

function clsactPlace(name: string): [number, Direction] {
  const match = /@(\d+)-(ingress|egress)$/.exec(name);
  if (match === null) throw new SluiceError('internal', `${name} is no attachment's pin`);
  return [Number(match[1]), match[2] as Direction];
}

async function listDirectory(directory: string): Promise<string[]> {
  return existsSync(directory) ? readdir(directory) : [];
}
