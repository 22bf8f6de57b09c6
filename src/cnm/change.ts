// SPDX-License-Identifier: Apache-2.0
/**
 * A change of the model, put together without waiting for anything, so that
 * nobody sees it half-made: what to store, which rows to apply, and how to take
 * back what was allocated. Stored first, then applied, then shown.
 */
import type { Json, Operation } from '../store/store.js';
import type { Owner, Row } from './rows.js';

export interface Step {
  readonly owner: Owner;
  readonly next: readonly Row[];
  readonly previous: readonly Row[];
}

/** Rows that are an owner's from now on. */
export interface Assignment {
  readonly owner: Owner;
  readonly rows: readonly Row[];
}

/** Assignments that are independent of each other; made out when they are applied. */
export interface Stage {
  readonly next: () => readonly Assignment[];
  readonly previous: () => readonly Assignment[];
  /** What cannot be done is left to the reconciler, and does not fail the change. */
  readonly lenient: boolean;
}

export class Change {
  /** Begins the message of a failure without a better one. */
  readonly what: string;
  readonly operations: Operation[] = [];
  /** Takes `operations` back. */
  readonly inverse: Operation[] = [];
  /** Applied one after another. */
  readonly stages: Stage[] = [];
  /**
   * It follows what is so elsewhere already, such as a removal, and there is no
   * way back: rows that cannot be brought about now are left to the reconciler.
   */
  forward = false;
  readonly #undo: (() => void)[] = [];
  readonly #marks: (() => void)[] = [];
  readonly #done: (() => void)[] = [];

  constructor(what: string) {
    this.what = what;
  }

  /** Stores `record` under `key`, or removes the key (null); `previous` is what is there now. */
  store(key: string, record: object | null, previous: object | null): void {
    this.operations.push(operation(key, record));
    this.inverse.push(operation(key, previous));
  }

  /** Not taken back when the change fails. */
  storeForGood(key: string, value: Json): void {
    this.operations.push({ op: 'put', key, value });
  }

  stage(...steps: Step[]): void {
    this.later({
      next: () => steps.map(({ owner, next }) => ({ owner, rows: next })),
      previous: () => steps.map(({ owner, previous }) => ({ owner, rows: previous })),
      lenient: false,
    });
  }

  /** A stage of rows that depend on what other changes have done by then. */
  later(stage: Stage): void {
    this.stages.push(stage);
  }

  /** Runs `allocate`, to be taken back by `release` unless the change succeeds. */
  allocated<T>(allocate: () => T, release: (result: T) => void): T {
    const result = allocate();
    this.#undo.push(() => release(result));
    return result;
  }

  /** Runs `build`; if it throws, the change is as if it had not run. */
  attempt<T>(build: () => T): T {
    const lists: unknown[][] = [this.operations, this.inverse, this.stages, this.#done];
    const lengths = lists.map(({ length }) => length);
    const undo = this.#undo.length;
    try {
      return build();
    } catch (e) {
      for (const task of this.#undo.splice(undo).reverse()) task();
      for (const [i, list] of lists.entries()) list.length = lengths[i] as number;
      throw e;
    }
  }

  /** Put back if the change was only looked at; see the pools' mark(). */
  mark(restore: () => void): void {
    this.#marks.push(restore);
  }

  /** Runs after everything is stored and applied. */
  onDone(task: () => void): void {
    this.#done.push(task);
  }

  /** The rows that would be wanted. */
  rows(): Row[] {
    const rows = this.stages.flatMap(({ next }) => next().flatMap((assignment) => [...assignment.rows]));
    for (const { previous } of [...this.stages].reverse()) previous();
    return rows;
  }

  succeed(): void {
    for (const task of this.#done) task();
  }

  /** Gives back what was allocated. */
  fail(): void {
    for (const task of this.#undo.reverse()) task();
  }

  /** As fail(), before anybody else could have seen a trace. */
  discard(): void {
    this.fail();
    for (const task of this.#marks.reverse()) task();
  }
}

function operation(key: string, record: object | null): Operation {
  return record === null ? { op: 'delete', key } : { op: 'put', key, value: record as Json };
}
