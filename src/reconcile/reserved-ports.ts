// SPDX-License-Identifier: Apache-2.0
/**
 * net.ipv4.ip_local_reserved_ports: ports that the kernel does not pick by
 * itself. A bind hook sees only the port that a program names, so published
 * ports in the range for automatic ones are merged into that list, beside
 * entries of others. What of the list is ours is kept in a file.
 */
import { Coalesced } from '../base/coalesced.js';
import { toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { PortSet } from '../base/port-set.js';
import type { PublishRow } from '../cnm/rows.js';
import { readText, removeFile, replaceFile } from './files.js';

export const RESERVED_PORTS = 'net/ipv4/ip_local_reserved_ports';
const PORT_RANGE = 'net/ipv4/ip_local_port_range';

/** Files below /proc/sys of the daemon's own namespace. */
export interface Sysctls {
  read(key: string): Promise<string>;
  write(key: string, value: string): Promise<void>;
}

/** Those that the kernel picks by itself, inclusive. */
export async function automaticPorts(
  sysctls: Pick<Sysctls, 'read'>,
): Promise<{ first: number; last: number }> {
  const [first = 0, last = 0] = (await sysctls.read(PORT_RANGE)).trim().split(/\s+/).map(Number);
  return { first, last };
}

export interface ReservedPortsOptions {
  sysctls: Sysctls;
  /** Where to note what is ours. */
  file: string;
  /** The publishes that are wanted now. */
  rows(): Iterable<Pick<PublishRow, 'hostPort' | 'hostPortEnd'>>;
  log: Log;
}

/** `next`: a write was under way, and the kernel has one or the other. */
interface Note {
  ours: string;
  next?: string;
}

export class ReservedPorts {
  readonly #o: ReservedPortsOptions;
  readonly #settling = new Coalesced(() => this.#settle());
  /** Of automatic ports, inclusive; null until the first look at the kernel. */
  #range: { first: number; last: number } | null = null;
  /** What was wanted at the last look, to do nothing where nothing changes. */
  #settled: string | null = null;
  #complaint = '';

  constructor(options: ReservedPortsOptions) {
    this.#o = options;
  }

  /** After a publish has come or gone. Changes of one moment are one write. */
  async changed({ hostPort, hostPortEnd }: Pick<PublishRow, 'hostPort' | 'hostPortEnd'>): Promise<void> {
    // The first look, before anything is brought about, takes in all that is wanted.
    if (this.#range === null || hostPort > this.#range.last || hostPortEnd < this.#range.first) return;
    await this.#settling.run();
  }

  /** Compares with the kernel, whatever we believe, and repairs. */
  async repair(): Promise<void> {
    this.#settled = null;
    await this.#settling.run();
  }

  /** Takes ours out of the kernel's list; answers which they were, '' for none. */
  async restore(): Promise<string> {
    const { sysctls, file } = this.#o;
    const current = PortSet.parse(await sysctls.read(RESERVED_PORTS));
    const ours = this.#oursOf(current);
    if (!ours.empty) await sysctls.write(RESERVED_PORTS, `${current.without(ours)}\n`);
    removeFile(file);
    return String(ours);
  }

  /** The publish itself works without; so whatever is wrong is told and tried again. */
  async #settle(): Promise<void> {
    try {
      await this.#merge();
      this.#complaint = '';
    } catch (e) {
      this.#settled = null;
      const { message } = toSluiceError(e, `${RESERVED_PORTS} is not in place`);
      if (message !== this.#complaint) this.#o.log.warn(message);
      this.#complaint = message;
    }
  }

  async #merge(): Promise<void> {
    const { sysctls } = this.#o;
    if (this.#settled === null) await this.#lookAtRange();
    const wanted = this.#wanted();
    if (String(wanted) === this.#settled) return;
    const current = PortSet.parse(await sysctls.read(RESERVED_PORTS));
    const ours = this.#oursOf(current);
    const others = current.without(ours);
    const next = wanted.without(others);
    const target = others.union(next);
    if (String(target) !== String(current)) {
      this.#write({ ours: String(ours), next: String(next) });
      await sysctls.write(RESERVED_PORTS, `${target}\n`);
      const found = PortSet.parse(await sysctls.read(RESERVED_PORTS));
      if (!next.isWithin(found)) throw new Error(`the kernel holds ${found}, not ${target}`);
    }
    this.#write({ ours: String(next) });
    this.#settled = String(wanted);
  }

  async #lookAtRange(): Promise<void> {
    this.#range = await automaticPorts(this.#o.sysctls);
  }

  #wanted(): PortSet {
    const all = new PortSet();
    for (const { hostPort, hostPortEnd } of this.#o.rows()) all.add(hostPort, hostPortEnd);
    const automatic = new PortSet();
    if (this.#range !== null) automatic.add(this.#range.first, this.#range.last);
    return all.intersection(automatic);
  }

  /**
   * What of the kernel's list is ours. A list that lacks some of ours has been
   * written anew by somebody else (or the machine has started anew), and is
   * theirs as a whole.
   */
  #oursOf(current: PortSet): PortSet {
    const note = this.#read();
    const candidates = [note.ours, ...(note.next === undefined ? [] : [note.next])].map((text) =>
      PortSet.parse(text),
    );
    if (!candidates.some((set) => set.isWithin(current))) return new PortSet();
    return candidates.reduce((all, set) => all.union(set)).intersection(current);
  }

  #read(): Note {
    try {
      const note = JSON.parse(readText(this.#o.file) ?? '{}') as Partial<Note>;
      return { ...note, ours: note.ours ?? '' };
    } catch {
      // Cut short by a crash of the machine, which has emptied the kernel's list too.
      return { ours: '' };
    }
  }

  #write(note: Note): void {
    if (note.ours === '' && note.next === undefined) removeFile(this.#o.file);
    else replaceFile(this.#o.file, `${JSON.stringify(note)}\n`);
  }
}
