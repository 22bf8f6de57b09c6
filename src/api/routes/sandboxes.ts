// SPDX-License-Identifier: Apache-2.0
import type { Cnm } from '../../cnm/types.js';
import { EndpointSchema, SandboxSchema } from '../schemas/objects.js';
import {
  ChangeQuery,
  ConnectSchema,
  DisconnectSchema,
  IdParams,
  NoQuery,
  SandboxCreateSchema,
} from '../schemas/requests.js';
import type { Api } from '../server.js';
import { created, found, listed, REMOVED } from './answers.js';

const tags = ['sandboxes'];

export function sandboxRoutes(api: Api, cnm: Cnm): void {
  api.get(
    '/sandboxes',
    { schema: { tags, summary: 'List sandboxes', querystring: NoQuery, response: listed(SandboxSchema) } },
    async () => cnm.sandboxes(),
  );

  api.post(
    '/sandboxes',
    {
      schema: {
        tags,
        summary: 'Create a sandbox',
        querystring: ChangeQuery,
        body: SandboxCreateSchema,
        response: created(SandboxSchema),
      },
    },
    async ({ body, query }, reply) => {
      const answer = await cnm.createSandbox(body, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(201).send(answer);
    },
  );

  api.get(
    '/sandboxes/:id',
    {
      schema: {
        tags,
        summary: 'Show a sandbox',
        params: IdParams,
        querystring: NoQuery,
        response: found(SandboxSchema),
      },
    },
    async ({ params }) => cnm.sandbox(params.id),
  );

  api.delete(
    '/sandboxes/:id',
    {
      schema: {
        tags,
        summary: 'Remove a sandbox',
        params: IdParams,
        querystring: ChangeQuery,
        response: REMOVED,
      },
    },
    async ({ params, query }, reply) => {
      const plan = await cnm.removeSandbox(params.id, query.dryRun ?? false);
      return plan ?? reply.code(204).send(null);
    },
  );

  api.post(
    '/sandboxes/:id/connect',
    {
      schema: {
        tags,
        summary: 'Create an endpoint and join it, in one',
        params: IdParams,
        querystring: ChangeQuery,
        body: ConnectSchema,
        response: created(EndpointSchema),
      },
    },
    async ({ params, body, query }, reply) => {
      const answer = await cnm.connect(params.id, body, query.dryRun ?? false);
      return 'dryRun' in answer ? answer : reply.code(201).send(answer);
    },
  );

  api.post(
    '/sandboxes/:id/disconnect',
    {
      schema: {
        tags,
        summary: "Leave and remove the sandbox's endpoint of a network",
        params: IdParams,
        querystring: ChangeQuery,
        body: DisconnectSchema,
        response: REMOVED,
      },
    },
    async ({ params, body, query }, reply) => {
      const plan = await cnm.disconnect(body.network, params.id, query.dryRun ?? false);
      return plan ?? reply.code(204).send(null);
    },
  );
}
