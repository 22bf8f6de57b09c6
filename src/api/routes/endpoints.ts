// SPDX-License-Identifier: Apache-2.0
import type { Cnm, Endpoint } from '../../cnm/types.js';
import { EndpointSchema } from '../schemas/objects.js';
import {
  ChangeQuery,
  EndpointCreateSchema,
  IdParams,
  JoinSchema,
  NoQuery,
  PublishSchema,
  UnpublishSchema,
} from '../schemas/requests.js';
import type { Api } from '../server.js';
import type { DockerSource } from '../sources.js';
import { changed, created, found, listed, REMOVED } from './answers.js';

const tags = ['endpoints'];

export function endpointRoutes(api: Api, cnm: Cnm, docker: DockerSource | null): void {
  const withContainer = (endpoint: Endpoint) => {
    const found = docker?.containers.ofEndpoint(endpoint) ?? null;
    if (!found) return endpoint;
    const { id, name, network } = found;
    return { ...endpoint, container: { id, name, network } };
  };

  api.get(
    '/endpoints',
    { schema: { tags, summary: 'List endpoints', querystring: NoQuery, response: listed(EndpointSchema) } },
    async () => cnm.endpoints().map(withContainer),
  );

  api.post(
    '/endpoints',
    {
      schema: {
        tags,
        summary: 'Create an endpoint',
        querystring: ChangeQuery,
        body: EndpointCreateSchema,
        response: created(EndpointSchema),
      },
    },
    async ({ body, query }, reply) => {
      const answer = await cnm.createEndpoint(body, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(201).send(answer);
    },
  );

  api.get(
    '/endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Show an endpoint',
        params: IdParams,
        querystring: NoQuery,
        response: found(EndpointSchema),
      },
    },
    async ({ params }) => withContainer(cnm.endpoint(params.id)),
  );

  api.delete(
    '/endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Remove an endpoint',
        params: IdParams,
        querystring: ChangeQuery,
        response: REMOVED,
      },
    },
    async ({ params, query }, reply) => {
      const plan = await cnm.removeEndpoint(params.id, query.dryRun ?? false);
      return plan ?? reply.code(204).send(null);
    },
  );

  api.post(
    '/endpoints/:id/join',
    {
      schema: {
        tags,
        summary: 'Put an endpoint into a sandbox',
        params: IdParams,
        querystring: ChangeQuery,
        body: JoinSchema,
        response: changed(EndpointSchema),
      },
    },
    async ({ params, body, query }) => cnm.join(params.id, body.sandbox, query.dryRun ?? false),
  );

  api.post(
    '/endpoints/:id/leave',
    {
      schema: {
        tags,
        summary: 'Take an endpoint out of its sandbox',
        params: IdParams,
        querystring: ChangeQuery,
        response: changed(EndpointSchema),
      },
    },
    async ({ params, query }) => cnm.leave(params.id, query.dryRun ?? false),
  );

  api.post(
    '/endpoints/:id/publish',
    {
      schema: {
        tags,
        summary: 'Publish ports; the new mappings are the last ones of the answer',
        params: IdParams,
        querystring: ChangeQuery,
        body: PublishSchema,
        response: changed(EndpointSchema),
      },
    },
    async ({ params, body, query }) => cnm.publish(params.id, body.ports, query.dryRun ?? false, body.allow),
  );

  api.delete(
    '/endpoints/:id/publish',
    {
      schema: {
        tags,
        summary: 'Publish ports no longer',
        params: IdParams,
        querystring: ChangeQuery,
        body: UnpublishSchema,
        response: REMOVED,
      },
    },
    async ({ params, body, query }, reply) => {
      const answer = await cnm.unpublish(params.id, body.ports, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(204).send(null);
    },
  );
}
