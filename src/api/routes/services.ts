// SPDX-License-Identifier: Apache-2.0
import { Type } from 'typebox';
import type { Cnm } from '../../cnm/types.js';
import { ref } from '../schemas/common.js';
import { PlanSchema, ServiceSchema } from '../schemas/objects.js';
import {
  BackendAddSchema,
  BackendParams,
  BackendSetSchema,
  ChangeQuery,
  IdParams,
  NoQuery,
  ServiceCreatesSchema,
} from '../schemas/requests.js';
import type { Api } from '../server.js';
import { withStats } from '../service-stats.js';
import type { ServiceStatsSource } from '../sources.js';
import { changed, FAILURES, found, listed, REMOVED } from './answers.js';

const tags = ['services'];
/** Ten thousand services with a dozen backends each, and room. */
const BODY_LIMIT = 64 * 1024 * 1024;

export function serviceRoutes(api: Api, cnm: Cnm, stats: ServiceStatsSource | null): void {
  api.get(
    '/services',
    { schema: { tags, summary: 'List services', querystring: NoQuery, response: listed(ServiceSchema) } },
    async () => cnm.services(),
  );

  api.post(
    '/services',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        tags,
        summary: 'Create a service, or many: all of them or none',
        querystring: ChangeQuery,
        body: ServiceCreatesSchema,
        response: {
          200: ref(PlanSchema),
          201: Type.Union([ref(ServiceSchema), Type.Array(ref(ServiceSchema))]),
          ...FAILURES,
        },
      },
    },
    async ({ body, query }, reply) => {
      const dryRun = query.dryRun ?? false;
      const answer = await (Array.isArray(body)
        ? cnm.createServices(body, dryRun)
        : cnm.createService(body, dryRun));
      return 'dryRun' in answer ? answer : reply.code(201).send(answer);
    },
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

  api.delete(
    '/services/:id',
    {
      schema: {
        tags,
        summary: 'Remove a service',
        params: IdParams,
        querystring: ChangeQuery,
        response: REMOVED,
      },
    },
    async ({ params, query }, reply) => {
      const plan = await cnm.removeService(params.id, query.dryRun ?? false);
      return plan ?? reply.code(204).send(null);
    },
  );

  api.post(
    '/services/:id/backends',
    {
      schema: {
        tags,
        summary: 'Make an endpoint a backend',
        params: IdParams,
        querystring: ChangeQuery,
        body: BackendAddSchema,
        response: changed(ServiceSchema),
      },
    },
    async ({ params, body, query }) => cnm.addBackend(params.id, body, query.dryRun ?? false),
  );

  api.patch(
    '/services/:id/backends/:endpoint',
    {
      schema: {
        tags,
        summary: 'Change the weight of a backend, or drain it',
        params: BackendParams,
        querystring: ChangeQuery,
        body: BackendSetSchema,
        response: changed(ServiceSchema),
      },
    },
    async ({ params, body, query }) =>
      cnm.setBackend(params.id, params.endpoint, body, query.dryRun ?? false),
  );

  api.delete(
    '/services/:id/backends/:endpoint',
    {
      schema: {
        tags,
        summary: 'Make an endpoint no backend any more',
        params: BackendParams,
        querystring: ChangeQuery,
        response: REMOVED,
      },
    },
    async ({ params, query }, reply) => {
      const answer = await cnm.removeBackend(params.id, params.endpoint, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(204).send(null);
    },
  );
}
