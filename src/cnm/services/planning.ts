// SPDX-License-Identifier: Apache-2.0
/** Rows of a service, and what of its backends they show. */
import type { Change } from '../change.js';
import type { BackendRecord, EndpointRecord, SelectedRecord, ServiceRecord } from '../records.js';
import type { BackendRow, Owner, Row } from '../rows.js';
import type { State } from '../state.js';
import type { BackendState } from '../types.js';

type AnyBackend = BackendRecord | SelectedRecord;

export function serviceOwner(id: string): Owner {
  return { kind: 'service', id };
}

export function backendState(state: State, service: ServiceRecord, backend: AnyBackend): BackendState {
  const declared = 'declared' in backend ? backend.declared : undefined;
  if (declared) return declared.state === 'active' && backend.weight === 0 ? 'draining' : declared.state;
  const { balancing } = state;
  if (backend.endpoint === null || balancing.joined(backend.endpoint) === null) return 'gone';
  if (backend.drain || backend.weight === 0) return 'draining';
  if (service.health === null) return 'active';
  const health = balancing.health(service.id, backend.endpoint);
  if (health === null) return 'starting';
  return health === 'unhealthy' ? 'draining' : 'active';
}

/** null: nobody checks it, or it has not been seen well since it came. */
export function healthOf({ balancing }: State, service: ServiceRecord, backend: AnyBackend): boolean | null {
  const declared = 'declared' in backend ? backend.declared : undefined;
  if (declared) return declared.healthy;
  const health = backend.endpoint === null ? null : balancing.health(service.id, backend.endpoint);
  return health === null || health === 'presumed' ? null : health === 'healthy';
}

/** None where it has no address, or is no more. */
export function planService(state: State, id: string): Row[] {
  const service = state.balancing.service(id);
  if (!service) return [];
  const { number, vip, vip6, network } = service;
  const net = network === null ? null : (state.networks.get(network)?.net ?? null);
  if (number === null || vip === null || net === null) return [];
  const { ports, algorithm, affinity, idleTimeout, allow } = service;
  const rows: Row[] = [
    {
      kind: 'service',
      number,
      net,
      vip4: vip,
      vip6,
      ports,
      algorithm,
      affinity,
      idleTimeout,
      allow,
      backends: state.balancing.backendsOf(service).flatMap((backend) => backendRow(state, service, backend)),
    },
  ];
  for (const { id: publish, hostIp, hostPort, port, protocol } of service.publish) {
    if (publish === null) continue;
    rows.push({
      kind: 'publish',
      service: true,
      id: publish,
      slot: 0,
      generation: 0,
      protocol,
      hostIp: hostIp === '' ? null : hostIp,
      hostPort,
      hostPortEnd: hostPort,
      port,
      ipv4: vip,
      ipv6: vip6,
      allow: [],
    });
  }
  return rows;
}

function backendRow(state: State, service: ServiceRecord, backend: AnyBackend): BackendRow[] {
  const { id, endpoint, weight } = backend;
  const joined = endpoint === null ? null : state.balancing.joined(endpoint);
  const join = joined?.join;
  if (id === null || !join || join.slot === null) return [];
  const now = backendState(state, service, backend);
  if (now !== 'active' && now !== 'draining') return [];
  const container = 'declared' in backend ? backend.declared?.container : undefined;
  return [
    {
      id,
      // Of the same name each time a container or endpoint of that name is made.
      name: container?.name ?? joined.name,
      slot: join.slot,
      generation: join.generation,
      weight,
      state: now,
    },
  ];
}

/** These records are what services are planned from, and their rows are brought about. */
export function stageServices(
  state: State,
  change: Change,
  updates: readonly {
    readonly id: string;
    readonly previous: ServiceRecord | null;
    readonly next: ServiceRecord | null;
  }[],
): void {
  const put = (which: 'previous' | 'next') => () =>
    updates.map((update) => {
      state.balancing.setService(update.id, update[which]);
      return { owner: serviceOwner(update.id), rows: planService(state, update.id) };
    });
  change.later({ next: put('next'), previous: put('previous'), lenient: change.forward });
}

/**
 * The services that an endpoint backs follow it into its sandbox, or out of it.
 * They are planned when their turn comes: what was wrong with them before is no
 * reason for the endpoint to stay where it is.
 */
export function stageBacked(
  state: State,
  change: Change,
  endpoint: string,
  previous: EndpointRecord | null,
  next: EndpointRecord | null,
): void {
  const { balancing } = state;
  const put = (record: EndpointRecord | null) => () => {
    balancing.setJoined(endpoint, record);
    const backed = balancing.backedBy(endpoint);
    // Who comes back is another one, to whom no check applies that was made before.
    for (const id of backed) balancing.setHealth(id, endpoint, null);
    return backed.map((id) => ({ owner: serviceOwner(id), rows: planService(state, id) }));
  };
  change.later({ next: put(next), previous: put(previous), lenient: true });
}
