// SPDX-License-Identifier: Apache-2.0
/** Where Sluice means to do something else than netfilter. */
import type { Outcome } from '../support/play.js';
import type { Flow, Step } from '../support/script.js';

export interface Case {
  flow: Flow;
  step: Step;
  sluice: Outcome;
  netfilter: Outcome;
}

export interface Difference {
  readonly name: string;
  readonly reason: string;
  applies(c: Case): boolean;
}

export const DIFFERENCES: readonly Difference[] = [];
