// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Listener, listen } from '../../../src/api/listen.js';
import { buildApi } from '../../../src/api/server.js';
import { silentLog } from '../../../src/base/log.js';
import type { Cnm } from '../../../src/cnm/types.js';
import { failure } from '../support/model.js';
import { asNobody } from '../support/nobody.js';
import { FakeConntrack, STATUS, send } from './support.js';

let directory: string;
const open: Listener[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-listen-'));
});
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
  rmSync(directory, { recursive: true, force: true });
});

function app(status = async () => STATUS) {
  const cnm = { networks: () => [], sandboxes: () => [], endpoints: () => [] } as unknown as Cnm;
  return buildApi({ cnm, status: { status }, conntrack: new FakeConntrack(), log: silentLog() });
}

async function start(socket: string): Promise<Listener> {
  const listener = await listen(app(), { socket });
  open.push(listener);
  return listener;
}

it('makes the directory and a socket for owner and group', async () => {
  const socket = join(directory, 'a', 'b', 's.sock');
  await start(socket);
  const stats = lstatSync(socket);
  expect(stats.isSocket()).toBe(true);
  expect(stats.mode & 0o777).toBe(0o660);
  expect((await send(socket, 'GET', '/networks')).body).toEqual([]);
});

it('leaves the umask as it was', async () => {
  const before = process.umask();
  await start(join(directory, 's.sock'));
  expect(process.umask()).toBe(before);
});

it('replaces the socket of a dead daemon', async () => {
  const socket = join(directory, 's.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Promise((resolve) => spawn(process.execPath, ['-e', script]).on('exit', resolve));
  expect(lstatSync(socket).isSocket()).toBe(true);
  await start(socket);
  expect((await send(socket, 'GET', '/networks')).status).toBe(200);
});

it('refuses the socket of a living one, which goes on', async () => {
  const socket = join(directory, 's.sock');
  await start(socket);
  const error = await failure(listen(app(), { socket }));
  expect(error).toMatchObject({ code: 'daemon_running', field: 'socket' });
  expect((await send(socket, 'GET', '/networks')).status).toBe(200);
});

it('refuses to replace what is no socket', async () => {
  const socket = join(directory, 's.sock');
  writeFileSync(socket, 'precious');
  expect(await failure(listen(app(), { socket }))).toMatchObject({ code: 'environment', field: 'socket' });
  expect(lstatSync(socket).isFile()).toBe(true);
});

it('refuses paths that the kernel would cut, and directories that cannot be made', async () => {
  const long = join(directory, 'x'.repeat(120));
  expect(await failure(listen(app(), { socket: long }))).toMatchObject({ code: 'invalid_argument' });
  writeFileSync(join(directory, 'file'), '');
  const under = join(directory, 'file', 's.sock');
  expect(await failure(listen(app(), { socket: under }))).toMatchObject({ code: 'environment' });
});

it('says so where it may not write', async () => {
  chmodSync(directory, 0o555);
  expect(await asNobody(() => failure(listen(app(), { socket: join(directory, 's.sock') })))).toMatchObject({
    code: 'environment',
  });
});

it('removes the socket when it closes', async () => {
  const socket = join(directory, 's.sock');
  const listener = await listen(app(), { socket });
  await listener.close();
  expect(existsSync(socket)).toBe(false);
});

it('answers what is under way before it closes, in spite of idle connections', async () => {
  const socket = join(directory, 's.sock');
  let finish = (): void => {};
  let begun = (): void => {};
  const beginning = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const slow = app(async () => {
    begun();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return STATUS;
  });
  const listener = await listen(slow, { socket });
  const idle = request({ socketPath: socket, path: '/v1/networks', headers: { connection: 'keep-alive' } });
  await new Promise((resolve) => idle.on('response', (res) => res.resume().on('end', resolve)).end());
  const answer = send(socket, 'GET', '/status');
  await beginning;
  const closing = listener.close();
  finish();
  expect((await answer).status).toBe(200);
  const started = performance.now();
  await closing;
  expect(performance.now() - started).toBeLessThan(1500);
});
