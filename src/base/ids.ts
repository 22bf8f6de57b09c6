// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';

/** 64 hexadecimal characters, random: unique without asking anybody. */
export function newId(): string {
  return randomBytes(32).toString('hex');
}

/** A whole id or the beginning of one. Names are shorter than ids, so a full id is never a name. */
export function isIdPrefix(text: string): boolean {
  return /^[0-9a-f]{1,64}$/.test(text);
}
