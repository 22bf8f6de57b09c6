// SPDX-License-Identifier: Apache-2.0
/**
 * How the embedded engine writes an entry: `CHECK VERSION JSON`, where CHECK is
 * the beginning of the SHA-256 over the key and the rest. LevelDB does not
 * verify its own checksums on every read, and a damaged digit is still JSON.
 */
import { createHash } from 'node:crypto';
import { SluiceError } from '../base/errors.js';
import { LOST_HINT } from './directory.js';
import type { Entry, Json } from './store.js';

export function encodeEntry(key: string, value: Json, version: number): string {
  const body = `${version} ${JSON.stringify(value)}`;
  return `${check(key, body)} ${body}`;
}

const ENTRY = /^([0-9a-f]{16}) (([1-9]\d*) (.*))$/s;

export function isSound(key: string, text: string): boolean {
  const match = ENTRY.exec(text);
  return match !== null && match[1] === check(key, match[2] as string);
}

export function decodeEntry(key: string, text: string): Entry {
  const match = ENTRY.exec(text);
  if (!match || match[1] !== check(key, match[2] as string)) throw damaged(key);
  return { key, version: Number(match[3]), value: JSON.parse(match[4] as string) as Json };
}

/** Also for values that are sound JSON but not what belongs under their key. */
export function damaged(key: string, detail?: string): SluiceError {
  return new SluiceError('store', `the stored value of '${key}' is damaged${detail ? `: ${detail}` : ''}`, {
    hint: LOST_HINT,
  });
}

function check(key: string, body: string): string {
  return createHash('sha256').update(`${key}\n${body}`).digest('hex').slice(0, 16);
}
