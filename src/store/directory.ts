// SPDX-License-Identifier: Apache-2.0
/**
 * The directory of a database, which is there whole or not at all: a new one is
 * made beside its place and renamed. So one without its parts has lost them,
 * and is never taken for a new one. LevelDB by itself makes an empty database
 * where CURRENT is missing, and removes what is left of the old one.
 */
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SluiceError } from '../base/errors.js';

export const LOST_HINT =
  'restore a backup (sluiced restore FILE), or start once with --adopt-empty-state to go on without what is lost: what the state does not mention is then removed from the kernel';

/** `void`: nothing was ever written to it. */
export type Found = 'absent' | 'void' | 'present' | 'damaged';

export async function look(location: string): Promise<Found> {
  const names = await namesIn(location);
  if (names === null || names.length === 0) return 'absent';
  if (!names.includes('CURRENT')) return 'damaged';
  // An earlier version that could not start left one like that.
  const written = names.filter((name) => /\.(log|ldb|sst)$/.test(name));
  const [log] = written;
  if (written.length !== 1 || !log?.endsWith('.log')) return 'present';
  return (await stat(join(location, log))).size === 0 ? 'void' : 'present';
}

/** Puts what `build` makes at the path that it is given into the place of `location`, which holds nothing. */
export async function makeWhole(location: string, build: (path: string) => Promise<void>): Promise<void> {
  const path = `${location}.new`;
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  await build(path);
  await syncDirectory(path);
  await rename(path, location);
  await syncDirectory(dirname(location));
}

/**
 * Makes what is to take the place of `location` when it is opened the next time;
 * until then nothing changes.
 */
export async function stage(location: string, build: (path: string) => Promise<void>): Promise<void> {
  await rm(staged(location), { recursive: true, force: true });
  await makeWhole(staged(location), build);
}

/** What is in its place goes aside; the one that went aside so before is removed. Cut short, it goes on the next time. */
export async function takeStaged(location: string, forget: () => void): Promise<void> {
  if ((await namesIn(staged(location))) === null) return;
  if ((await namesIn(location)) !== null) {
    await rm(`${location}.before-restore`, { recursive: true, force: true });
    await rename(location, `${location}.before-restore`);
  }
  forget();
  await rename(staged(location), location);
  await syncDirectory(dirname(location));
}

const staged = (location: string): string => `${location}.restore`;

/** Answers where it is now. Nothing of it is removed. */
export async function setAside(location: string): Promise<string> {
  const taken = (await namesIn(dirname(location))) ?? [];
  const name = (n: number): string => `${basename(location)}.lost-${n}`;
  let n = 1;
  while (taken.includes(name(n))) n++;
  const path = join(dirname(location), name(n));
  await rename(location, path);
  await syncDirectory(dirname(location));
  return path;
}

export function lost(location: string, what: string, cause?: unknown): SluiceError {
  return new SluiceError('store', `the state in ${location} is not whole: ${what}`, {
    hint: LOST_HINT,
    cause,
  });
}

async function namesIn(directory: string): Promise<string[] | null> {
  try {
    return await readdir(directory);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw e;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
