// SPDX-License-Identifier: Apache-2.0
/**
 * Which Docker the tests run: the machine's, or with SLUICE_TEST_ENGINE one
 * that scripts/docker-engine.sh has unpacked into a directory, which becomes
 * the root of its processes.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const OTHER_ROOT: string | null = process.env.SLUICE_TEST_ENGINE || null;

/** Of the package: of the same version as dockerd, whichever else is installed. */
export const CLIENT = OTHER_ROOT === null && existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

/** Where this machine's root is in it. */
const HOST = '/host';

/** Before a command of a process that has taken the root: it is one of this machine's. */
export const ON_THIS_ROOT: readonly string[] = OTHER_ROOT === null ? [] : ['chroot', HOST];

/**
 * Commands of a shell that is alone in a mount namespace, and whose root
 * becomes the engine's. A root that is only chroot()ed to would not do: runc
 * calls pivot_root().
 */
export function takeRoot(shared: string, root = OTHER_ROOT): string[] {
  if (root === null) return [];
  const at = (path: string): string => join(root, path);
  return [
    // What is written goes to a layer above the directory, which may be of several at a time.
    'layers=$(mktemp -d /run/engine.XXXXXX)',
    'mkdir $layers/upper $layers/work',
    `mount -t overlay -o lowerdir=${root},upperdir=$layers/upper,workdir=$layers/work engine ${root}`,
    `mkdir -p ${at(HOST)} ${at(shared)}`,
    // so that what Docker mounts there is to be seen from both roots
    'mountpoint -q /run || mount --bind /run /run',
    'mount --make-shared /run',
    ...['/proc', '/sys', '/dev', '/run', shared].map((path) => `mount --rbind ${path} ${at(path)}`),
    `cd ${root}`,
    `pivot_root . .${HOST}`,
  ];
}
