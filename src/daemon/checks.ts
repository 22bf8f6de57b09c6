// SPDX-License-Identifier: Apache-2.0
/** What the daemon needs of its place, each refused in one line with the way out. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';
import { OBJECTS } from './places.js';

/** linux/capability.h; namespaces are mounted and entered with CAP_SYS_ADMIN. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const;

export function checkCapabilities(status = readFileSync('/proc/self/status', 'utf8')): void {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const missing = Object.entries(CAPABILITIES)
    .filter(([, bit]) => (effective & (1n << BigInt(bit))) === 0n)
    .map(([name]) => name);
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
