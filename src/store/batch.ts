// SPDX-License-Identifier: Apache-2.0
/** How the embedded engine lays out its keys, and writes. */
import { ClassicLevel } from 'classic-level';
import { encodeEntry } from './codec.js';
import type { Entry } from './store.js';
import { Sum } from './sum.js';

/** Apart from data keys, which all begin with `DATA`. */
export const VERSION_KEY = 'version';
export const SUM_KEY = 'sum';
export const DATA = 'data/';
/** Sorts behind every character that a key may hold. */
export const LAST = '\u{10ffff}';

export type Batch = ({ type: 'put'; key: string; value: string } | { type: 'del'; key: string })[];

/** With the version that they make, all of them or none. A chain costs a quarter of what an array of operations does. */
export async function commit(db: ClassicLevel, operations: Batch, version: number, sum: Sum): Promise<void> {
  const batch = db.batch();
  for (const operation of operations) {
    if (operation.type === 'put') batch.put(operation.key, operation.value);
    else batch.del(operation.key);
  }
  await batch.put(VERSION_KEY, String(version)).put(SUM_KEY, sum.format(version)).write({ sync: true });
}

/** A database of its own with these entries; see makeWhole(). */
export async function fillDatabase(path: string, entries: readonly Entry[], version: number): Promise<void> {
  const db = new ClassicLevel(path);
  await db.open();
  try {
    let sum = new Sum();
    const batch: Batch = entries.map(({ key, value, version: at }) => {
      const text = encodeEntry(key, value, at);
      sum = sum.with(text);
      return { type: 'put', key: DATA + key, value: text };
    });
    // Also of no entries: so that what has no version is known to have lost it.
    await commit(db, batch, version, sum);
  } finally {
    await db.close();
  }
  // Opened again it is in a table, which no cut of the log can take away.
  await db.open();
  await db.close();
}
