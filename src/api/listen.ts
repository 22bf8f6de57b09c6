// SPDX-License-Identifier: Apache-2.0
/** Where the API listens: a unix socket always, TCP with mutual TLS if asked for. */
import { chmodSync, chownSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { FastifyInstance } from 'fastify';
import { SluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { bindUnix, listening, makeWay } from '../base/unix-socket.js';
import { followFiles, mutualTls, type TlsAddress } from './tls.js';

export interface ListenOptions {
  readonly socket: string;
  readonly tls?: TlsAddress;
  /** Of certificates that change. */
  readonly log?: Log;
}

export interface Listener {
  /** Of TCP, where asked for; the port is the real one where 0 was given. */
  readonly tcp: { readonly host: string; readonly port: number } | null;
  /** Answers what is under way, ends the streams, removes the socket. */
  close(): Promise<void>;
}

/** Milliseconds that requests under way have left when the API closes. */
const CLOSE_GRACE = 3000;

export async function listen(app: FastifyInstance, { socket, tls, log }: ListenOptions): Promise<Listener> {
  await app.ready();
  const route = (req: IncomingMessage, res: ServerResponse): void => app.routing(req, res);
  const servers: Server[] = [];
  try {
    await makeWay({ path: socket, flag: 'socket' });
    const local = createServer(route);
    await bindSocket(local, socket);
    servers.push(local);
    let tcp: Listener['tcp'] = null;
    if (tls) {
      const first = mutualTls(tls);
      let { guard } = first;
      const remote = createTlsServer(first.options, (req, res) => guard(req, res) && route(req, res));
      await bindTcp(remote, tls);
      servers.push(remote);
      const stop = followFiles(
        tls,
        (renewed) => {
          guard = renewed.guard;
          remote.setSecureContext(renewed.options);
          log?.info('the certificates have changed and are in use');
        },
        (err) => log?.warn('the certificates have changed and cannot be used: the old ones stay', { err }),
      );
      remote.on('close', stop);
      const address = remote.address();
      tcp = { host: tls.host, port: typeof address === 'object' && address ? address.port : tls.port };
    }
    return { tcp, close: () => close(app, servers) };
  } catch (e) {
    await close(app, servers);
    throw e;
  }
}

async function close(app: FastifyInstance, servers: readonly Server[]): Promise<void> {
  const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)));
  const closing = app.close();
  const timer = setTimeout(() => {
    for (const server of servers) server.closeAllConnections();
  }, CLOSE_GRACE);
  await Promise.all([closing, ...closed]);
  clearTimeout(timer);
}

async function bindSocket(server: Server, path: string): Promise<void> {
  await bindUnix(server, { path, flag: 'socket' });
  const group = groupId('sluice');
  if (group !== null && process.geteuid?.() === 0) chownSync(path, 0, group);
  chmodSync(path, 0o660);
}

async function bindTcp(server: Server, { host, port }: TlsAddress): Promise<void> {
  const bound = listening(server, (e) => {
    const why = (e as NodeJS.ErrnoException).code ?? String(e);
    return new SluiceError('environment', `cannot listen on ${host}:${port}: ${why}`, {
      field: 'listen',
      hint: 'give another --listen',
      cause: e,
    });
  });
  server.listen(port, host);
  await bound;
}

function groupId(name: string): number | null {
  let text: string;
  try {
    text = readFileSync('/etc/group', 'utf8');
  } catch {
    return null;
  }
  for (const line of text.split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && id !== undefined) return Number(id);
  }
  return null;
}
