// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it that are missing; one that is there is
 * success. Not by mkdir's `recursive`: proc and sysfs answer ENOENT for a new
 * name in a directory that exists, and Node then tries the two in turn for ever.
 */
export function makeDirectory(path: string, mode = 0o777): void {
  try {
    make(path, mode);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw e;
    makeDirectory(dirname(path), mode);
    make(path, mode);
  }
}

function make(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    // a file system that is mounted read-only says so before it looks whether the name is there
    const present = code === 'EEXIST' || code === 'EROFS' || code === 'EACCES' || code === 'EPERM';
    if (!present || statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw e;
  }
}
