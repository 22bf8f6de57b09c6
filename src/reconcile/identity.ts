// SPDX-License-Identifier: Apache-2.0
/**
 * What is ours, told from what only looks like it. Links carry an alias
 * (IFLA_IFALIAS); what is about to be made is marked first by a directory in
 * our bpffs, which lives exactly as long as the kernel does. Both name the
 * instance, which the place of its pins decides: the same flags find the same
 * things, even with the state lost.
 */
import { createHash } from 'node:crypto';
import { readdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directories.js';

/** Directories of the bpffs. `state`: which state the dataplane was made from; `layout`: of the pinned maps. */
export const MARK_KINDS = ['netns', 'link', 'macvlan', 'state', 'layout'] as const;
export type MarkKind = (typeof MARK_KINDS)[number];

export class Identity {
  /** 12 hexadecimal digits. */
  readonly instance: string;
  readonly #bpffs: string;
  /** What this process has marked, or found marked. */
  readonly #known = new Map<MarkKind, Set<string>>();

  /** True: links of ours are there, and no mark of a namespace that we made. */
  wiped = false;

  constructor(bpffs: string) {
    this.#bpffs = bpffs;
    this.instance = createHash('sha256').update(bpffs).digest('hex').slice(0, 12);
  }

  /** What a link of ours bears as alias; `object` says which row made it. */
  alias(object: string): string {
    return `sluice:${this.instance}:${object}`;
  }

  /** Whether a link is ours: by its alias, or, if it had no time to get one, by our mark. */
  owns(link: { name: string; alias: string }): boolean {
    if (this.#bears(link.alias)) return true;
    return link.alias === '' && this.marked('link').includes(link.name);
  }

  /** Call before the first mark. What is marked by now stays known, whatever becomes of the marks. */
  lookForLoss(links: readonly { alias: string }[]): void {
    for (const kind of MARK_KINDS) this.#ofKind(kind);
    this.wiped = this.marked('netns').length === 0 && links.some(({ alias }) => this.#bears(alias));
  }

  /** Before making it. */
  mark(kind: MarkKind, name: string): void {
    this.#ofKind(kind).add(name);
    makeDirectory(this.#path(kind, name), 0o700);
  }

  /** Never without one of both; there need be none yet. */
  remark(kind: MarkKind, from: string, to: string): void {
    this.#ofKind(kind).delete(from);
    this.#ofKind(kind).add(to);
    try {
      renameSync(this.#path(kind, from), this.#path(kind, to));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
      this.mark(kind, to);
    }
  }

  /** After removing it. */
  unmark(kind: MarkKind, name: string): void {
    this.#ofKind(kind).delete(name);
    try {
      rmdirSync(this.#path(kind, name));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
    }
  }

  /** Puts back the marks that somebody took away, and answers how many. */
  restore(): number {
    let restored = 0;
    for (const [kind, names] of this.#known) {
      const present = new Set(this.#read(kind));
      for (const name of names) {
        if (present.has(name)) continue;
        makeDirectory(this.#path(kind, name), 0o700);
        restored++;
      }
    }
    return restored;
  }

  marked(kind: MarkKind): string[] {
    const known = this.#ofKind(kind);
    for (const name of this.#read(kind)) known.add(name);
    return [...known];
  }

  #bears(alias: string): boolean {
    return alias.startsWith(this.alias(''));
  }

  #ofKind(kind: MarkKind): Set<string> {
    let known = this.#known.get(kind);
    if (known === undefined) {
      known = new Set(this.#read(kind));
      this.#known.set(kind, known);
    }
    return known;
  }

  #read(kind: MarkKind): string[] {
    try {
      return readdirSync(join(this.#bpffs, kind)).map(decode);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw e;
    }
  }

  #path(kind: MarkKind, name: string): string {
    return join(this.#bpffs, kind, encode(name));
  }
}

/** File names of a bpffs hold no dot; ours take no slash either. */
export function encode(name: string): string {
  return name.replace(/[%./]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
}

export function decode(name: string): string {
  return name.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
