// SPDX-License-Identifier: Apache-2.0
/** What the daemon needs of its place, each refused in one line with the way out. */
import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import { missingCapabilities, type ReadFacts, readFacts } from '../loader/rights.js';
import { OBJECTS } from './places.js';

export function checkCapabilities(read: ReadFacts = readFacts): void {
  const missing = missingCapabilities(read);
  if (missing.length === 0) return;
  throw new SluiceError('environment', `this process lacks ${missing.join(', ')}`, {
    hint: 'run sluiced as root',
  });
}

export function checkBuild(objects = OBJECTS): void {
  if (existsSync(join(objects, 'endpoint_ingress.bpf.o'))) return;
  throw new SluiceError('environment', `the programs are not built (${objects})`, {
    hint: 'run npm run setup, which gets clang and builds them',
  });
}

export function prepareStateDir(directory: string): void {
  try {
    makeDirectory(directory, 0o700);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new SluiceError('environment', `cannot use the state directory ${directory}: ${code}`, {
      hint: 'give another --state-dir',
      cause,
    });
  }
}
