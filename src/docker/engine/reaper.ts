// SPDX-License-Identifier: Apache-2.0
/**
 * Removes after each connection to the Engine what it has certainly forgotten
 * while one of the two was away, and once more when what was too young to tell
 * has become old enough. Everything else waits for `sluice docker prune`.
 */
import type { Clock, Timer } from '../../base/clock.js';
import type { Log } from '../../base/log.js';
import { CERTAIN_AFTER, type Orphan, type Pruned } from './orphans.js';

export interface ReaperOptions {
  readonly reap: () => Promise<Pruned>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Beyond the age at which all that there was on connecting can be told. */
const MARGIN = 1000;

export class Reaper {
  readonly #o: ReaperOptions;
  readonly #counts = new Map<Orphan['kind'], number>();
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ReaperOptions) {
    this.#o = options;
  }

  /** What was removed so far, by kind. */
  get counts(): ReadonlyMap<Orphan['kind'], number> {
    return this.#counts;
  }

  connected(): void {
    this.#timer?.cancel();
    this.#timer = this.#o.clock.after(CERTAIN_AFTER + MARGIN, () => this.#start());
    this.#start();
  }

  disconnected(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  async stop(): Promise<void> {
    this.disconnected();
    await this.#running;
  }

  #start(): void {
    this.#running = this.#running.then(() => this.#reap());
  }

  async #reap(): Promise<void> {
    const { reap, log } = this.#o;
    try {
      const { removed, failed } = await reap();
      for (const { kind, name } of removed) {
        this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
        log.warn('removed what Docker has forgotten', { kind, name });
      }
      for (const { kind, name, error } of failed)
        log.warn('what Docker has forgotten could not be removed', { kind, name, error });
    } catch (e) {
      // The next connection looks again.
      log.warn('could not ask Docker what it has forgotten', { err: e });
    }
  }
}
