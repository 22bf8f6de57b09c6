// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { mountAt, parseMounts } from '../../../src/loader/mounts.js';

it('reads mount points, with optional fields and without, and their escapes', () => {
  const mountinfo = [
    '25 23 0:22 / /sys rw,nosuid shared:7 master:1 - sysfs sysfs rw',
    '40 25 0:37 / /sys/fs/bpf rw,relatime - bpf sluice rw,mode=700',
    '43 31 0:38 /a\\040b /mnt/with\\040space rw - ext4 /dev/sda1 rw',
    '',
  ].join('\n');
  expect(parseMounts(mountinfo)).toEqual([
    { point: '/sys', root: '/', type: 'sysfs', source: 'sysfs' },
    { point: '/sys/fs/bpf', root: '/', type: 'bpf', source: 'sluice' },
    { point: '/mnt/with space', root: '/a b', type: 'ext4', source: '/dev/sda1' },
  ]);
});

it('sees those of this process', () => {
  expect(mountAt('/proc')?.type).toBe('proc');
  expect(mountAt('/proc/self')).toBeUndefined();
});
