// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';

export interface Mount {
  readonly point: string;
  /** What of the file system is shown there; `/`: all. */
  readonly root: string;
  readonly type: string;
  /** As given to mount(8). */
  readonly source: string;
}

/** Of proc_pid_mountinfo(5), in the order of the mounts: of several on one point the last is seen. */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [place = '', what = ''] = line.split(' - ');
    const [, , , root, point] = place.split(' ');
    const [type, source] = what.split(' ');
    if (root === undefined || point === undefined || type === undefined || source === undefined) return [];
    return [{ point: unescaped(point), root: unescaped(root), type, source: unescaped(source) }];
  });
}

/** What this process sees at a mount point; undefined: nothing is mounted there. */
export function mountAt(point: string): Mount | undefined {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8')).findLast((mount) => mount.point === point);
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
