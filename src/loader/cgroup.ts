// SPDX-License-Identifier: Apache-2.0
import { readFile, statfs } from 'node:fs/promises';

/** include/uapi/linux/magic.h */
const CGROUP2_SUPER_MAGIC = 0x63677270;

/** Mount points that show cgroup v2 from its root, in the order of the mounts. */
export function cgroupMounts(mountinfo: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [place = '', what = ''] = line.split(' - ');
    const [, , , root, point] = place.split(' ');
    if (!what.startsWith('cgroup2 ') || root !== '/' || point === undefined) return [];
    return [
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    ];
  });
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
