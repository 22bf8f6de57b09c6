// SPDX-License-Identifier: Apache-2.0
/**
 * Checks the backends of services that ask for it, as Docker does its
 * HEALTHCHECKs: each at its interval, a new one until it first succeeds, one
 * that was well until it has failed so many times in a row.
 */
import type { Clock, Timer } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { ChangeEvent, HealthTarget } from '../cnm/types.js';

/** What is used of the model. */
export interface HealthModel {
  healthTargets(): HealthTarget[];
  setHealth(target: HealthTarget, healthy: boolean): Promise<void>;
  onChange(listener: (e: ChangeEvent) => void): () => void;
}

/** Resolves whether the target answers in time; never rejects. */
export type Probe = (target: HealthTarget, signal: AbortSignal) => Promise<boolean>;

export interface ProberOptions {
  readonly model: HealthModel;
  readonly probe: Probe;
  readonly clock: Clock;
  readonly log: Log;
}

/** A backend that is starting is asked more often, ms; Docker's --health-start-interval. */
const STARTING = 5000;
/** Checks at a time: each holds a socket. */
const WIDTH = 256;

export class Prober {
  readonly #o: ProberOptions;
  readonly #checkers = new Map<string, Checker>();
  readonly #places: Places = new Places(WIDTH);
  #unsubscribe: () => void = () => undefined;
  #due: Timer | null = null;

  constructor(options: ProberOptions) {
    this.#o = options;
  }

  start(): void {
    this.#unsubscribe = this.#o.model.onChange(({ type }) => {
      if (type === 'service' || type === 'endpoint') this.#soon();
    });
    this.#follow();
  }

  stop(): void {
    this.#unsubscribe();
    this.#due?.cancel();
    for (const checker of this.#checkers.values()) checker.stop();
    this.#checkers.clear();
  }

  /** Many changes at once are one look. */
  #soon(): void {
    this.#due ??= this.#o.clock.after(0, () => {
      this.#due = null;
      this.#follow();
    });
  }

  #follow(): void {
    const wanted = new Map(this.#o.model.healthTargets().map((target) => [keyOf(target), target]));
    for (const [key, checker] of this.#checkers) {
      if (wanted.has(key)) continue;
      checker.stop();
      this.#checkers.delete(key);
    }
    for (const [key, target] of wanted) {
      if (this.#checkers.has(key)) continue;
      const checker = new Checker(this.#o, target, this.#places);
      this.#checkers.set(key, checker);
      checker.check();
    }
  }
}

class Checker {
  readonly #o: ProberOptions;
  readonly #target: HealthTarget;
  readonly #places: Places;
  readonly #stopped = new AbortController();
  #timer: Timer | null = null;
  #failures = 0;
  /** null: starting. */
  #healthy: boolean | null;
  #told: boolean | null = null;

  constructor(options: ProberOptions, target: HealthTarget, places: Places) {
    this.#o = options;
    this.#target = target;
    this.#places = places;
    this.#healthy = target.inUse ? true : null;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#stopped.abort();
  }

  check(): void {
    void this.#places.use(async () => {
      if (this.#stopped.signal.aborted) return;
      const well = await this.#ask();
      if (this.#stopped.signal.aborted) return;
      const { interval } = this.#target.check;
      const pause = interval * 1000;
      await this.#note(well);
      if (this.#stopped.signal.aborted) return;
      const starting = this.#healthy === null;
      this.#timer = this.#o.clock.after(starting ? Math.min(pause, STARTING) : pause, () => this.check());
    });
  }

  async #ask(): Promise<boolean> {
    const tooLate = new AbortController();
    const timer = this.#o.clock.after(this.#target.check.timeout * 1000, () => tooLate.abort());
    try {
      return await this.#o.probe(this.#target, AbortSignal.any([tooLate.signal, this.#stopped.signal]));
    } finally {
      timer.cancel();
    }
  }

  async #note(well: boolean): Promise<void> {
    this.#failures = well ? 0 : this.#failures + 1;
    if (well) this.#healthy = true;
    else if (this.#healthy === true && this.#failures >= this.#target.check.retries) this.#healthy = false;
    else return;
    if (this.#healthy === this.#told) return;
    this.#told = this.#healthy;
    const { service, endpoint } = this.#target;
    this.#o.log.info('a backend was checked', { service, endpoint, healthy: this.#healthy });
    try {
      await this.#o.model.setHealth(this.#target, this.#healthy);
    } catch (err) {
      this.#o.log.error('what a check of a backend found could not be brought about yet', { err });
    }
  }
}

/** So many tasks at a time; the others wait in line. */
class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use(task: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

function keyOf({ service, endpoint, generation, address, check }: HealthTarget): string {
  return JSON.stringify([service, endpoint, generation, address, check]);
}
