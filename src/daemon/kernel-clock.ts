// SPDX-License-Identifier: Apache-2.0
/**
 * The monotonic clock as the programs in the kernel read it. A process in a
 * time namespace is told that clock with the namespace's offset, the programs
 * without; so whatever is compared with what they wrote, or is written for
 * them, is of this one. An offset is fixed once a process is in its namespace.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { isErrno } from '../reconcile/files.js';

/** Of the namespace that children are born in, which is this process's own unless it has just left that. */
const OFFSETS = '/proc/self/timens_offsets';
const OWN = '/proc/self/ns/time';
const CHILDREN = '/proc/self/ns/time_for_children';
const NS_PER_SECOND = 1_000_000_000n;

export interface KernelClock {
  /** Nanoseconds. */
  now(): bigint;
}

export function kernelClock(): KernelClock {
  const offset = monotonicOffset(readOffsets());
  return { now: () => process.hrtime.bigint() - offset };
}

/** What this process's monotonic clock is ahead of the kernel's, in nanoseconds. */
export function monotonicOffset(offsets: string): bigint {
  const found = /^monotonic\s+(-?\d+)\s+(\d+)/m.exec(offsets);
  if (found === null) return 0n;
  return BigInt(found[1] as string) * NS_PER_SECOND + BigInt(found[2] as string);
}

/** Without time namespaces there is no such file. */
function readOffsets(): string {
  try {
    return readlinkSync(OWN) === readlinkSync(CHILDREN) ? readFileSync(OFFSETS, 'utf8') : '';
  } catch (e) {
    if (isErrno(e, 'ENOENT')) return '';
    throw e;
  }
}
