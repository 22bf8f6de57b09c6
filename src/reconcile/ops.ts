// SPDX-License-Identifier: Apache-2.0
import type { Row, RowKind } from '../cnm/rows.js';

/**
 * What the reconciler can do with the rows of one kind. Every operation is
 * idempotent, and works whatever an earlier one that was cut short has left.
 */
export interface Ops<R extends Row> {
  /**
   * Makes the kernel hold the row. `was` are earlier contents of the same key
   * that the kernel may still hold, whole or in part.
   */
  update(row: R, was: readonly R[]): Promise<void> | void;
  /**
   * Told, before the first pass of a process, of each row that it will want:
   * for kinds whose rows share entries, so that bringing up one of them does
   * not take away what another one has had all along.
   */
  expect?(row: R): void;
  /** Opens the row for traffic, when the owner's data and programs are in place. */
  raise?(row: R): Promise<void>;
  /** Absent is success. Leaves alone whatever is not ours. */
  delete(row: R): Promise<void> | void;
  /** What the kernel has now. */
  read(): Promise<Actual<R>>;
}

export interface Actual<R extends Row> {
  /** True if the kernel holds the row exactly. */
  holds(row: R): boolean;
  /** What is ours, of this kind, and of no wanted key. */
  strays(wanted: (key: string) => boolean): Stray[];
}

export interface Stray {
  /** For people: `bridge slb0123456789`. */
  what: string;
  remove(): Promise<void> | void;
}

export type OpsByKind = { readonly [K in RowKind]: Ops<Extract<Row, { kind: K }>> };

/** The operations of a row's kind, typed for code that handles rows of any kind. */
export function opsOf(ops: OpsByKind, kind: RowKind): Ops<Row> {
  return ops[kind] as unknown as Ops<Row>;
}

type Stage = 'raise' | readonly RowKind[];

/**
 * Bring-up in steps; rows of one step are independent and run side by side. It
 * is coarser than ROW_ORDER and never contradicts it. An attach holds the
 * kernel's link lock (RTNL) for a grace period, so whatever else takes that
 * lock comes before it, and only what must follow it does. Links go up when
 * their program is attached, ports open when their endpoint can answer.
 */
export const UP: readonly Stage[] = [
  ['netns'],
  ['sandbox-files', 'bridge', 'reassembly'],
  ['dp-network', 'port', 'lent-port', 'macvlan', 'lent-macvlan'],
  ['neighbour', 'fdb', 'dp-endpoint', 'uplink', 'host-address', 'host-prefix'],
  ['attachment', 'socket-hook', 'socket-member'],
  'raise',
  ['service'],
  ['publish'],
];

/**
 * Tear-down. A device goes before its attachment: it takes the program with it
 * and spares the grace period of a detach, and no packet passes unseen.
 */
export const DOWN: readonly (readonly RowKind[])[] = [
  ['publish'],
  ['service'],
  ['socket-member', 'host-prefix', 'host-address', 'uplink', 'dp-endpoint', 'fdb', 'neighbour'],
  ['port', 'lent-port', 'macvlan', 'lent-macvlan', 'reassembly'],
  ['dp-network'],
  ['bridge'],
  ['attachment', 'socket-hook'],
  ['sandbox-files'],
  ['netns'],
];
