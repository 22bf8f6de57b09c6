// SPDX-License-Identifier: Apache-2.0
/** The REST API as a Fastify instance that listens nowhere yet; see listen.ts. */
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, { type FastifyInstance } from 'fastify';
import type { Log } from '../base/log.js';
import type { Cnm } from '../cnm/types.js';
import { installErrors, translate } from './errors.js';
import { conntrackRoutes } from './routes/conntrack.js';
import { dockerRoutes } from './routes/docker.js';
import { endpointRoutes } from './routes/endpoints.js';
import { eventRoutes } from './routes/events.js';
import { networkRoutes } from './routes/networks.js';
import { sandboxRoutes } from './routes/sandboxes.js';
import { serviceRoutes } from './routes/services.js';
import { stateRoutes } from './routes/state.js';
import { statusRoutes } from './routes/status.js';
import { COMPONENTS } from './schemas/components.js';
import type {
  ConntrackSource,
  DockerSource,
  ServiceStatsSource,
  StateSource,
  StatusSource,
} from './sources.js';
import { compileValidator } from './validation.js';

export interface ApiDependencies {
  readonly cnm: Cnm;
  readonly status: StatusSource;
  readonly conntrack: ConntrackSource;
  /** Absent: there is nothing to back up. */
  readonly state?: StateSource;
  /** Absent or null: no Docker Engine is followed. */
  readonly docker?: DockerSource | null;
  /** Absent or null: no dataplane counts for them. */
  readonly services?: ServiceStatsSource | null;
  readonly log: Log;
  /** Told of each answer; `route` is the pattern (`/v1/networks/:id`), or `unknown`. */
  readonly observeRequest?: (route: string, method: string, status: number, seconds: number) => void;
  readonly events?: EventLimits;
}

export interface EventLimits {
  /** Milliseconds between two comments that keep the connection alive. */
  readonly heartbeat: number;
  /** Bytes that may wait for a slow reader before it is dropped. */
  readonly buffer: number;
}
const EVENTS_ROUTE = '/v1/events';
const EVENT_LIMITS: EventLimits = { heartbeat: 15_000, buffer: 256 * 1024 };

/** The plain instance with the types of our schemas; routes are written against it. */
export type Api = ReturnType<typeof typed>;

export function buildApi({
  cnm,
  status,
  conntrack,
  state,
  docker = null,
  services = null,
  log,
  observeRequest,
  events = EVENT_LIMITS,
}: ApiDependencies): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: 1024 * 1024,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 200 },
    // What fails before a route is found, such as a path that cannot be decoded.
    frameworkErrors: (thrown, _request, reply) => {
      const { status, error } = translate(thrown);
      reply.hijack();
      reply.raw
        .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
        .end(JSON.stringify(error));
    },
  });
  app.setValidatorCompiler(compileValidator);
  // Answers are ours and typed: no second description of them runs at each request.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  installErrors(app, log);
  acceptEmptyBodies(app);
  for (const schema of COMPONENTS) app.addSchema(schema);
  if (observeRequest) {
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'unknown';
      // How long somebody listened says nothing about us.
      if (route !== EVENTS_ROUTE)
        observeRequest(route, request.method, reply.statusCode, reply.elapsedTime / 1000);
    });
  }
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sluice',
        description: 'eBPF dataplane network controller for container hosts',
        version: '1',
      },
    },
    refResolver: { buildLocalReference: (schema) => String(schema.$id) },
  });
  app.register(
    async (scope) => {
      const api = typed(scope);
      networkRoutes(api, cnm, docker);
      sandboxRoutes(api, cnm);
      endpointRoutes(api, cnm, docker);
      conntrackRoutes(api, cnm, conntrack);
      statusRoutes(api, cnm, status, docker);
      eventRoutes(api, cnm, events, log);
      serviceRoutes(api, cnm, services);
      dockerRoutes(api, docker);
      if (state !== undefined) stateRoutes(api, state);
      api.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
    },
    { prefix: '/v1' },
  );
  return app;
}

function typed(app: FastifyInstance) {
  return app.withTypeProvider<TypeBoxTypeProvider>();
}

/** Clients that name the type of a body they do not send get by. */
function acceptEmptyBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else parse(request, body, done);
  });
}
