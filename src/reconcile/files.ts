// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectory } from '../base/directories.js';

export function isErrno(e: unknown, ...codes: string[]): boolean {
  return e instanceof Error && codes.includes((e as NodeJS.ErrnoException).code ?? '');
}

/** Readers see the old content or the new one, never part of it. */
export function replaceFile(path: string, content: string): void {
  makeDirectory(dirname(path));
  const beside = `${path}.sluice-new`;
  writeFileSync(beside, content, { mode: 0o644 });
  renameSync(beside, path);
}

/** null: there is none. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (e) {
    if (isErrno(e, 'ENOENT', 'ENOTDIR')) return null;
    throw e;
  }
}

export function removeFile(path: string): void {
  rmSync(path, { force: true });
}

/** Only if it is empty; absent is success. */
export function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (e) {
    if (!isErrno(e, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw e;
  }
}
