// SPDX-License-Identifier: Apache-2.0

/** Where a state that comes from a backup says so. */
export const RESTORED_KEY = 'restored';

export interface Restored {
  /** When it was restored, and when the backup was made. */
  readonly at: string;
  readonly created: string;
  /** Id of the state that it took the place of, where a daemon was told to do that; null: of none. */
  readonly over: string | null;
  /** No daemon has started with it yet: the dataplane may be ahead of it, which is wanted. */
  readonly pending: boolean;
}
