// SPDX-License-Identifier: Apache-2.0
/** A service written into the maps by hand, as programs want it. */
import type { DataplaneMaps } from '../../src/maps/dataplane.js';
import { backend_state, port_slot, port_table, publish_flag } from '../../src/maps/generated/enums.js';

export interface TestBackend {
  id: number;
  /** Slot of its endpoint, and that one's generation. */
  endpoint: number;
  generation: number;
  weight?: number;
  seed?: number;
  idle?: number;
  /** enum backend_state; what is not active gets no slot. */
  state?: number;
}

export interface TestService {
  number: number;
  net: number;
  vips: string[];
  ports: { port: number; protocol: number; to: number }[];
  backends: TestBackend[];
  /** enum service_flag */
  flags?: number;
  affinity?: number;
  /** First of its slots, and of the places of its table. */
  slots?: number;
  table?: number;
  /** The table: for each place an index into its slots. */
  places?: number[];
}

type ServiceMaps = Pick<
  DataplaneMaps,
  | 'services4'
  | 'services6'
  | 'service_slots'
  | 'service_table'
  | 'service_backends'
  | 'backend_endpoints'
  | 'port_slots'
  | 'publishes'
>;

export function writeService(maps: ServiceMaps, s: TestService): void {
  const active = s.backends.filter(
    (b) => (b.state ?? backend_state.BACKEND_ACTIVE) === backend_state.BACKEND_ACTIVE,
  );
  for (const b of s.backends) {
    const { id, endpoint, generation, idle = 0, state = backend_state.BACKEND_ACTIVE } = b;
    maps.service_backends.set(id, { endpoint, generation, service: s.number, idle, state });
    maps.backend_endpoints.set(endpoint, generation);
  }
  const first = s.slots ?? 0;
  active.forEach(({ id, seed = id * 0x9e3779b1, weight = 1 }, i) => {
    maps.service_slots.set(first + i, { backend: id, seed: seed >>> 0, weight });
  });
  const places = s.places ?? [];
  for (let i = 0; i < places.length; i += 4)
    maps.service_table.set(((s.table ?? 0) + i) / 4, {
      slot: [0, 1, 2, 3].map((n) => places[i + n] ?? 0),
    });
  const value = {
    service: s.number,
    net: s.net,
    slots: first,
    count: active.length,
    weights: active.reduce((sum, b) => sum + (b.weight ?? 1), 0),
    table: s.table ?? 0,
    places: places.length,
    affinity: s.affinity ?? 0,
    port: 0,
    flags: s.flags ?? 0,
  };
  for (const addr of s.vips) {
    const set = (port: number, protocol: number, v: typeof value): void =>
      addr.includes(':')
        ? maps.services6.set({ addr, port, protocol }, v)
        : maps.services4.set({ addr, port, protocol }, v);
    for (const { port, protocol, to } of s.ports) set(port, protocol, { ...value, port: to });
    set(0, 0, { ...value, count: 0 });
  }
}

/** The VIP's port at a port of the host, on every address of both families. */
export function publishService(
  maps: ServiceMaps,
  id: number,
  hostPort: number,
  to: { vip: string; vip6?: string; port: number; protocol: number },
): void {
  maps.publishes.set(id, {
    endpoint: 0,
    generation: 0,
    addr4: to.vip,
    host_port: hostPort,
    host_port_end: hostPort,
    port: to.port,
    protocol: to.protocol,
    flags: publish_flag.PUBLISH_SERVICE,
    addr6: to.vip6 ?? '::',
  });
  const table = to.protocol === 6 ? port_table.PORT_TABLE_TCP : port_table.PORT_TABLE_UDP;
  for (const family of [0, port_table.PORT_TABLES_FAMILY])
    maps.port_slots.set((family + table) * 65536 + hostPort, id & port_slot.PORT_SLOT_ID);
}
