// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

/** What execvp would make of it; asked beforehand, for the exit codes 126 and 127. */
export function findCommand(
  program: string,
  path = '/usr/local/bin:/usr/bin:/bin',
): 'found' | 'absent' | 'denied' {
  if (program === '') return 'absent';
  if (program.includes('/')) return look(program);
  const seen = path.split(':').map((directory) => look(join(directory || '.', program)));
  if (seen.includes('found')) return 'found';
  return seen.includes('denied') ? 'denied' : 'absent';
}

function look(file: string): 'found' | 'absent' | 'denied' {
  try {
    if (!statSync(file).isFile()) return 'denied';
    accessSync(file, constants.X_OK);
    return 'found';
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'denied';
  }
}
