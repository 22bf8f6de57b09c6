// SPDX-License-Identifier: Apache-2.0
import { Type } from 'typebox';
import { SluiceError } from '../../base/errors.js';
import { ref } from '../schemas/common.js';
import { AdoptionSchema, AdoptQuery, OrphanSchema, OrphansPrunedSchema } from '../schemas/docker.js';
import { ChangeQuery, IdParams, NoQuery } from '../schemas/requests.js';
import type { Api } from '../server.js';
import type { DockerSource } from '../sources.js';
import { FAILURES, found, listed } from './answers.js';

const tags = ['docker'];

/** `docker` null: this daemon follows no Engine. */
export function dockerRoutes(api: Api, docker: DockerSource | null): void {
  const followed = (): DockerSource => {
    if (docker) return docker;
    throw new SluiceError('unavailable', 'this daemon follows no Docker Engine', {
      hint: 'it runs with --no-docker; give it --docker-host URL',
    });
  };

  api.get(
    '/docker/orphans',
    {
      schema: {
        tags,
        summary: 'List what is kept for Docker and Docker does not know any more',
        querystring: NoQuery,
        response: listed(OrphanSchema),
      },
    },
    async () => followed().orphans(),
  );

  api.post(
    '/docker/prune',
    {
      schema: {
        tags,
        summary: 'Remove what Docker does not know any more',
        querystring: ChangeQuery,
        response: {
          200: Type.Union([
            ref(OrphansPrunedSchema),
            Type.Object({ dryRun: Type.Literal(true), orphans: Type.Array(ref(OrphanSchema)) }),
          ]),
          ...FAILURES,
        },
      },
    },
    async ({ query }) => {
      const source = followed();
      return query.dryRun === true
        ? { dryRun: true as const, orphans: await source.orphans() }
        : await source.prune();
    },
  );

  api.post(
    '/docker/networks/:id/adopt',
    {
      schema: {
        tags,
        summary: "Show what moves a network of Docker's bridge driver to Sluice",
        params: IdParams,
        querystring: AdoptQuery,
        response: found(AdoptionSchema),
      },
    },
    async ({ params, query }) => {
      if (query.dryRun !== true) {
        throw new SluiceError('unsupported', 'this version does not move networks by itself', {
          field: 'dryRun',
          hint: 'ask with dryRun, and run the commands of the plan',
        });
      }
      return followed().adoption(params.id, { keepAddresses: query.keepAddresses ?? false });
    },
  );
}
