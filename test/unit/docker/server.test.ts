// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import { buildPlugin, listenPlugin } from '../../../src/docker/server.js';
import { startModel } from '../support/model.js';

let directory: string;
let path: string;
let close: (() => Promise<void>) | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-docker-'));
  path = join(directory, 'docker/plugins/sluice.sock');
});
afterEach(async () => {
  await close?.();
  close = undefined;
  rmSync(directory, { recursive: true });
});

async function listen(): Promise<void> {
  const { model } = await startModel();
  const app = buildPlugin({ remote: model.remote, leases: model.leases, log: silentLog() });
  close = await listenPlugin(app, path);
}

/** As Go's client writes it, on one connection; answers what came back by then. */
function speak(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let out = '';
    socket.on('data', (data) => {
      out += data.toString();
      if (/\r\n\r\n[\s\S]*[}]/.test(out)) socket.end();
    });
    socket.on('close', () => resolve(out));
    socket.on('error', reject);
    socket.write(text);
  });
}

const head = (method: string, length: number, host = ''): string =>
  [
    `POST /${method} HTTP/1.1`,
    `Host: ${host}`,
    'User-Agent: Go-http-client/1.1',
    `Content-Length: ${length}`,
    'Accept: application/vnd.docker.plugins.v1.2+json',
    'Accept-Encoding: gzip',
    '\r\n',
  ].join('\r\n');

describe('the socket', () => {
  it('answers what Docker sends: no host, no content type, no body', async () => {
    await listen();
    const activate = await speak(head('Plugin.Activate', 0));
    expect(activate).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(activate).toContain('{"Implements":["NetworkDriver","IpamDriver"]}');
    expect(await speak(head('NetworkDriver.GetCapabilities', 0, 'plugin.moby.localhost'))).toContain(
      '"Scope":"local"',
    );
    const body = '{"NetworkID":"x","EndpointID":"y"}';
    expect(await speak(head('NetworkDriver.EndpointOperInfo', body.length) + body)).toContain('{"Value":{}}');
  });

  it('tells errors in both words, as a success; only what is no method of Docker’s is not found', async () => {
    await listen();
    for (const method of ['NetworkDriver.CreateEndpoint', 'IpamDriver.RequestAddress']) {
      const answer = await speak(head(method, 0));
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
      const { Err, Error: error } = JSON.parse(answer.split('\r\n\r\n')[1] as string);
      expect(Err).toMatch(/^Docker's request/);
      expect(error).toBe(Err);
    }
    expect(await speak(`${head('NetworkDriver.Join', 3)}{{{`)).toContain('is not JSON');
    expect(await speak(head('NetworkDriver.GwAllocCheck', 0))).toMatch(/^HTTP\/1\.1 404/);
  });

  it('is its owner’s alone, with its directories, and goes at the end', async () => {
    await listen();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'docker/plugins')).mode & 0o777).toBe(0o700);
    await close?.();
    close = undefined;
    expect(existsSync(path)).toBe(false);
  });

  it('takes the place of one that nobody answers on, and of nothing else', async () => {
    await listen();
    await expect(listen()).rejects.toMatchObject({ code: 'daemon_running' });
    await close?.();
    // Bound and closed without being unlinked, as by kill -9.
    const bind = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';
    execFileSync('/usr/bin/python3', ['-c', bind, path]);
    expect(existsSync(path)).toBe(true);
    await listen();
    expect(await speak(head('Plugin.Activate', 0))).toContain('Implements');
    await close?.();
    close = undefined;
    writeFileSync(path, 'mine');
    await expect(listen()).rejects.toMatchObject({ code: 'environment' });
  });
});
