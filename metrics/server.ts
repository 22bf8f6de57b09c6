// SPDX-License-Identifier: Apache-2.0
import { createServer } from 'node:http';
import type { Registry } from 'prom-client';
import { SluiceError } from '../src/base/errors.js';

/** Serves the registry at /metrics, in plain text, to whoever may connect: give it a local address. */
export async function serveMetrics(
  registry: Registry,
  at: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (e: unknown) =>
        response.writeHead(500, { 'content-type': 'text/plain' }).end(`${(e as Error).message}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new SluiceError('environment', `metrics cannot listen on ${at.host}:${at.port}: ${cause.code}`, {
          hint: 'give another address with --metrics HOST:PORT, or --no-metrics',
          cause,
        }),
      ),
    );
    server.listen(at.port, at.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : at.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
