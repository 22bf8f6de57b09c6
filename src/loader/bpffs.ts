// SPDX-License-Identifier: Apache-2.0
/** The file system that pins are in: found, mounted where there is none, and given back. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, rmdirSync, statfsSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import { mountAt } from './mounts.js';

/** include/uapi/linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;
/** Where the kernel has a place for it, and systemd mounts it. */
const SYSTEM = '/sys/fs/bpf';
/** By which a mount of ours is told from those of others. */
const SOURCE = 'sluice';
/** Iterators that a kernel with CONFIG_BPF_PRELOAD has in each; they cannot be removed. */
const PRELOADED = ['maps.debug', 'progs.debug'];

const isBpffs = (directory: string): boolean => statfsSync(directory).type === BPF_FS_MAGIC;

/**
 * Makes `directory` one for pins: below the system's bpffs, which is mounted if
 * need be, below another one, or else with one mounted on it. Answers what was mounted.
 */
export async function ensureBpffs(directory: string): Promise<string | null> {
  let mounted: string | null = null;
  const mount = async (point: string): Promise<void> => {
    await promisify(execFile)('mount', ['-t', 'bpf', '-o', 'mode=0700', SOURCE, point]);
    mounted = point;
  };
  try {
    if (`${directory}/`.startsWith(`${SYSTEM}/`) && !isBpffs(SYSTEM)) await mount(SYSTEM);
    makeDirectory(directory, 0o700);
    if (!isBpffs(directory)) await mount(directory);
    return mounted;
  } catch (cause) {
    throw new SluiceError('environment', `no place for pins at ${directory}: ${reasonOf(cause)}`, {
      hint: 'mount -t bpf bpf /sys/fs/bpf, or give --bpffs a directory that a bpffs can be mounted on',
      cause,
    });
  }
}

/** mount(8) says why on one line, Node's message about it has several. */
function reasonOf(e: unknown): string {
  const { stderr, message } = e as { stderr?: string; message: string };
  return (stderr?.trim() || message.trim()).split('\n')[0] as string;
}

/** Whether this process sees mounts that the host does not, such as below ip-netns-exec(8): they end with it. */
export function mountsArePrivate(): boolean {
  try {
    return readlinkSync('/proc/self/ns/mnt') !== readlinkSync('/proc/1/ns/mnt');
  } catch {
    return false; // nobody may look at process 1
  }
}

/**
 * Removes what is in these directories of an instance, the instance's own
 * directory, and the mounts that were made for it once nobody else has
 * anything in them. Maps and programs go with their last pin.
 */
export async function releaseBpffs(
  directory: string,
  own: readonly string[],
  tell: (what: string) => void,
): Promise<void> {
  if (!existsSync(directory)) return;
  for (const name of own) removePins(join(directory, name), tell);
  await unmount(directory, tell);
  if (mountAt(directory) === undefined && readdirSync(directory).length === 0) rmdirSync(directory);
  if (directory.startsWith(`${SYSTEM}/`)) await unmount(SYSTEM, tell);
}

function removePins(directory: string, tell: (what: string) => void): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      removePins(path, tell);
    } else {
      unlinkSync(path);
      tell(`pin ${path}`);
    }
  }
  rmdirSync(directory);
}

async function unmount(point: string, tell: (what: string) => void): Promise<void> {
  const mount = mountAt(point);
  if (mount?.type !== 'bpf' || mount.source !== SOURCE) return;
  if (readdirSync(point).some((name) => !PRELOADED.includes(name))) return;
  await promisify(execFile)('umount', [point]);
  tell(`mount ${point}`);
}
