// SPDX-License-Identifier: Apache-2.0
import { Readable } from 'node:stream';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { parseAddress } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { Cnm } from '../../cnm/types.js';
import { ref } from '../schemas/common.js';
import {
  ConntrackStatsSchema,
  FlowQuery,
  FlowSchema,
  FlushedSchema,
  FlushPlanSchema,
  FlushQuery,
} from '../schemas/conntrack.js';
import { NoQuery } from '../schemas/requests.js';
import type { Api } from '../server.js';
import type { ConntrackSource, FlowFilter } from '../sources.js';
import { FAILURES, found, listed } from './answers.js';

const tags = ['conntrack'];
/** Characters written at once. */
const CHUNK = 32 * 1024;

export function conntrackRoutes(api: Api, cnm: Cnm, source: ConntrackSource): void {
  api.get(
    '/conntrack',
    {
      schema: {
        tags,
        summary: 'List flows, one a line',
        querystring: FlowQuery,
        response: listed(FlowSchema),
      },
    },
    async ({ query }, reply) => {
      const lines = flowLines(cnm, source, filterOf(cnm, query));
      // What fails before the first line is still an answer of its own.
      const first = await lines.next();
      const rest = async function* () {
        if (!first.done) yield first.value;
        yield* lines;
      };
      reply.type('application/json; charset=utf-8');
      return reply.send(Readable.from(rest(), { objectMode: false }) as never);
    },
  );

  api.delete(
    '/conntrack',
    {
      schema: {
        tags,
        summary: 'Forget flows; without a filter all of them',
        querystring: FlushQuery,
        response: { 200: Type.Union([ref(FlushedSchema), ref(FlushPlanSchema)]), ...FAILURES },
      },
    },
    async ({ query }) => {
      const filter = filterOf(cnm, query);
      if (!query.dryRun) return { flows: await source.flush(filter) };
      let flows = 0;
      for await (const _ of source.flows(filter)) flows++;
      return { dryRun: true as const, rows: [], flows };
    },
  );

  api.get(
    '/conntrack/stats',
    {
      schema: {
        tags,
        summary: 'Counters of flows',
        querystring: NoQuery,
        response: found(ConntrackStatsSchema),
      },
    },
    async () => source.stats(),
  );
}

function filterOf(cnm: Cnm, query: Static<typeof FlowQuery>): FlowFilter {
  if (query.address !== undefined && parseAddress(query.address) === null) {
    throw new SluiceError('invalid_argument', `'${query.address}' is not an IP address`, {
      field: 'address',
      hint: 'give one address, such as 10.64.0.2',
    });
  }
  const { address, port, protocol, endpoint, service } = query;
  return {
    ...(address === undefined ? {} : { address }),
    ...(port === undefined ? {} : { port }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(endpoint === undefined ? {} : { endpoint: cnm.endpoint(endpoint).id }),
    ...(service === undefined ? {} : { service: cnm.service(service).id }),
  };
}

/** A JSON array with one flow a line, in chunks. */
async function* flowLines(
  cnm: Cnm,
  source: ConntrackSource,
  filter: FlowFilter,
): AsyncGenerator<string, void> {
  const endpoints = new Map(cnm.endpoints().map(({ id, name }) => [id, name]));
  // many have no flow through any
  let services: ReadonlyMap<string, string> | null = null;
  const serviceNames = () => (services ??= new Map(cnm.services().map(({ id, name }) => [id, name])));
  const named = (names: ReadonlyMap<string, string>, id: string | null): string | null =>
    id === null ? null : (names.get(id) ?? null);
  let chunk = '[';
  let separator = '\n';
  for await (const flow of source.flows(filter)) {
    const told = {
      ...flow,
      endpoint: named(endpoints, flow.endpoint),
      service: flow.service === null ? null : named(serviceNames(), flow.service),
      backend: named(endpoints, flow.backend),
    } satisfies Static<typeof FlowSchema>;
    chunk += separator + JSON.stringify(told);
    separator = ',\n';
    if (chunk.length >= CHUNK) {
      yield chunk;
      chunk = '';
    }
  }
  yield `${chunk}\n]\n`;
}
