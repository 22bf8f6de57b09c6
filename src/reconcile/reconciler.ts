// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../base/clock.js';
import { type SluiceError, toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Owner, Realizer, Row, RowKind, RowState, RowStatus } from '../cnm/rows.js';
import { Gate, inPool, Lanes } from './lanes.js';
import { Meter, type RepairKind } from './meter.js';
import { type Actual, DOWN, type OpsByKind, opsOf, UP } from './ops.js';
import { type Change, type Entry, ownerKey, type Tables } from './tables.js';

export interface PassReport {
  /** Rows that the kernel held already when they were first looked at. */
  adopted: number;
  /** Rows brought up, repaired ones included. */
  updated: number;
  /** Rows that were done and had been lost. */
  repaired: number;
  /** What was ours and unwanted, as text. */
  pruned: string[];
  /** Rows that are not done at the end. */
  failed: number;
}

/** Something the reconciler did on its own, for the event stream and the log. */
export interface Notice {
  action: 'repair' | 'error' | 'prune';
  owner: Owner | null;
  what: string;
  error?: SluiceError;
}

export interface ReconcilerOptions {
  ops: OpsByKind;
  tables: Tables;
  clock: Clock;
  log: Log;
}

/** Owners at a time in a full pass: the kernel's own lock leaves no use for more. */
const PASS_WIDTH = 16;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** Endpoints stand in sandboxes and on networks, networks use uplinks, services lead to endpoints. */
const OWNER_ORDER: readonly Owner['kind'][] = ['node', 'network', 'sandbox', 'endpoint', 'service'];

/**
 * Brings the kernel to what the tables want. Changes of one owner run one
 * after the other, different owners side by side; pruning runs alone.
 */
export class Reconciler implements Realizer {
  readonly meter = new Meter();
  readonly #ops: OpsByKind;
  readonly #tables: Tables;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lanes = new Lanes();
  readonly #gate = new Gate();
  readonly #listeners = new Set<(n: Notice) => void>();
  /** What was done and is to be done again because the kernel has lost it. */
  readonly #lost = new WeakSet<Entry>();
  #pass: Promise<PassReport> | null = null;

  constructor({ ops, tables, clock, log }: ReconcilerOptions) {
    this.#ops = ops;
    this.#tables = tables;
    this.#clock = clock;
    this.#log = log;
  }

