// SPDX-License-Identifier: Apache-2.0
/** A kernel of plain maps, whose operations take time, fail on demand and stop at a chosen step. */
import type { Clock, Timer } from '../../../src/base/clock.js';
import { silentLog } from '../../../src/base/log.js';
import { ROW_ORDER, type Row, type RowKind, rowKey } from '../../../src/cnm/rows.js';
import type { Actual, Ops, OpsByKind } from '../../../src/reconcile/ops.js';
import { Reconciler } from '../../../src/reconcile/reconciler.js';
import { Tables } from '../../../src/reconcile/tables.js';

export class Crash extends Error {}

export class FakeKernel {
  /** By kind and key: the content. A raised row is marked so. */
  readonly state = new Map<string, { row: Row; up: boolean }>();
  readonly journal: string[] = [];
  /** Asked before each operation; throws to make it fail. */
  intervene: (what: string) => void = () => {};
  /** Steps until the process dies; every operation is two: begun, and its effect. */
  fuse = Number.POSITIVE_INFINITY;

  step(what: string): void {
    if (--this.fuse < 0) throw new Crash();
    this.intervene(what);
  }
}

const RAISED: readonly RowKind[] = ['bridge', 'port'];

class FakeOps implements Ops<Row> {
  readonly #kernel: FakeKernel;
  readonly #kind: RowKind;
  raise?: (row: Row) => Promise<void>;

  constructor(kernel: FakeKernel, kind: RowKind) {
    this.#kernel = kernel;
    this.#kind = kind;
    if (RAISED.includes(kind)) {
      this.raise = async (row) => {
        await this.#act('raise', row);
        const have = kernel.state.get(this.#name(row));
        if (have !== undefined) have.up = true;
      };
    }
  }

  async update(row: Row): Promise<void> {
    await this.#act('update', row);
    this.#kernel.state.set(this.#name(row), { row, up: !RAISED.includes(row.kind) });
  }

  async delete(row: Row): Promise<void> {
    await this.#act('delete', row);
    this.#kernel.state.delete(this.#name(row));
  }

  async read(): Promise<Actual<Row>> {
    const have = new Map([...this.#kernel.state].filter(([, { row }]) => row.kind === this.#kind));
    return {
      holds: (row) => {
        const own = have.get(this.#name(row));
        return own?.up === true && JSON.stringify(own.row) === JSON.stringify(row);
      },
      strays: (wanted) =>
        [...have.values()]
          .filter(({ row }) => !wanted(rowKey(row)))
          .map(({ row }) => ({ what: this.#name(row), remove: () => this.delete(row) })),
    };
  }

  #name(row: Row): string {
    return `${row.kind} ${rowKey(row)}`;
  }

  async #act(verb: string, row: Row): Promise<void> {
    const what = `${verb} ${this.#name(row)}`;
    this.#kernel.step(what);
    this.#kernel.journal.push(what);
    await new Promise((resolve) => setImmediate(resolve));
    this.#kernel.step(what);
  }
}

export class FakeClock implements Clock {
  time = 1_000_000;
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  after(): Timer {
    throw new Error('the reconciler sets no timers');
  }
}

export function fakeReconciler(kernel = new FakeKernel()) {
  const ops = Object.fromEntries(
    ROW_ORDER.map((kind) => [kind, new FakeOps(kernel, kind)]),
  ) as unknown as OpsByKind;
  const tables = new Tables();
  const clock = new FakeClock();
  const reconciler = new Reconciler({ ops, tables, clock, log: silentLog() });
  return { kernel, tables, clock, reconciler };
}
