// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../base/errors.js';

/** The checkout or installation: the directory above that has our package.json. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

/** The addon's functions, typed by bpf.ts and net.ts, which are the only ones to call this. */
export function loadAddon(): unknown {
  const path = join(packageRoot(), 'src/native/build/Release/sluice_native.node');
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    throw new SluiceError(
      'environment',
      `the native addon ${path} does not load: ${(cause as Error).message}`,
      {
        hint: 'run `npm run setup`',
        cause,
      },
    );
  }
}
