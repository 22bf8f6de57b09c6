// SPDX-License-Identifier: Apache-2.0
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { settle } from '../base/settings.js';
import type { Sysctls } from '../reconcile/reserved-ports.js';

const DIRECTORY = '/proc/sys';
/** Some files answer one read only; a list of every second port is the longest there is. */
const LONGEST = 256 * 1024;

/** Of this process's network namespace. */
export const sysctls: Sysctls = {
  async read(key) {
    const file = await open(join(DIRECTORY, key));
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST), 0, LONGEST, null);
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  },
  write: (key, value) => writeFile(join(DIRECTORY, key), value),
};

/** Writes what is not so already. */
export const settleSysctl = (key: string, value: string): Promise<void> =>
  settle(key, value, { read: () => sysctls.read(key), write: (text) => sysctls.write(key, text) });
