// SPDX-License-Identifier: Apache-2.0
import type { Cnm } from '../../cnm/types.js';
import { NoQuery } from '../schemas/requests.js';
import { StatusSchema } from '../schemas/status.js';
import type { Api } from '../server.js';
import type { DockerSource, StatusSource } from '../sources.js';
import { found } from './answers.js';

export function statusRoutes(api: Api, cnm: Cnm, source: StatusSource, docker: DockerSource | null): void {
  api.get(
    '/status',
    {
      schema: {
        tags: ['status'],
        summary: 'How the node is',
        querystring: NoQuery,
        response: found(StatusSchema),
      },
    },
    async () => {
      const report = await source.status();
      const networks = cnm.networks();
      const sandboxes = cnm.sandboxes();
      const endpoints = cnm.endpoints();
      const names = new Map([...networks, ...sandboxes, ...endpoints].map(({ id, name }) => [id, name]));
      return {
        ...report,
        problems: report.problems.map((problem) => ({
          ...problem,
          name: names.get(problem.owner.id) ?? null,
        })),
        objects: { networks: networks.length, sandboxes: sandboxes.length, endpoints: endpoints.length },
        docker: docker?.status() ?? null,
      };
    },
  );
}
