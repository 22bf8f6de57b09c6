// SPDX-License-Identifier: Apache-2.0
import { Durations } from '../reconcile/meter.js';
import { TYPE } from './message.js';

const TYPES = new Map<number, string>([
  [TYPE.A, 'a'],
  [TYPE.AAAA, 'aaaa'],
  [TYPE.PTR, 'ptr'],
]);

/**
 * What became of a question. `answered`, `empty` (the name has nothing of that
 * type) and `unknown` are ours, `forwarded` somebody else's; `failed`: nobody
 * answered; `refused`: too many waited already; `malformed`: it was none.
 */
export const OUTCOMES = [
  'answered',
  'empty',
  'unknown',
  'forwarded',
  'failed',
  'refused',
  'malformed',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What the resolver has done since the daemon started. */
export class DnsMeter {
  readonly #queries = new Map<string, { readonly type: string; readonly outcome: Outcome; count: number }>();
  /** From the question to the answer of somebody else, or to giving up. */
  readonly forwarded = new Durations();

  /** `type` as the question has it; null: it cannot be told. */
  count(type: number | null, outcome: Outcome): void {
    const name = (type === null ? undefined : TYPES.get(type)) ?? 'other';
    const known = this.#queries.get(`${name} ${outcome}`);
    if (known) known.count++;
    else this.#queries.set(`${name} ${outcome}`, { type: name, outcome, count: 1 });
  }

  get queries(): readonly { readonly type: string; readonly outcome: Outcome; readonly count: number }[] {
    return [...this.#queries.values()];
  }

  total(outcome?: Outcome): number {
    return this.queries.reduce(
      (n, q) => (outcome === undefined || q.outcome === outcome ? n + q.count : n),
      0,
    );
  }
}
