// SPDX-License-Identifier: Apache-2.0
import type { Clock, Timer } from '../base/clock.js';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Row } from '../cnm/rows.js';
import type { LinkTable } from './links.js';
import type { Reconciler } from './reconciler.js';

export interface KeeperOptions {
  reconciler: Reconciler;
  links: LinkTable;
  clock: Clock;
  log: Log;
  /** What else is to be looked at with every full pass. */
  alongside(): Promise<void>;
  /** Between two full passes. */
  passMs: number;
}

/** A namespace that goes takes its links one by one; repairs wait for the last of them. */
const SETTLE_MS = 100;

/** Decides when the reconciler looks again: regularly, when a row's time has come, when a link is lost. */
export class Keeper {
  readonly #o: KeeperOptions;
  readonly #undo: (() => void)[] = [];
  #pass: Timer | null = null;
  #retry: { at: number; timer: Timer } | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: KeeperOptions) {
    this.#o = options;
  }

  start(): void {
    const { reconciler, links } = this.#o;
    this.#undo.push(
      links.onChange(({ type, link }) => {
        if (type === 'gone') this.#lost(link.name);
      }),
      reconciler.onNotice(({ action }) => {
        if (action === 'error') this.#arm();
      }),
    );
    this.#schedulePass();
    this.#arm();
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pass?.cancel();
    this.#retry?.timer.cancel();
    for (const undo of this.#undo) undo();
    await this.#running;
  }

  /** Something was invalidated: look soon. */
  soon(): void {
    this.#at(this.#o.clock.now() + SETTLE_MS);
  }

  #lost(name: string): void {
    const reason = new SluiceError('kernel', `link ${name} is gone`);
    if (this.#o.reconciler.invalidate((row) => refersTo(row, name), reason) > 0) this.soon();
  }

  #schedulePass(): void {
    if (this.#stopped) return;
    this.#pass = this.#o.clock.after(this.#o.passMs, () => {
      this.#run(async () => {
        const { repaired, pruned, failed } = await this.#o.reconciler.fullPass();
        if (repaired + pruned.length + failed > 0)
          this.#o.log.info('full pass', { repaired, pruned, failed });
        await this.#o.alongside();
      }).finally(() => this.#schedulePass());
    });
  }

  #arm(): void {
    const next = this.#o.reconciler.nextRetry();
    if (next !== null) this.#at(Math.max(next, this.#o.clock.now() + SETTLE_MS));
  }

  #at(time: number): void {
    if (this.#stopped || (this.#retry !== null && this.#retry.at <= time)) return;
    this.#retry?.timer.cancel();
    const timer = this.#o.clock.after(Math.max(0, time - this.#o.clock.now()), () => {
      this.#retry = null;
      this.#run(() => this.#o.reconciler.retry()).finally(() => this.#arm());
    });
    this.#retry = { at: time, timer };
  }

  #run(task: () => Promise<void>): Promise<void> {
    this.#running = this.#running.then(task).catch((e: unknown) => {
      this.#o.log.error('reconciling failed', { err: e });
    });
    return this.#running;
  }
}

function refersTo(row: Row, name: string): boolean {
  if (row.kind === 'macvlan') return row.parent === name;
  if (row.kind === 'lent-macvlan') return false;
  return ('link' in row && row.link === name) || ('bridge' in row && row.bridge === name);
}
