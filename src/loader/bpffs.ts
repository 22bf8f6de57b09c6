// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { mkdir, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { SluiceError } from '../base/errors.js';

/** include/uapi/linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;

const isBpffs = async (directory: string): Promise<boolean> =>
  (await statfs(directory)).type === BPF_FS_MAGIC;

/**
 * Makes `directory` one for pins: below a mounted bpffs, or else with one
 * mounted on it.
 */
export async function ensureBpffs(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (await isBpffs(directory)) return;
    await promisify(execFile)('mount', ['-t', 'bpf', '-o', 'mode=0700', 'sluice', directory]);
  } catch (cause) {
    throw new SluiceError(
      'environment',
      `no place for pins at ${directory}: ${(cause as Error).message.trim()}`,
      {
        hint: 'mount -t bpf bpf /sys/fs/bpf, or give --bpffs a directory that a bpffs can be mounted on',
        cause,
      },
    );
  }
}
