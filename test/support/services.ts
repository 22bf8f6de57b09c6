// SPDX-License-Identifier: Apache-2.0
/** Services written straight into the pinned maps of a daemon, and what talks to them. */
import { join } from 'node:path';
import { mappedPrefix, parsePrefix } from '../../src/base/addresses.js';
import { type DataplaneMaps, pinnedMaps } from '../../src/maps/dataplane.js';
import { backend_state, port_table, publish_flag, service_flag } from '../../src/maps/generated/enums.js';
import { bpfNative } from '../../src/native/bpf.js';
import { must } from './process.js';
import type { Testbed } from './testbed.js';

export const SERVICES = join(import.meta.dirname, 'services.py');
const PROTOCOLS = { tcp: 6, udp: 17 } as const;
/** bpf/maps/publish.h: PUBLISH_ALLOW_SERVICE */
const ALLOW_SERVICE = 0x80000000;

export interface Made {
  number: number;
  /** A container's address tells the network and the backend's place. */
  network: string;
  vip4: string;
  vip6: string | null;
  ports: readonly (readonly [port: number, backendPort: number, protocol: 'tcp' | 'udp'])[];
  /** By id: the endpoint's IPv4 address; draining ones get no new connections. */
  backends: Readonly<Record<number, string | { draining: string }>>;
  /** 1 unless given. */
  weights?: Readonly<Record<number, number>>;
  affinity?: number;
  maglev?: boolean;
  allow?: readonly string[];
}

export interface Said {
  error?: string;
  names: string[];
  clients: string[];
  peers: string[];
}

/** A client of a service in a namespace. */
export function ask(
  ns: string,
  kind: 'tcp' | 'udp' | 'connected',
  address: string,
  port: number,
  count = 1,
  source?: string,
): Said {
  const args = [kind, address, String(port), String(count), ...(source === undefined ? [] : [source])];
  return JSON.parse(must(ns, ['/usr/bin/python3', SERVICES, ...args])) as Said;
}

/** What ask() says where nobody is to answer: `timeout`. */
export function unanswered(
  ns: string,
  kind: 'tcp' | 'udp',
  address: string,
  port: number,
): string | undefined {
  const command = ['/usr/bin/python3', SERVICES, kind, address, String(port)];
  return (JSON.parse(must(ns, ['env', 'PATIENCE=1', ...command])) as Said).error;
}

const placesOf = (port: number): number[] => [port, port_table.PORT_TABLES_FAMILY * 65536 + port];

export class HandmadeServices {
  readonly maps: DataplaneMaps;
  readonly #pins: ReturnType<typeof pinnedMaps>;

  constructor(bed: Testbed) {
    this.#pins = pinnedMaps(bpfNative(), join(bed.bpffs, 'maps'));
    this.maps = this.#pins.maps as DataplaneMaps;
  }

  close(): void {
    this.#pins.close();
  }

  /** The slot of the endpoint that has the IPv4 address. */
  slot(ip: string): number {
    const slot = this.maps.ep_addr4.get(ip);
    if (slot === undefined) throw new Error(`no endpoint has ${ip}`);
    return slot;
  }

  /** Replaces the service of that number; backends that it no longer names are dead. */
  put(service: Made): void {
    const { number, backends } = service;
    const net = this.maps.endpoints.get(this.slot(service.network))?.net ?? 0;
    const region = number * 64;
    const active: number[] = [];
    const weightOf = (backend: number): number => service.weights?.[backend] ?? 1;
    for (const [id, of] of Object.entries(backends)) {
      const draining = typeof of !== 'string';
      const endpoint = this.slot(draining ? of.draining : of);
      this.maps.service_backends.set(Number(id), {
        endpoint,
        generation: this.maps.endpoints.get(endpoint)?.generation ?? 0,
        service: number,
        idle: 0,
        state: draining ? backend_state.BACKEND_DRAINING : backend_state.BACKEND_ACTIVE,
      });
      if (!draining) active.push(Number(id));
    }
    active.forEach((backend, at) => {
      this.maps.service_slots.set(region + at, {
        backend,
        seed: backend * 0x1234567,
        weight: weightOf(backend),
      });
    });
    const weights = active.reduce((sum, backend) => sum + weightOf(backend), 0);
    for (const cidr of service.allow ?? []) {
      const { network, length } = mappedPrefix(
        parsePrefix(cidr) as NonNullable<ReturnType<typeof parsePrefix>>,
      );
      const key = { prefix_length: 32 + length, publish: ALLOW_SERVICE + number, source: network };
      this.maps.publish_allow.set(key, 1);
    }
    const common = {
      service: number,
      net,
      slots: region,
      table: 0,
      places: 0,
      affinity: service.affinity ?? 0,
    };
    const flags =
      (service.maglev ? service_flag.SERVICE_BY_FLOW : 0) |
      (service.allow === undefined ? 0 : service_flag.SERVICE_LIMITED);
    const write = (port: number, protocol: number, backendPort: number, count: number): void => {
      const value = { ...common, count, weights: count && weights, port: backendPort, flags };
      this.maps.services4.set({ addr: service.vip4, port, protocol }, value);
      if (service.vip6 !== null) this.maps.services6.set({ addr: service.vip6, port, protocol }, value);
    };
    for (const [port, to, protocol] of service.ports) write(port, PROTOCOLS[protocol], to, active.length);
    write(0, 0, 0, 0);
  }

  /** As user space does: out of the slots first. */
  kill(service: Made, id: number): Made {
    const { [id]: _, ...backends } = service.backends;
    const left = { ...service, backends };
    this.put(left);
    const dead = { endpoint: 0, generation: 0, service: 0, idle: 0, state: backend_state.BACKEND_NONE };
    this.maps.service_backends.set(id, dead);
    return left;
  }

  /** A TCP port of a service, on every address of the host. */
  publish(at: { id: number; hostPort: number; port: number; vip4: string; vip6: string }): void {
    this.maps.publishes.set(at.id, {
      endpoint: 0,
      generation: 0,
      addr4: at.vip4,
      host_port: at.hostPort,
      host_port_end: at.hostPort,
      port: at.port,
      protocol: PROTOCOLS.tcp,
      flags: publish_flag.PUBLISH_SERVICE,
      addr6: at.vip6,
    });
    for (const place of placesOf(at.hostPort)) this.maps.port_slots.set(place, at.id);
  }

  unpublish(id: number, hostPort: number): void {
    for (const place of placesOf(hostPort)) this.maps.port_slots.set(place, 0);
    this.maps.publishes.delete(id);
  }

  /** Of the endpoints whose sandboxes' sockets are served. */
  async members(): Promise<number[]> {
    const slots: number[] = [];
    for await (const [, slot] of this.maps.socket_members.entries()) slots.push(slot);
    return slots;
  }

  load(id: number): { picks: number; sockets: number } {
    const { picks = 0n, sockets = 0n } = this.maps.backend_load.get(id) ?? {};
    return { picks: Number(picks), sockets: Number(sockets) };
  }

  refused(number: number): number[] {
    return (this.maps.service_refusals.get(number)?.count ?? []).map(Number);
  }

  event(event: number): number {
    return Number(this.maps.socket_events.getPerCpu(event).reduce((sum, n) => sum + n, 0n));
  }
}
