// SPDX-License-Identifier: Apache-2.0
/**
 * Programs as filters of a clsact qdisc, where the kernel has no links for tc.
 * A filter is told by its fixed handle and priority. Its pin is that of its
 * program, and names device and direction. A directory beside the pins marks a
 * qdisc that we made: that one goes with our last filter, unless others have
 * filters on it by then, whose it is from there on.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import type { BpfNative } from '../native/bpf.js';
import type { Program } from './programs.js';

/** Ours among the filters of a clsact qdisc; "Sl" and a middling priority. */
export const CLSACT_HANDLE = 0x536c;
export const CLSACT_PRIORITY = 0x536c;

export type Direction = 'ingress' | 'egress';

/** The qdiscs of the daemon's namespace. */
export interface Qdiscs {
  /** False: it was there. */
  createClsact(ifindex: number): Promise<boolean>;
  /** Absent is success. */
  deleteClsact(ifindex: number): Promise<void>;
  /** In either direction, whosever they are. */
  hasFilters(ifindex: number): Promise<boolean>;
}

interface Place {
  readonly ifindex: number;
  readonly direction: Direction;
}

/** A filter that this process put in place. */
interface OwnFilter extends Place {
  /** What it was attached by. */
  readonly name: string;
  readonly program: Program;
}

/** Filters are asked for one by one, so only some each time; of the others the kernel tells when they go. */
const ASKED_AT_A_TIME = 64;

export class ClsactFilters {
  readonly #native: BpfNative;
  readonly #qdiscs: Qdiscs;
  /** By the pin of the program, in the order in which they are looked at. */
  readonly #own = new Map<string, OwnFilter>();
  /** Of the qdiscs that are known to be ours. */
  readonly #marks = new Set<string>();

  constructor(native: BpfNative, qdiscs: Qdiscs) {
    this.#native = native;
    this.#qdiscs = qdiscs;
  }

  /** Exchanged atomically where ours is there already. Answers the pin of the program. */
  async attach(program: Program, at: Place & { pin: string }): Promise<string> {
    await this.#need(dirname(at.pin), at.ifindex);
    const pin = pinOf(at);
    // no change of somebody else's while it is ours that is under way
    this.#own.delete(pin);
    await this.#native.bpfTcAttach(
      program.fd,
      at.ifindex,
      at.direction === 'egress',
      CLSACT_HANDLE,
      CLSACT_PRIORITY,
    );
    await rm(pin, { force: true });
    makeDirectory(dirname(pin), 0o700);
    this.#native.bpfPin(program.fd, pin);
    this.#own.set(pin, { ifindex: at.ifindex, direction: at.direction, name: at.pin, program });
    // of a device that had the name before
    for (const other of await pinsOf(at.pin)) if (other !== pin) await this.#remove(other);
    return pin;
  }

  async detach(pin: string): Promise<void> {
    for (const own of await pinsOf(pin)) await this.#remove(own);
  }

  /** Without a look at the whole directory: from this one device. */
  async detachFrom(at: Place & { pin: string }): Promise<void> {
    if (existsSync(pinOf(at))) await this.#remove(pinOf(at));
  }

  /** The device of the filter that is pinned by that name; null: there is none. */
  async deviceOf(pin: string): Promise<number | null> {
    const [own] = await pinsOf(pin);
    return own === undefined ? null : placeOf(own).ifindex;
  }

  /** False: no filter has that name. */
  async rename(from: string, to: string): Promise<boolean> {
    const pins = await pinsOf(from);
    for (const pin of pins) {
      const next = to + pin.slice(from.length);
      await rename(pin, next);
      const own = this.#own.get(pin);
      this.#own.delete(pin);
      if (own !== undefined) this.#own.set(next, { ...own, name: to });
    }
    return pins.length > 0;
  }

  /** The names of those that are gone, or have another program: on the devices that were touched, and of some others. */
  async lost(touched: ReadonlySet<number>): Promise<string[]> {
    const asked = [...this.#own].filter(([, { ifindex }], i) => i < ASKED_AT_A_TIME || touched.has(ifindex));
    const lost: string[] = [];
    for (const [pin, own] of asked) {
      const id = await this.#query(own);
      if (this.#own.get(pin) !== own) continue;
      if (id !== own.program.id) lost.push(own.name);
      this.#own.delete(pin);
      this.#own.set(pin, own);
    }
    return lost;
  }

  /** Puts back the pins that somebody took away, and the marks beside them. */
  async restorePins(): Promise<string[]> {
    const restored: string[] = [];
    for (const [pin, { program }] of this.#own) {
      if (existsSync(pin)) continue;
      makeDirectory(dirname(pin), 0o700);
      this.#native.bpfPin(program.fd, pin);
      restored.push(pin);
    }
    for (const mark of this.#marks) if (!existsSync(mark)) mkdirSync(mark, { mode: 0o700 });
    return restored;
  }

  #query({ ifindex, direction }: Place): Promise<number> {
    return this.#native.bpfTcQuery(ifindex, direction === 'egress', CLSACT_HANDLE, CLSACT_PRIORITY);
  }

  /** What a pinned filter is on, and the pin that it was attached by; null: `path` is no filter's. */
  async find(path: string): Promise<{ pin: string; ifindex: number; programId: number } | null> {
    const at = basename(path).indexOf('@');
    if (at < 0) return null;
    const { ifindex, direction } = placeOf(path);
    const programId = await this.#query({ ifindex, direction });
    const pin = join(dirname(path), basename(path).slice(0, at));
    return { pin, ifindex: programId === 0 ? 0 : ifindex, programId };
  }

  async #need(directory: string, ifindex: number): Promise<void> {
    const mark = markOf(directory, ifindex);
    const known = existsSync(mark);
    // before it is made: whoever is killed in between leaves none behind
    if (!known) mkdirSync(mark, { mode: 0o700 });
    let made = false;
    try {
      made = await this.#qdiscs.createClsact(ifindex);
    } finally {
      if (!made && !known) rmdirSync(mark);
      else this.#marks.add(mark);
    }
  }

  async #remove(path: string): Promise<void> {
    const { ifindex, direction } = placeOf(path);
    const directory = dirname(path);
    await this.#native.bpfTcDetach(ifindex, direction === 'egress', CLSACT_HANDLE, CLSACT_PRIORITY);
    await rm(path, { force: true });
    this.#own.delete(path);
    const mark = markOf(directory, ifindex);
    const last = !(await readdir(directory)).some((name) => name.includes(`@${ifindex}-`));
    if (!last || !existsSync(mark)) return;
    if (!(await this.#qdiscs.hasFilters(ifindex))) await this.#qdiscs.deleteClsact(ifindex);
    this.#marks.delete(mark);
    rmdirSync(mark);
  }
}

const pinOf = ({ pin, ifindex, direction }: Place & { pin: string }): string =>
  `${pin}@${ifindex}-${direction}`;

const markOf = (directory: string, ifindex: number): string => join(directory, `clsact-${ifindex}`);

/** One, or one for each device that had the name. */
async function pinsOf(pin: string): Promise<string[]> {
  const directory = dirname(pin);
  if (!existsSync(directory)) return [];
  const names = await readdir(directory);
  return names.filter((name) => name.startsWith(`${basename(pin)}@`)).map((name) => join(directory, name));
}

function placeOf(path: string): Place {
  const match = /@(\d+)-(ingress|egress)$/.exec(path);
  if (match === null) throw new SluiceError('internal', `${path} is no filter's pin`);
  return { ifindex: Number(match[1]), direction: match[2] as Direction };
}