  /** Notes what is wanted without acting on it; the next full pass does. */
  load(rows: ReadonlyMap<Owner, readonly Row[]>): void {
    for (const [owner, own] of rows) {
      for (const entry of this.#tables.replace(owner, own).update) {
        try {
          opsOf(this.#ops, entry.kind).expect?.(entry.row);
        } catch (e) {
          // The row's own update will fail for the same reason and say so.
          this.#log.debug(`${entry.kind} ${entry.key}`, { err: e });
        }
      }
    }
  }

  async apply(owner: Owner, rows: readonly Row[]): Promise<void> {
    const start = this.#clock.monotonic();
    const failure = await this.#gate.shared(() =>
      this.#lanes.run(ownerKey(owner), async () => this.#settle(this.#tables.replace(owner, rows))),
    );
    this.meter.applies.observe((this.#clock.monotonic() - start) / 1000);
    if (failure !== null) {
      this.meter.applyErrors++;
      throw failure;
    }
  }

  status(): readonly RowStatus[] {
    return this.#tables.status();
  }

  problems(): readonly RowStatus[] {
    return this.#tables.problems();
  }

  counts(): { kind: RowKind; state: RowState; rows: number }[] {
    const counts = new Map<string, { kind: RowKind; state: RowState; rows: number }>();
    for (const { kind, state } of this.#tables.all()) {
      const count = counts.get(`${kind} ${state}`) ?? { kind, state, rows: 0 };
      count.rows++;
      counts.set(`${kind} ${state}`, count);
    }
    return [...counts.values()];
  }

  onNotice(listener: (n: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The rows that `affected` picks are to be looked at again by the next
   * `retry`; `reason` says why if they are in error until then.
   */
  invalidate(affected: (row: Row) => boolean, reason: SluiceError | null): number {
    let count = 0;
    for (const entry of this.#tables.all()) {
      if (!entry.wanted || entry.state !== 'done' || !affected(entry.row)) continue;
      entry.state = reason === null ? 'pending' : 'error';
      entry.error = reason;
      entry.retryAt = 0;
      if (reason !== null) this.#lost.add(entry);
      this.#tables.touch(entry);
      count++;
    }
    return count;
  }

  /** As `invalidate`, of rows that are known by name. */
  lose(names: readonly { kind: RowKind; key: string }[], reason: SluiceError): number {
    let count = 0;
    for (const { kind, key } of names) {
      const entry = this.#tables.get(kind, key);
      if (!entry?.wanted || entry.state !== 'done') continue;
      entry.state = 'error';
      entry.error = reason;
      entry.retryAt = 0;
      this.#lost.add(entry);
      this.#tables.touch(entry);
      count++;
    }
    return count;
  }

  /** Something was put right that is no row. */
  mended(kind: RepairKind, what: string, count = 1): void {
    this.meter.repaired(kind, count);
    this.#notify({ action: 'repair', owner: null, what });
  }

  /** When the next `retry` has something to do (ms), or null. */
  nextRetry(): number | null {
    let next: number | null = null;
    for (const entry of this.#tables.unfinished()) {
      if (next === null || entry.retryAt < next) next = entry.retryAt;
    }
    return next;
  }

  /** Tries again what is not done and whose time has come. */
  async retry(): Promise<void> {
    const now = this.#clock.now();
    const due = new Map<string, Owner>();
    for (const entry of this.#tables.unfinished())
      if (entry.retryAt <= now) due.set(ownerKey(entry.owner), entry.owner);
    await this.#byOwner([...due.values()], (owner) => this.#settle(this.#unfinished(owner)));
  }

  /** Compares everything with the kernel, repairs what differs, removes what nobody wants. */
  fullPass(): Promise<PassReport> {
    this.#pass ??= this.#fullPass().finally(() => {
      this.#pass = null;
    });
    return this.#pass;
  }

  async #fullPass(): Promise<PassReport> {
    const start = this.#clock.monotonic();
    const report: PassReport = { adopted: 0, updated: 0, repaired: 0, pruned: [], failed: 0 };
    const seen = this.#tables.version;
    const kinds = Object.keys(this.#ops) as RowKind[];
    const actual = new Map<RowKind, Actual<Row>>();
    await inPool(kinds, kinds.length, async (kind) => {
      try {
        actual.set(kind, await opsOf(this.#ops, kind).read());
      } catch (e) {
        // The rows of this kind are then taken as they are: a pass that cannot look must not act.
        const error = toSluiceError(e, `${kind}: cannot read back`);
        this.#log.error(error.message, { err: e });
        this.#notify({ action: 'error', owner: null, what: `read back ${kind}`, error });
      }
    });

    const owners = new Map<string, Owner>();
    for (const entry of this.#tables.all()) owners.set(ownerKey(entry.owner), entry.owner);
    await this.#byOwner([...owners.values()], async (owner) => {
      const lost = this.#compare(owner, actual, seen, report);
      const change = this.#unfinished(owner);
      await this.#settle(change);
      for (const entry of change.update) {
        if (entry.state !== 'done') continue;
        report.updated++;
        if (lost.has(entry)) report.repaired++;
      }
    });
    await this.#prune(actual, report);

    report.failed = this.#tables.unfinished().filter((e) => e.state !== 'done').length;
    this.meter.passes.observe((this.#clock.monotonic() - start) / 1000);
    return report;
  }

  /** Marks what the kernel holds as done and what it has lost as pending; answers the latter. */
  #compare(
    owner: Owner,
    actual: ReadonlyMap<RowKind, Actual<Row>>,
    seen: number,
    report: PassReport,
  ): Set<Entry> {
    const lost = new Set<Entry>();
    for (const entry of this.#tables.of(owner)) {
      const view = actual.get(entry.kind);
      if (view === undefined || !entry.wanted || entry.version > seen) continue;
      const holds = view.holds(entry.row);
      if (entry.state === 'done' && !holds) {
        entry.state = 'pending';
        this.#tables.note(entry);
        this.#lost.add(entry);
        lost.add(entry);
      } else if (entry.state !== 'done' && holds && entry.was.length === 0) {
        // Operations keep books of their own on some kinds; an update of what is there is cheap and tells them.
        this.#done(entry);
        report.adopted++;
      }
    }
    return lost;
  }

  async #prune(actual: ReadonlyMap<RowKind, Actual<Row>>, report: PassReport): Promise<void> {
    const find = () =>
      DOWN.flat().flatMap((kind) => {
        const view = actual.get(kind);
        return view === undefined
          ? []
          : view.strays((key) => this.#tables.get(kind, key) !== undefined).map((stray) => ({ kind, stray }));
      });
    if (find().length === 0) return;
    await this.#gate.exclusive(async () => {
      // Asked again: what was unwanted may be wanted by now, and the gate lets nothing change meanwhile.
      for (const { kind, stray } of find()) {
        try {
          await stray.remove();
          report.pruned.push(stray.what);
          this.meter.repaired(kind);
          this.#notify({ action: 'prune', owner: null, what: stray.what });
        } catch (e) {
          const error = toSluiceError(e, `cannot remove ${stray.what}`);
          this.#notify({ action: 'error', owner: null, what: stray.what, error });
        }
      }
    });
  }

  async #byOwner(owners: readonly Owner[], task: (owner: Owner) => Promise<unknown>): Promise<void> {
    for (const kind of OWNER_ORDER) {
      await inPool(
        owners.filter((owner) => owner.kind === kind),
        PASS_WIDTH,
        async (owner) => {
          await this.#gate.shared(() => this.#lanes.run(ownerKey(owner), () => task(owner)));
        },
      );
    }
  }

  #unfinished(owner: Owner): Change {
    const own = this.#tables.of(owner);
    return {
      remove: own.filter((e) => !e.wanted),
      update: own.filter((e) => e.wanted && e.state !== 'done'),
    };
  }

  /** Takes down, then brings up. Answers the first cause of failure. */
  async #settle(change: Change): Promise<SluiceError | null> {
    if (change.remove.length === 0 && change.update.length === 0) return null;
    let failure: SluiceError | null = null;
    const fail = (entry: Entry, e: unknown): void => {
      const error = this.#failed(entry, e);
      failure ??= error;
    };
    for (const kinds of DOWN) {
      if (change.remove.length === 0) break;
      const entries = change.remove.filter((e) => kinds.includes(e.kind));
      if (entries.length > 0) await Promise.all(entries.map((entry) => this.#remove(entry, fail)));
    }
    let broken: SluiceError | null = null;
    const failUp = (entry: Entry, e: unknown): void => {
      fail(entry, e);
      broken ??= entry.error;
    };
    for (const stage of UP) {
      if (broken !== null) break;
      if (stage === 'raise') {
        const entries = change.update.filter((e) => opsOf(this.#ops, e.kind).raise !== undefined);
        if (entries.length > 0) await Promise.all(entries.map((entry) => this.#raise(entry, failUp)));
      } else {
        // Begun in the stage's order: maps are written at once, before the first wait of an attach.
        const entries = stage.flatMap((kind) => change.update.filter((e) => e.kind === kind));
        if (entries.length > 0) await Promise.all(entries.map((entry) => this.#update(entry, failUp)));
      }
    }
    if (broken !== null) this.#postpone(change.update);
    return failure;
  }

  async #update(entry: Entry, fail: (entry: Entry, e: unknown) => void): Promise<void> {
    const ops = opsOf(this.#ops, entry.kind);
    entry.begun = true;
    try {
      if (entry.after !== null) await entry.after;
      entry.after = null;
      const result = ops.update(entry.row, entry.was);
      if (result !== undefined) await this.#track(entry, result);
      if (ops.raise === undefined) this.#done(entry);
    } catch (e) {
      fail(entry, e);
    }
  }

  async #raise(entry: Entry, fail: (entry: Entry, e: unknown) => void): Promise<void> {
    try {
      await opsOf(this.#ops, entry.kind).raise?.(entry.row);
      this.#done(entry);
    } catch (e) {
      fail(entry, e);
    }
  }

  async #remove(entry: Entry, fail: (entry: Entry, e: unknown) => void): Promise<void> {
    const ops = opsOf(this.#ops, entry.kind);
    try {
      for (const row of [...entry.was, entry.row]) {
        const result = ops.delete(row);
        if (result !== undefined) await this.#track(entry, result);
      }
      this.#tables.drop(entry);
    } catch (e) {
      fail(entry, e);
    }
  }

  /** Lets a successor of the entry wait for what is under way. */
  async #track(entry: Entry, result: Promise<void>): Promise<void> {
    entry.busy = result.catch(() => undefined);
    try {
      await result;
    } finally {
      entry.busy = null;
    }
  }

  #done(entry: Entry): void {
    entry.state = 'done';
    entry.error = null;
    entry.failures = 0;
    entry.was = [];
    this.#tables.touch(entry);
    if (!this.#lost.delete(entry)) return;
    this.meter.repaired(entry.kind);
    this.#notify({ action: 'repair', owner: entry.owner, what: `${entry.kind} ${entry.key}` });
  }

  #failed(entry: Entry, e: unknown): SluiceError {
    const error = toSluiceError(e, `${entry.kind} ${entry.key}`);
    entry.state = 'error';
    entry.error = error;
    entry.failures++;
    entry.retryAt =
      this.#clock.now() + Math.min(BACKOFF_FIRST_MS * 2 ** (entry.failures - 1), BACKOFF_MAX_MS);
    this.#tables.touch(entry);
    this.#notify({ action: 'error', owner: entry.owner, what: `${entry.kind} ${entry.key}`, error });
    return error;
  }

  /** Rows that never got their turn wait for the one that failed. */
  #postpone(entries: readonly Entry[]): void {
    const until = Math.max(...entries.map((e) => (e.state === 'error' ? e.retryAt : 0)));
    for (const entry of entries) if (entry.state !== 'done') entry.retryAt = Math.max(entry.retryAt, until);
  }

  #notify(notice: Notice): void {
    if (notice.error !== undefined) this.#log.warn(`${notice.what}: ${notice.error.message}`);
    else this.#log.info(`${notice.action}: ${notice.what}`);
    for (const listener of this.#listeners) listener(notice);
  }
}
