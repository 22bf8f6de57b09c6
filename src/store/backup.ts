// SPDX-License-Identifier: Apache-2.0
/**
 * A state as text: a line that says what it is, a line for each entry, and a
 * last one with the SHA-256 of all before it. What is cut or changed is not read.
 */
import { createHash } from 'node:crypto';
import { SluiceError } from '../base/errors.js';
import type { Entry, Json } from './store.js';

const FORMAT = 'sluice-backup';
/** Of the format; a newer one is refused. */
const VERSION = 1;

export interface BackupHead {
  /** When it was made. */
  readonly created: string;
  /** The state's own id; null: it has none yet. */
  readonly state: string | null;
  /** Of the records in it. */
  readonly schema: number;
  /** Of the last change in it. */
  readonly revision: number;
}

export interface Backup extends BackupHead {
  readonly entries: readonly Entry[];
}

export function* formatBackup({ entries, ...head }: Backup): Generator<string> {
  const hash = createHash('sha256');
  const line = (value: Json): string => {
    const text = `${JSON.stringify(value)}\n`;
    hash.update(text);
    return text;
  };
  yield line({ format: FORMAT, version: VERSION, ...head, entries: entries.length });
  for (const { key, version, value } of entries) yield line([key, version, value]);
  yield `${JSON.stringify({ sha256: hash.digest('hex') })}\n`;
}

/** `schema`: the newest one that can be read. */
export function parseBackup(text: string, schema: number): Backup {
  const end = text.indexOf('\n');
  const first = readLine(end < 0 ? text : text.slice(0, end));
  if (!isObject(first) || first.format !== FORMAT)
    throw refuse('is no backup of Sluice', 'give the file that sluice backup made');
  if (!isCount(first.version) || !isCount(first.schema)) throw changed();
  if (first.version > VERSION || first.schema > schema) {
    throw new SluiceError('unsupported', 'the backup was made by a newer version', {
      hint: 'restore it with that version',
    });
  }
  const start = text.lastIndexOf('\n', text.length - 2) + 1;
  const last = readLine(text.slice(start));
  if (!text.endsWith('\n') || start === 0 || !isObject(last) || typeof last.sha256 !== 'string') {
    throw refuse('is cut: its end is missing', 'give the whole file');
  }
  if (createHash('sha256').update(text.slice(0, start)).digest('hex') !== last.sha256) throw changed();
  const { created, state, revision } = first;
  const entries = text
    .slice(end + 1, start)
    .split('\n')
    .slice(0, -1)
    .map((line) => entryOf(readLine(line)));
  const sound =
    typeof created === 'string' &&
    (state === null || typeof state === 'string') &&
    isCount(revision) &&
    first.entries === entries.length &&
    new Set(entries.map(({ key }) => key)).size === entries.length;
  if (!sound) throw changed();
  return { created, state, schema: first.schema, revision, entries };
}

function entryOf(line: Json | undefined): Entry {
  if (!Array.isArray(line) || line.length !== 3) throw changed();
  const [key, version, value] = line as readonly Json[];
  if (typeof key !== 'string' || !isCount(version) || version === 0 || value === undefined) throw changed();
  return { key, version, value };
}

function readLine(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function changed(): SluiceError {
  return refuse('was changed since it was made, or damaged', 'give another one');
}

function refuse(what: string, hint: string): SluiceError {
  return new SluiceError('invalid_argument', `the file ${what}`, { hint });
}
