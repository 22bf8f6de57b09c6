// SPDX-License-Identifier: Apache-2.0
import type { Static } from 'typebox';
import type { Cnm, Service } from '../cnm/types.js';
import type { ServiceSchema } from './schemas/objects.js';
import type { ServiceStatsSource } from './sources.js';

/** A service with what it and its backends got; as it is, if it has no address. */
export function withStats(
  cnm: Pick<Cnm, 'endpoint'>,
  source: ServiceStatsSource | null,
  service: Service,
): Static<typeof ServiceSchema> {
  const stats = source?.of(service.id) ?? null;
  if (stats === null) return service;
  return {
    ...service,
    stats: { ...stats.total, refused: { ...stats.refused } },
    backends: service.backends.map((backend) => {
      const own =
        backend.endpoint === null ? undefined : stats.backends.get(cnm.endpoint(backend.endpoint).id);
      return own === undefined ? backend : { ...backend, stats: { ...own } };
    }),
  };
}
