// SPDX-License-Identifier: Apache-2.0
import type { RowKind } from '../cnm/rows.js';

/** Upper bounds in seconds; an endpoint's join lies around 20 ms, a full pass around 100. */
export const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;

/** A histogram as Prometheus has it: cumulative counts per bucket. */
export class Durations {
  readonly buckets: number[] = DURATION_BUCKETS.map(() => 0);
  count = 0;
  /** Seconds. */
  sum = 0;

  observe(seconds: number): void {
    this.count++;
    this.sum += seconds;
    DURATION_BUCKETS.forEach((bound, i) => {
      if (seconds <= bound) this.buckets[i] = (this.buckets[i] ?? 0) + 1;
    });
  }
}

/** A kind of row, `pin`: a pin or mark that somebody had taken away, `guard`: the second lock of a link. */
export type RepairKind = RowKind | 'pin' | 'guard';

/** What the reconciler has done since the daemon started. */
export class Meter {
  readonly applies = new Durations();
  readonly passes = new Durations();
  applyErrors = 0;
  /** Rows that were done and that the kernel had lost, or things of ours that nobody wanted. */
  readonly repairs = new Map<RepairKind, number>();

  repaired(kind: RepairKind, count = 1): void {
    this.repairs.set(kind, (this.repairs.get(kind) ?? 0) + count);
  }
}
