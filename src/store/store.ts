// SPDX-License-Identifier: Apache-2.0
/**
 * The store of intent: JSON values under slash-separated text keys. The
 * interface holds what an embedded engine and etcd both can do; versions are
 * etcd's modification revisions.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Entry {
  readonly key: string;
  readonly value: Json;
  /** Revision of the transaction that wrote this value; grows over the whole store, 1 is the first. */
  readonly version: number;
}

export type Operation =
  | { readonly op: 'put'; readonly key: string; readonly value: Json }
  | { readonly op: 'delete'; readonly key: string };

/** The transaction happens only if `key` is at `version`; 0: only if it is absent. */
export interface Precondition {
  readonly key: string;
  readonly version: number;
}

export type StoreChange =
  | { readonly type: 'put'; readonly key: string; readonly value: Json; readonly version: number }
  | { readonly type: 'delete'; readonly key: string; readonly version: number };

/** Every failure is a SluiceError: `store`, or `conflict` for a precondition. */
export interface Store {
  /** Of the last transaction; 0 before the first. */
  readonly version: number;
  open(): Promise<void>;
  /** Waits for writes under way. */
  close(): Promise<void>;
  get(key: string): Promise<Entry | undefined>;
  /** Entries whose key starts with `prefix`, in the order of their keys. */
  list(prefix: string): Promise<Entry[]>;
  /** Answers the version written. */
  put(key: string, value: Json): Promise<number>;
  /** Absent is success. */
  delete(key: string): Promise<void>;
  /**
   * All or nothing, and durable when it resolves; a key appears at most once
   * among the operations. Answers the version written. Rejected: nothing has changed.
   */
  transaction(operations: readonly Operation[], preconditions?: readonly Precondition[]): Promise<number>;
  /**
   * Calls `listener` after each transaction that touches keys under `prefix`,
   * with those changes, in commit order. Answers the unsubscribe function.
   */
  watch(prefix: string, listener: (changes: readonly StoreChange[]) => void): () => void;
}
