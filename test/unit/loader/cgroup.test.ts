// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { cgroupMounts } from '../../../src/loader/cgroup.js';

it('finds where cgroup v2 is mounted from its root', () => {
  const mountinfo = [
    '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
    '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
    '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw',
    '42 31 0:38 /user.slice /mnt/part rw,relatime - cgroup2 cgroup2 rw',
    '43 31 0:38 / /mnt/with\\040space rw,relatime - cgroup2 none rw',
    '',
  ].join('\n');
  expect(cgroupMounts(mountinfo)).toEqual(['/sys/fs/cgroup/unified', '/mnt/with space']);
  expect(cgroupMounts('')).toEqual([]);
});
