// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { Cnm } from '../../cnm/types.js';
import { ServiceSchema } from '../schemas/objects.js';
import { IdParams, NoQuery } from '../schemas/requests.js';
import type { Api } from '../server.js';
import { withStats } from '../service-stats.js';
import type { ServiceStatsSource } from '../sources.js';
import { found, listed } from './answers.js';

const tags = ['services'];

/** Services are declared by containers' labels; what this version cannot do is refused as a matter of the version. */
export function serviceRoutes(api: Api, cnm: Cnm, stats: ServiceStatsSource | null): void {
  api.get(
    '/services',
    { schema: { tags, summary: 'List services', querystring: NoQuery, response: listed(ServiceSchema) } },
    async () => cnm.services(),
  );

  api.get(
    '/services/:id',
    {
      schema: {
        tags,
        summary: 'Show a service',
        params: IdParams,
        querystring: NoQuery,
        response: found(ServiceSchema),
      },
    },
    async ({ params }) => withStats(cnm, stats, cnm.service(params.id)),
  );

  const refuse = async (): Promise<never> => {
    throw new SluiceError('unsupported', 'this version has no services but those that labels declare', {
      hint: 'label the containers with sluice.service and sluice.port, or publish a port of an endpoint instead',
    });
  };
  for (const url of ['/services', '/services/*']) {
    api.route({ method: ['POST', 'PUT', 'PATCH', 'DELETE'], url, schema: { hide: true }, handler: refuse });
  }
}
