// SPDX-License-Identifier: Apache-2.0
/**
 * Links, programs and maps of the whole machine, less those that are shown to
 * be somebody else's: others may start and stop daemons while a test runs.
 * Where nobody else does, nothing is left out.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { must, sleep } from './process.js';

const KINDS = ['link', 'prog', 'map'] as const;
type Kind = (typeof KINDS)[number];
export type BpfIds = Record<Kind, ReadonlySet<number>>;

interface Shown {
  readonly id: number;
  readonly pinned?: readonly string[];
  /** Of a link. */
  readonly prog_id?: number;
  /** Of a program. */
  readonly type?: string;
  readonly map_ids?: readonly number[];
}

/** What of the machine is one's own: below a directory of pins, or held by a process. */
export interface Own {
  readonly bpffs: string;
  readonly daemon: { readonly pid: number } | null;
}

/** What container runtimes put on each container's cgroup (v2), unpinned; nothing of ours is of that type. */
const OF_RUNTIMES = 'cgroup_device';

const show = (kind: Kind): Shown[] =>
  JSON.parse(must(null, ['bpftool', '-j', '-f', kind, 'show']) || '[]') as Shown[];

/** By the descriptors of all processes but one. */
function heldByOthers(own: number | undefined): Record<Kind, Set<number>> {
  const held = { link: new Set<number>(), prog: new Set<number>(), map: new Set<number>() };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== own);
  for (const pid of pids) {
    for (const fd of whereStillThere(() => readdirSync(join('/proc', pid, 'fd'))) ?? []) {
      const target = whereStillThere(() => readlinkSync(join('/proc', pid, 'fd', fd)));
      if (target?.startsWith('anon_inode:bpf') !== true) continue;
      const info = whereStillThere(() => readFileSync(join('/proc', pid, 'fdinfo', fd), 'utf8')) ?? '';
      // that of a link has its program's id too, which is as much somebody's
      for (const kind of KINDS) {
        const id = new RegExp(`^${kind}_id:\\s+(\\d+)$`, 'm').exec(info)?.[1];
        if (id !== undefined) held[kind].add(Number(id));
      }
    }
  }
  return held;
}

function whereStillThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the process has ended, or closed it
  }
}

/** All that is there and not somebody else's, at this moment. */
function look(own: Own): BpfIds {
  const shown = { link: show('link'), prog: show('prog'), map: show('map') };
  const others = heldByOthers(own.daemon?.pid);
  for (const kind of KINDS)
    for (const { id, type, pinned = [] } of shown[kind])
      if (type === OF_RUNTIMES || pinned.some((pin) => !pin.startsWith(`${own.bpffs}/`)))
        others[kind].add(id);
  // A link has its program with it, a program its maps; and whoever uses a map of others is one of them.
  for (const { id, prog_id } of shown.link) if (others.link.has(id)) others.prog.add(prog_id ?? 0);
  for (const { id, map_ids = [] } of shown.prog)
    if (map_ids.some((map) => others.map.has(map))) others.prog.add(id);
  for (const { id, map_ids = [] } of shown.prog)
    if (others.prog.has(id)) for (const map of map_ids) others.map.add(map);
  const rest = (kind: Kind): Set<number> =>
    new Set(shown[kind].map(({ id }) => id).filter((id) => !others[kind].has(id)));
  return { link: rest('link'), prog: rest('prog'), map: rest('map') };
}

/**
 * What stays: seen by every one of some looks over `ms`. Programs and maps go
 * a grace period after their last holder, and belong to nobody until then.
 */
export async function bpfObjects(own: Own, ms = 1_000): Promise<BpfIds> {
  let seen = look(own);
  for (const end = Date.now() + ms; Date.now() < end; ) {
    await sleep(ms / 4);
    const now = look(own);
    const both = (kind: Kind): Set<number> => new Set([...seen[kind]].filter((id) => now[kind].has(id)));
    seen = { link: both('link'), prog: both('prog'), map: both('map') };
  }
  return seen;
}

/** By kind, what `now` has and `before` has not. */
export function addedSince(before: BpfIds, now: BpfIds): Record<Kind, number[]> {
  const added = (kind: Kind): number[] => [...now[kind]].filter((id) => !before[kind].has(id));
  return { link: added('link'), prog: added('prog'), map: added('map') };
}
