// SPDX-License-Identifier: Apache-2.0
/** What the programs count. Labels come from the enumerations in bpf/maps/metrics.h. */
import type { Registry } from 'prom-client';
import type { DataplaneMaps } from '../src/maps/dataplane.js';
import {
  drop_reason,
  flow_protocol,
  hook,
  outcome,
  port_use_of,
  socket_event,
} from '../src/maps/generated/enums.js';
import type { Traffic } from '../src/maps/generated/types.js';
import { histogram, register, type Sample } from './sampled.js';

/** Enumerators but the last, which counts them; as [label, number]. */
function members(enumeration: Record<string, number>, prefix: string): [string, number][] {
  return Object.entries(enumeration)
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]);
}

const HOOKS = members(hook, 'HOOK_').map(([name, value]): [Record<string, string>, number] => {
  const at = name.lastIndexOf('_');
  return [{ hook: name.slice(0, at), direction: name.slice(at + 1) }, value];
});
const OUTCOMES = members(outcome, 'OUTCOME_');
const REASONS = members(drop_reason, 'DROP_').filter(([name]) => name !== 'none' && name !== 'reasons');
const SOCKET_EVENTS = members(socket_event, 'SOCKET_').filter(([name]) => name !== 'events');
const PORT_USES = members(port_use_of, 'PORT_USE_');
const PROTOCOLS = members(flow_protocol, 'FLOW_PROTOCOL_');

function total(values: readonly Traffic[], field: keyof Traffic): number {
  return Number(values.reduce((sum, v) => sum + v[field], 0n));
}

/** `ports`: those that masqueraded flows are offered, both ends included. */
export function registerDataplane(
  registry: Registry,
  maps: DataplaneMaps,
  ports: { first: number; last: number },
): void {
  for (const [field, unit] of [
    ['packets', 'packets'],
    ['bytes', 'bytes'],
  ] as const) {
    register(registry, {
      name: `sluice_${unit}_total`,
      help: `${unit} seen, by hook, direction and what became of them`,
      type: 'counter',
      read: () =>
        HOOKS.flatMap(([labels, h]) =>
          OUTCOMES.map(([name, o]) => ({
            labels: { ...labels, outcome: name },
            value: total(maps.hook_traffic.getPerCpu(h * outcome.OUTCOMES + o), field),
          })),
        ),
    });
    register(registry, {
      name: `sluice_dropped_${unit}_total`,
      help: `${unit} dropped, by reason`,
      type: 'counter',
      read: () =>
        REASONS.map(([reason, r]) => ({ labels: { reason }, value: total(maps.drops.getPerCpu(r), field) })),
    });
  }

  for (const [field, help] of [
    ['opened', 'flows opened'],
    ['promoted', 'flows that proved themselves and moved to the table that never evicts'],
    ['expired', 'flows collected after their idle time'],
    [
      'unpromoted',
      'tries of an established flow to get into the table that never evicts while that was full',
    ],
    ['reset', 'flows forgotten because their container or published port left'],
  ] as const) {
    register(registry, {
      name: `sluice_flows_${field}_total`,
      help,
      type: 'counter',
      read: () =>
        PROTOCOLS.map(([protocol, p]) => ({
          labels: { protocol },
          value: Number(maps.flow_events.getPerCpu(p).reduce((sum, v) => sum + v[field], 0n)),
        })),
    });
  }

  const collector = () => maps.collector_map.get(0);
  register(registry, {
    name: 'sluice_flows_active',
    help: 'flows in the tables when the collector last passed, by protocol and tier',
    type: 'gauge',
    read: () => {
      const state = collector();
      if (state === undefined) return [];
      return PROTOCOLS.flatMap(([protocol, p]): Sample[] => [
        { labels: { protocol, tier: 'proven' }, value: state.proven[p] ?? 0 },
        { labels: { protocol, tier: 'new' }, value: state.fresh[p] ?? 0 },
      ]);
    },
  });
  register(registry, {
    name: 'sluice_collector_passes_total',
    help: 'passes of the collector over the flow tables',
    type: 'counter',
    read: () => [{ value: Number(collector()?.passes ?? 0n) }],
  });
  register(registry, {
    name: 'sluice_collector_pass_seconds',
    help: 'duration of the last pass of the collector',
    type: 'gauge',
    read: () => [{ value: Number(collector()?.duration_ns ?? 0n) / 1e9 }],
  });
  registerSnat(registry, maps, ports.last - ports.first + 1);
  register(registry, {
    name: 'sluice_socket_operations_total',
    help: 'operations on sockets of the host and of sandboxes that a published port or a service has changed: translated, or refused',
    type: 'counter',
    read: () =>
      SOCKET_EVENTS.map(([operation, event]) => ({
        labels: { operation },
        value: Number(maps.socket_events.getPerCpu(event).reduce((sum, n) => sum + n, 0n)),
      })),
  });
}

function registerSnat(registry: Registry, maps: DataplaneMaps, offered: number): void {
  /** Random picks needed; the last entry of the map counts exhaustion. */
  const tries = (): number[] =>
    Array.from({ length: maps.snat_tries.descriptor.maxEntries }, (_, i) =>
      Number(maps.snat_tries.getPerCpu(i).reduce((sum, v) => sum + v, 0n)),
    );
  const bounds = [0, 1, 2, 4, 8, 16, 31];
  register(registry, {
    name: 'sluice_snat_port_attempts',
    help: 'random picks until a masqueraded flow had a port; 0: it kept its own',
    type: 'histogram',
    read: () => {
      const counts = tries().slice(0, -1);
      const upTo = (bound: number): number => counts.slice(0, bound + 1).reduce((a, b) => a + b, 0);
      const sum = counts.reduce((a, n, i) => a + n * i, 0);
      return histogram(bounds, bounds.map(upTo), upTo(counts.length), sum);
    },
  });
  register(registry, {
    name: 'sluice_snat_ports_in_use',
    help: 'source ports in use towards the one destination that has the most, and by the one container that has the most towards one',
    type: 'gauge',
    read: () =>
      PORT_USES.map(([by, index]) => ({
        labels: { fullest: by },
        value: maps.collector_map.get(0)?.ports[index] ?? 0,
      })),
  });
  register(registry, {
    name: 'sluice_snat_ports_offered',
    help: 'source ports that there are towards each destination',
    type: 'gauge',
    read: () => [{ value: offered }],
  });
  register(registry, {
    name: 'sluice_snat_port_exhausted_total',
    help: 'flows refused because every port that was tried was taken',
    type: 'counter',
    read: () => [{ value: tries().at(-1) ?? 0 }],
  });
}
