// SPDX-License-Identifier: Apache-2.0
/**
 * Docker's plugin protocol on its unix socket: POST /Interface.Method with JSON
 * that is not said to be JSON, answers always 200. Docker reads errors from
 * `Err` (network) or `Error` (addresses), and repeats a request whose
 * connection broke with an empty body: none must break.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import { SluiceError, toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { bindUnix, makeWay } from '../base/unix-socket.js';
import type { AddressLeases } from '../cnm/leases.js';
import type { RemoteObjects } from '../cnm/remote.js';
import { ipamDriver } from './ipam-driver.js';
import { networkDriver, type Scope } from './network-driver.js';

export type Methods = Readonly<Record<string, (body: unknown) => Promise<object>>>;

export interface PluginOptions {
  readonly remote: RemoteObjects;
  readonly leases: AddressLeases;
  readonly scope?: Scope;
  readonly log: Log;
  readonly observeRequest?: (route: string, method: string, status: number, seconds: number) => void;
}

/** Listens nowhere yet; see listenPlugin(). */
export function buildPlugin(options: PluginOptions): FastifyInstance {
  const { remote, leases, scope = 'local', log, observeRequest } = options;
  const app = fastify({ logger: false, bodyLimit: 16 * 1024 * 1024, exposeHeadRoutes: false });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  const interfaces: Readonly<Record<string, Methods>> = {
    Plugin: { Activate: async () => ({ Implements: ['NetworkDriver', 'IpamDriver'] }) },
    NetworkDriver: networkDriver(remote, scope),
    IpamDriver: ipamDriver(leases),
  };
  for (const [name, methods] of Object.entries(interfaces)) {
    for (const [method, handle] of Object.entries(methods)) {
      app.post(`/${name}.${method}`, async (request) => {
        log.debug(`docker: ${name}.${method}`, { body: request.body });
        return handle(parse(request.body));
      });
    }
  }
  if (observeRequest) {
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'unknown';
      observeRequest(route, request.method, reply.statusCode, reply.elapsedTime / 1000);
    });
  }
  app.setNotFoundHandler(async (request, reply) =>
    reply.code(404).send(answer(`there is no ${request.method} ${request.url}`)),
  );
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = toSluiceError(thrown, request.url);
    log.warn(
      `docker: ${request.url.slice(1)}: ${error.message}`,
      error.code === 'internal' ? { err: thrown } : {},
    );
    return reply
      .code(200)
      .send(answer(error.hint === undefined ? error.message : `${error.message}; ${error.hint}`));
  });
  return app;
}

/** Answers how to end: calls under way are answered, and the socket goes. */
export async function listenPlugin(app: FastifyInstance, path: string): Promise<() => Promise<void>> {
  await app.ready();
  const place = { path, flag: 'docker-plugin', directoryMode: 0o700 };
  await makeWay(place);
  // Docker keeps connections for as long as it likes, and names no host.
  const server = createServer(
    { requireHostHeader: false, keepAliveTimeout: 0, requestTimeout: 0 },
    (request: IncomingMessage, response: ServerResponse) => app.routing(request, response),
  );
  await bindUnix(server, place);
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    await app.close();
    await closed;
  };
}

function parse(body: unknown): unknown {
  if (typeof body !== 'string' || body.trim() === '') return {};
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new SluiceError('invalid_argument', "Docker's request is not JSON", { cause });
  }
}

function answer(text: string): { Err: string; Error: string } {
  return { Err: text, Error: text };
}
