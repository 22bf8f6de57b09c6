// SPDX-License-Identifier: Apache-2.0
/** Services as users see them. */
import type { ServiceRecord } from '../records.js';
import type { State } from '../state.js';
import type { Backend, Service } from '../types.js';
import { backendState, healthOf } from './planning.js';

export function serviceView(state: State, record: ServiceRecord): Service {
  return {
    id: record.id,
    name: record.name,
    network: record.network === null ? null : (state.networks.get(record.network)?.name ?? null),
    mode: record.mode,
    vip: record.vip,
    vip6: record.vip6,
    ports: record.ports.map((port) => ({ ...port })),
    algorithm: record.algorithm,
    affinity: record.affinity,
    idleTimeout: record.idleTimeout,
    publish: record.publish.map(({ hostPort, port, protocol }) => ({ hostPort, port, protocol })),
    allow: [...record.allow],
    selector: { ...record.selector },
    health: record.health && { ...record.health },
    declaredBy: record.declaredBy && { ...record.declaredBy },
    backends: state.balancing.backendsOf(record).flatMap((backend): Backend[] => {
      const endpoint = backend.endpoint === null ? undefined : state.endpoints.get(backend.endpoint);
      const declared = 'declared' in backend ? backend.declared : undefined;
      // Its endpoint has just gone, and its record is about to follow.
      if (!declared && !endpoint) return [];
      return [
        {
          endpoint: endpoint?.name ?? null,
          container: declared ? { ...declared.container } : null,
          weight: backend.weight,
          state: backendState(state, record, backend),
          healthy: healthOf(state, record, backend),
        },
      ];
    }),
    created: record.created,
  };
}

export function portsText(record: Pick<ServiceRecord, 'ports'>): string {
  return record.ports
    .map(({ port, backendPort, protocol }) => `${port}:${backendPort}/${protocol}`)
    .join(',');
}
