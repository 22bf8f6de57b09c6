// SPDX-License-Identifier: Apache-2.0
/** The Docker Engine that is followed. */
import type { Registry } from 'prom-client';
import { register } from './sampled.js';

export interface DockerSource {
  status(): { connected: boolean; problems: readonly unknown[] };
  readonly picture: readonly { readonly state: string }[];
  readonly reaped: ReadonlyMap<string, number>;
  readonly counts: { events: ReadonlyMap<string, number>; connections: number; missed: number };
}

const CONTAINER_STATES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];
const ORPHANS = ['endpoint', 'address'];

function byState(items: readonly { readonly state: string }[], states: readonly string[]) {
  return states.map((state) => ({
    labels: { state },
    value: items.filter((item) => item.state === state).length,
  }));
}

/** null: none is followed. */
export function registerDocker(registry: Registry, engine: DockerSource | null): void {
  if (engine === null) return;
  register(registry, {
    name: 'sluice_engine_connected',
    help: '1 while the Docker Engine is followed, 0 while it is away',
    type: 'gauge',
    read: () => [{ value: engine.status().connected ? 1 : 0 }],
  });
  register(registry, {
    name: 'sluice_engine_connections_total',
    help: 'connections to the Docker Engine that were made',
    type: 'counter',
    read: () => [{ value: engine.counts.connections }],
  });
  register(registry, {
    name: 'sluice_engine_events_total',
    help: 'events of the Docker Engine by kind',
    type: 'counter',
    read: () => [...engine.counts.events].map(([event, value]) => ({ labels: { event }, value })),
  });
  register(registry, {
    name: 'sluice_engine_missed_total',
    help: 'containers that a listing showed otherwise than the events before it',
    type: 'counter',
    read: () => [{ value: engine.counts.missed }],
  });
  register(registry, {
    name: 'sluice_engine_reaped_total',
    help: 'what was removed because Docker had forgotten it, by kind',
    type: 'counter',
    read: () => ORPHANS.map((kind) => ({ labels: { kind }, value: engine.reaped.get(kind) ?? 0 })),
  });
  register(registry, {
    name: 'sluice_engine_containers',
    help: 'containers of the Docker Engine by state, as last seen',
    type: 'gauge',
    read: () => byState(engine.picture, CONTAINER_STATES),
  });
  register(registry, {
    name: 'sluice_engine_label_problems',
    help: 'labels of containers that count for nothing',
    type: 'gauge',
    read: () => [{ value: engine.status().problems.length }],
  });
}
