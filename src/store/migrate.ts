// SPDX-License-Identifier: Apache-2.0
/**
 * Brings stored values to the shape that this program reads, one numbered step
 * after another, each a transaction that also notes its number.
 */
import { SluiceError } from '../base/errors.js';
import type { Operation, Store } from './store.js';

export interface Migration {
  /** The schema that it makes: 2 for the first, since a new store begins at 1. */
  readonly schema: number;
  readonly what: string;
  run(store: Store): Promise<Operation[]>;
}

export const SCHEMA_KEY = 'schema';

/** The schema of a state that all of these have brought up to date. */
export function newestSchema(migrations: readonly Migration[]): number {
  return migrations.length + 1;
}

/** Answers the migrations that ran. Keys under `SCHEMA_KEY` are its own. */
export async function migrate(store: Store, migrations: readonly Migration[]): Promise<Migration[]> {
  const steps = [...migrations].sort((a, b) => a.schema - b.schema);
  if (steps.some((step, i) => step.schema !== i + 2)) {
    throw new SluiceError('internal', 'migrations are not numbered 2, 3, …');
  }
  const newest = newestSchema(steps);
  const entry = await store.get(SCHEMA_KEY);
  if (!entry) {
    await store.put(SCHEMA_KEY, newest);
    return [];
  }
  const found = entry.value;
  if (typeof found !== 'number' || !Number.isInteger(found) || found < 1) {
    throw new SluiceError('store', `the stored value of '${SCHEMA_KEY}' is damaged`);
  }
  if (found > newest) {
    throw new SluiceError('store', `the state has schema ${found}, this version reads ${newest}`, {
      hint: 'it was written by a newer version: install that one, or restore a backup made before the upgrade',
    });
  }
  const due = steps.slice(found - 1);
  for (const step of due) {
    const operations = await step.run(store);
    await store.transaction([...operations, { op: 'put', key: SCHEMA_KEY, value: step.schema }]);
  }
  return due;
}
