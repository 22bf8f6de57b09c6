// SPDX-License-Identifier: Apache-2.0
import { Type } from 'typebox';
import type { Cnm, Network } from '../../cnm/types.js';
import { ref } from '../schemas/common.js';
import { NetworkSchema, PrunedSchema, PrunePlanSchema } from '../schemas/objects.js';
import {
  ChangeQuery,
  IdParams,
  NetworkCreateSchema,
  NoQuery,
  RemoveNetworkQuery,
} from '../schemas/requests.js';
import type { Api } from '../server.js';
import type { DockerSource } from '../sources.js';
import { created, FAILURES, found, listed, REMOVED } from './answers.js';

const tags = ['networks'];

export function networkRoutes(api: Api, cnm: Cnm, docker: DockerSource | null): void {
  const withName = (network: Network) => {
    const dockerName = docker?.networks.of(network) ?? null;
    return dockerName === null ? network : { ...network, dockerName };
  };

  api.get(
    '/networks',
    { schema: { tags, summary: 'List networks', querystring: NoQuery, response: listed(NetworkSchema) } },
    async () => cnm.networks().map(withName),
  );

  api.post(
    '/networks',
    {
      schema: {
        tags,
        summary: 'Create a network',
        querystring: ChangeQuery,
        body: NetworkCreateSchema,
        response: created(NetworkSchema),
      },
    },
    async ({ body, query }, reply) => {
      const answer = await cnm.createNetwork(body, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(201).send(answer);
    },
  );

  api.get(
    '/networks/:id',
    {
      schema: {
        tags,
        summary: 'Show a network',
        params: IdParams,
        querystring: NoQuery,
        response: found(NetworkSchema),
      },
    },
    async ({ params }) => withName(cnm.network(params.id)),
  );

  api.delete(
    '/networks/:id',
    {
      schema: {
        tags,
        summary: 'Remove a network',
        params: IdParams,
        querystring: RemoveNetworkQuery,
        response: REMOVED,
      },
    },
    async ({ params, query }, reply) => {
      const plan = await cnm.removeNetwork(params.id, query.dryRun ?? false, query.force ?? false);
      return plan ?? reply.code(204).send(null);
    },
  );

  api.post(
    '/networks/prune',
    {
      schema: {
        tags,
        summary: 'Remove networks without endpoints',
        querystring: ChangeQuery,
        response: { 200: Type.Union([ref(PrunedSchema), ref(PrunePlanSchema)]), ...FAILURES },
      },
    },
    async ({ query }) => {
      const dryRun = query.dryRun ?? false;
      const networks = await cnm.pruneNetworks(dryRun);
      return dryRun ? { dryRun: true as const, rows: [], networks } : { networks };
    },
  );
}
