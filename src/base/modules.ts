// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from './errors.js';

/** The kernel loads its modules by itself when they are asked for; this one it could not. */
export function missingModule(module: string, what: string, cause?: unknown): SluiceError {
  return new SluiceError(
    'environment',
    `${what}: the kernel module ${module} is not loaded and could not be loaded`,
    {
      hint: `modprobe ${module}; where that is refused, load it at boot (/etc/modules-load.d), or install the package with the kernel's other modules`,
      cause,
    },
  );
}
