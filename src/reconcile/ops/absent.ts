// SPDX-License-Identifier: Apache-2.0
import { isNativeError } from '../../base/errors.js';

/** Removing what is not there, or not there any more, is success. */
export async function ifPresent(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (e) {
    if (!isNativeError(e) || !['ENOENT', 'ENODEV', 'ESRCH', 'EADDRNOTAVAIL'].includes(e.code)) throw e;
  }
}
