// SPDX-License-Identifier: Apache-2.0
import type { Migration } from '../store/migrate.js';

/** A change of the stored records' shape appends one here; none so far. */
export const MIGRATIONS: readonly Migration[] = [];
