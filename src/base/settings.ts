// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from './errors.js';

export interface SettingFile {
  read(): Promise<string>;
  write(value: string): Promise<void>;
}

/** Where /proc/sys is read-only, as in containers, a setting that is as it should be is none to write. */
export async function settle(key: string, value: string, file: SettingFile): Promise<void> {
  try {
    await file.write(value);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EROFS' && code !== 'EACCES' && code !== 'EPERM') throw cause;
    const present = (await file.read()).trim();
    if (present === value) return;
    throw new SluiceError(
      'environment',
      `${key} is ${present} and must be ${value}, and cannot be written (${code})`,
      {
        hint: '/proc/sys is read-only here: mount -o remount,rw /proc/sys, or start sluiced where it is writable',
        cause,
      },
    );
  }
}
