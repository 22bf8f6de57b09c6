// SPDX-License-Identifier: Apache-2.0
/** What the daemon itself does and has. */
import { readFileSync } from 'node:fs';
import { collectDefaultMetrics, Histogram, type Registry } from 'prom-client';
import { DURATION_BUCKETS, type Durations } from '../src/reconcile/meter.js';
import type { Reconciler } from '../src/reconcile/reconciler.js';
import { histogram, register } from './sampled.js';

export interface ControlSources {
  version: string;
  reconciler: Pick<Reconciler, 'meter' | 'counts'>;
  objects(): { networks: number; sandboxes: number; endpoints: number; ports: number };
  tables(): Promise<{ map: string; entries: number; capacity: number }[]>;
  /** Accumulated since kernel.bpf_stats_enabled was set. */
  /** Times as text. */
  state(): { id: string; revision: number; lastBackup: string | null };
  programs(): { program: string; seconds: number; runs: number }[];
}

const durations = (d: Durations, operation: string) =>
  histogram(DURATION_BUCKETS, d.buckets, d.count, d.sum, { operation });

/** The kernel counts run time only while this is on; it costs some 20 ns a packet. */
function statisticsAreOn(): boolean {
  try {
    return readFileSync('/proc/sys/kernel/bpf_stats_enabled', 'utf8').trim() === '1';
  } catch {
    return false;
  }
}

function seconds(time: string | null): number | null {
  return time === null ? null : Date.parse(time) / 1000;
}

export function registerControl(registry: Registry, sources: ControlSources): void {
  const { reconciler } = sources;
  collectDefaultMetrics({ register: registry, prefix: 'sluice_' });
  register(registry, {
    name: 'sluice_build_info',
    help: 'always 1; the version is a label',
    type: 'gauge',
    read: () => [{ labels: { version: sources.version }, value: 1 }],
  });
  register(registry, {
    name: 'sluice_state_info',
    help: 'always 1; the id of the state is a label',
    type: 'gauge',
    read: () => [{ labels: { id: sources.state().id }, value: 1 }],
  });
  register(registry, {
    name: 'sluice_state_revision',
    help: 'number of the last change of the state',
    type: 'gauge',
    read: () => [{ value: sources.state().revision }],
  });
  register(registry, {
    name: 'sluice_state_last_backup_timestamp_seconds',
    help: 'when a backup was last made; absent: never',
    type: 'gauge',
    read: () => {
      const value = seconds(sources.state().lastBackup);
      return value === null ? [] : [{ value }];
    },
  });
  for (const [field, help] of [
    ['networks', 'networks'],
    ['sandboxes', 'sandboxes'],
    ['endpoints', 'endpoints'],
    ['ports', 'published host ports, each of a range'],
  ] as const) {
    register(registry, {
      name: field === 'ports' ? 'sluice_published_ports' : `sluice_${field}`,
      help,
      type: 'gauge',
      read: () => [{ value: sources.objects()[field] }],
    });
  }
  register(registry, {
    name: 'sluice_reconcile_duration_seconds',
    help: 'time to bring rows about: those of one change, or a full pass',
    type: 'histogram',
    read: () => [
      ...durations(reconciler.meter.applies, 'apply'),
      ...durations(reconciler.meter.passes, 'pass'),
    ],
  });
  register(registry, {
    name: 'sluice_reconcile_errors_total',
    help: 'changes that could not be brought about',
    type: 'counter',
    read: () => [{ value: reconciler.meter.applyErrors }],
  });
  register(registry, {
    name: 'sluice_reconcile_rows',
    help: 'desired rows by kind and state',
    type: 'gauge',
    read: () =>
      reconciler.counts().map(({ kind, state, rows }) => ({ labels: { kind, state }, value: rows })),
  });
  register(registry, {
    name: 'sluice_reconcile_repairs_total',
    help: 'rows that were done and had to be done again, and leftovers that were removed',
    type: 'counter',
    read: () => [...reconciler.meter.repairs].map(([kind, value]) => ({ labels: { kind }, value })),
  });
  for (const [field, help] of [
    ['entries', 'entries in use'],
    ['capacity', 'entries that there is room for'],
  ] as const) {
    register(registry, {
      name: `sluice_table_${field}`,
      help: `${help}, by map`,
      type: 'gauge',
      read: async () => (await sources.tables()).map((t) => ({ labels: { map: t.map }, value: t[field] })),
    });
  }
  for (const [field, name, help] of [
    [
      'seconds',
      'sluice_program_run_seconds_total',
      'time in the programs while kernel.bpf_stats_enabled is 1',
    ],
    ['runs', 'sluice_program_runs_total', 'runs of the programs while kernel.bpf_stats_enabled is 1'],
  ] as const) {
    register(registry, {
      name,
      help,
      type: 'counter',
      read: () =>
        statisticsAreOn()
          ? sources.programs().map((p) => ({ labels: { program: p.program }, value: p[field] }))
          : [],
    });
  }
}

/** Answers what the API calls for each request. */
export function apiHistogram(
  registry: Registry,
): (route: string, method: string, status: number, seconds: number) => void {
  const requests = new Histogram({
    name: 'sluice_api_request_duration_seconds',
    help: 'API requests by route, method and status',
    labelNames: ['route', 'method', 'status'],
    buckets: [...DURATION_BUCKETS],
    registers: [registry],
  });
  return (route, method, status, seconds) =>
    requests.observe({ route, method, status: String(status) }, seconds);
}
