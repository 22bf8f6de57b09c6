// SPDX-License-Identifier: Apache-2.0
import { readFile, statfs } from 'node:fs/promises';
import { parseMounts } from './mounts.js';

/** include/uapi/linux/magic.h */
const CGROUP2_SUPER_MAGIC = 0x63677270;

/** Mount points that show cgroup v2 from its root, in the order of the mounts. */
export function cgroupMounts(mountinfo: string): string[] {
  return parseMounts(mountinfo)
    .filter(({ type, root }) => type === 'cgroup2' && root === '/')
    .map(({ point }) => point);
}

/**
 * Where cgroup v2 is mounted: usually /sys/fs/cgroup, beside the controllers of
 * v1 /sys/fs/cgroup/unified. null: nowhere that this process sees.
 */
export async function findCgroupRoot(): Promise<string | null> {
  for (const point of cgroupMounts(await readFile('/proc/self/mountinfo', 'utf8'))) {
    // another mount may cover it
    const type = await statfs(point).then(
      (found) => found.type,
      () => 0,
    );
    if (type === CGROUP2_SUPER_MAGIC) return point;
  }
  return null;
}
