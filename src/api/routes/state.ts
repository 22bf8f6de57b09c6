// SPDX-License-Identifier: Apache-2.0
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import { ref } from '../schemas/common.js';
import { ChangeQuery, NoQuery } from '../schemas/requests.js';
import { RestoredSchema, RestorePlanSchema, STATE_TYPE } from '../schemas/state.js';
import type { Api } from '../server.js';
import type { StateSource } from '../sources.js';
import { FAILURES } from './answers.js';

const tags = ['state'];
/** A hundred thousand objects, and room. */
const BODY_LIMIT = 256 * 1024 * 1024;

export function stateRoutes(api: Api, source: StateSource): void {
  api.get(
    '/backup',
    {
      schema: {
        tags,
        summary: 'The state as of one moment, for POST /restore; whole only if its last line has a sha256',
        querystring: NoQuery,
        response: {
          200: { description: 'lines of JSON', content: { [STATE_TYPE]: { schema: Type.String() } } },
          ...FAILURES,
        },
      },
    },
    async (_request, reply) => {
      const { lines, done } = await source.backup();
      reply.raw.once('finish', done);
      reply.type(STATE_TYPE);
      return reply.send(Readable.from(lines, { objectMode: false }) as never);
    },
  );

  api.addContentTypeParser<string>(
    STATE_TYPE,
    { parseAs: 'string', bodyLimit: BODY_LIMIT },
    (_request, body, done) => done(null, body),
  );
  api.post(
    '/restore',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        tags,
        summary:
          'Go back to a backup: the daemon starts anew with it once it has answered; the traffic goes on',
        consumes: [STATE_TYPE],
        querystring: ChangeQuery,
        response: { 200: ref(RestorePlanSchema), 202: ref(RestoredSchema), ...FAILURES },
      },
    },
    async ({ body, query }, reply) => {
      const text = typeof body === 'string' ? body : '';
      if (query.dryRun) return { dryRun: true as const, ...source.check(text) };
      const { restored, restart } = await source.restore(text);
      reply.raw.once('close', restart);
      return reply.code(202).send(restored);
    },
  );
}
