// SPDX-License-Identifier: Apache-2.0
/** The resolver that sandboxes ask. */
import type { Registry } from 'prom-client';
import type { DnsMeter } from '../src/dns/meter.js';
import { DURATION_BUCKETS } from '../src/reconcile/meter.js';
import { histogram, register } from './sampled.js';

export interface DnsSources {
  readonly meter: Pick<DnsMeter, 'queries' | 'forwarded'>;
  counts(): { open: number; waiting: number; pending: number };
  totals(): { merged: number; dropped: number };
}

export function registerDns(registry: Registry, { meter, counts, totals }: DnsSources): void {
  register(registry, {
    name: 'sluice_dns_queries_total',
    help: 'questions of sandboxes by type and by what became of them: answered, empty, unknown, forwarded, failed, refused, malformed',
    type: 'counter',
    read: () =>
      meter.queries.map(({ type, outcome, count }) => ({ labels: { type, outcome }, value: count })),
  });
  register(registry, {
    name: 'sluice_dns_forward_duration_seconds',
    help: 'time until another server had answered a question, or none had',
    type: 'histogram',
    read: () =>
      histogram(DURATION_BUCKETS, meter.forwarded.buckets, meter.forwarded.count, meter.forwarded.sum),
  });
  register(registry, {
    name: 'sluice_dns_pending',
    help: 'questions that wait for another server',
    type: 'gauge',
    read: () => [{ value: counts().pending }],
  });
  for (const [total, help] of [
    ['merged', 'questions that had the answer to an equal one, which was being asked already'],
    ['dropped', "questions that found the receive buffer of their sandbox's resolver full"],
  ] as const) {
    register(registry, {
      name: total === 'merged' ? 'sluice_dns_merged_total' : 'sluice_dns_dropped_total',
      help,
      type: 'counter',
      read: () => [{ value: totals()[total] }],
    });
  }
  for (const [state, help] of [
    ['open', 'sandboxes that have their resolver'],
    ['waiting', 'sandboxes whose namespace is not there yet for their resolver'],
  ] as const) {
    register(registry, {
      name: state === 'open' ? 'sluice_dns_sandboxes' : 'sluice_dns_sandboxes_waiting',
      help,
      type: 'gauge',
      read: () => [{ value: counts()[state] }],
    });
  }
}
