// SPDX-License-Identifier: Apache-2.0
/** `sluice sandbox exec` in a namespace of the test's own; the daemon is the API over a model without kernel. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type TestApi } from '../unit/api/support.js';

const BIN = join(import.meta.dirname, '../../bin/sluice');
const name = `slx${randomBytes(4).toString('hex')}`;
const netns = `/run/netns/${name}`;
let directory: string;
let api: TestApi;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-exec-'));
  api = await startApi();
  execFileSync('ip', ['netns', 'add', name]);
  mkdirSync(`/etc/netns/${name}`, { recursive: true });
  writeFileSync(`/etc/netns/${name}/resolv.conf`, 'nameserver 192.0.2.77\n');
  writeFileSync(`/etc/netns/${name}/hosts`, '10.64.0.2\tinside\n');
  api.host.namespaces.set(netns, []);
  await api.call('POST', '/sandboxes', { name, netns });
});
afterAll(async () => {
  await api.close();
  rmSync(`/etc/netns/${name}`, { recursive: true, force: true });
  execFileSync('ip', ['netns', 'del', name]);
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(program: string, args: string[], options: SpawnOptions = {}) {
  const child = spawn(program, args, {
    cwd: directory,
    ...options,
    env: { ...process.env, SLUICE_SOCKET: api.socket, ...options.env },
  });
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    out += String(chunk);
  });
  child.stderr?.on('data', (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }));
  });
  return { child, ended };
}

function exec(...command: string[]): Promise<Ended> {
  return start(BIN, ['sandbox', 'exec', name, '--', ...command]).ended;
}

/** Once the command says that it is ready. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.stdout?.on('data', (chunk) => {
      if (String(chunk).includes('ready')) resolve();
    });
  });
}

it('runs inside the network namespace, and nowhere else', async () => {
  const inode = execFileSync('stat', ['-Lc', 'net:[%i]', netns], { encoding: 'utf8' }).trim();
  const { code, out } = await exec('sh', '-c', 'readlink /proc/self/ns/net; readlink /proc/self/ns/pid; pwd');
  expect(code).toBe(0);
  expect(out.split('\n')).toEqual([inode, readlinkSync('/proc/self/ns/pid'), directory, '']);
});

it("shows the sandbox's resolv.conf and hosts, inside only", async () => {
  const before = ['/etc/resolv.conf', '/etc/hosts'].map((path) => readFileSync(path, 'utf8'));
  const { out } = await exec('cat', '/etc/resolv.conf', '/etc/hosts');
  expect(out).toBe('nameserver 192.0.2.77\n10.64.0.2\tinside\n');
  expect((await exec('getent', 'hosts', 'inside')).out).toContain('10.64.0.2');
  expect(['/etc/resolv.conf', '/etc/hosts'].map((path) => readFileSync(path, 'utf8'))).toEqual(before);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`/etc/netns/${name}`);
});

it('passes arguments, input and environment as they are', async () => {
  const { out } = await exec('printf', '[%s]', '', 'a b', '$HOME', '--', "it's", '-x');
  expect(out).toBe("[][a b][$HOME][--][it's][-x]");
  const { child, ended } = start(BIN, ['sandbox', 'exec', name, '--', 'cat']);
  child.stdin?.end('through');
  expect((await ended).out).toBe('through');
  const env = start(BIN, ['sandbox', 'exec', name, '--', 'printenv', 'MARK'], { env: { MARK: 'x y' } });
  expect((await env.ended).out).toBe('x y\n');
});

it('takes the command without the dashes, and options of sluice before it', async () => {
  expect((await start(BIN, ['sandbox', 'exec', name, 'echo', '-n', '--socket']).ended).out).toBe('--socket');
  const socket = `--socket=${api.socket}`;
  const env = { SLUICE_SOCKET: '/nix' };
  expect((await start(BIN, ['sandbox', 'exec', name, socket, '--', 'echo', 'hi'], { env }).ended).out).toBe(
    'hi\n',
  );
  expect((await start(BIN, ['sandbox', 'exec', socket, name, 'echo', 'hi'], { env }).ended).out).toBe('hi\n');
});

it("returns the command's exit code, 128 and the signal's number, 126 and 127", async () => {
  expect((await exec('sh', '-c', 'exit 42')).code).toBe(42);
  expect((await exec('sh', '-c', 'kill -KILL $$')).code).toBe(137);
  const absent = await exec('no-such-command');
  expect([absent.code, absent.err]).toEqual([127, expect.stringMatching(/^sluice: no-such-command: .+\n$/)]);
  expect((await exec('./nowhere')).code).toBe(127);
  const file = join(directory, 'file');
  writeFileSync(file, '#!/bin/sh\n');
  chmodSync(file, 0o644);
  const denied = await exec(file);
  expect([denied.code, denied.err]).toEqual([126, expect.stringContaining('not executable')]);
  expect((await exec(directory)).code).toBe(126);
  writeFileSync(file, '#!/no/such/interpreter\n');
  chmodSync(file, 0o755);
  expect((await exec(file)).code).toBe(127);
});

it('has exit codes of its own for what fails before', async () => {
  const unknown = await start(BIN, ['sandbox', 'exec', 'nix', '--', 'true']).ended;
  expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining("no sandbox is called 'nix'")]);
  const alone = await start(BIN, ['sandbox', 'exec', name, '--socket', '/nix', '--', 'true']).ended;
  expect(alone.code).toBe(3);
  const user = await start(BIN, ['sandbox', 'exec', name, '--', 'true'], { uid: 65534, gid: 65534, cwd: '/' })
    .ended;
  expect([user.code, user.err]).toEqual([1, expect.stringContaining('by root only (run it with sudo)')]);
});

it('says so where the namespace has gone', async () => {
  api.host.namespaces.set(`${netns}-gone`, []);
  await api.call('POST', '/sandboxes', { name: `${name}-gone`, netns: `${netns}-gone` });
  const { code, err } = await start(BIN, ['sandbox', 'exec', `${name}-gone`, '--', 'true']).ended;
  expect(code).toBe(1);
  expect(err).toMatch(/^sluice: [^\n]+ \([^\n]+\)\n$/);
});

it('passes signals on', async () => {
  const trap = 'trap "echo got; exit 7" INT TERM; echo ready; while :; do sleep 0.05; done';
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { child, ended } = start(BIN, ['sandbox', 'exec', name, '--', 'sh', '-c', trap]);
    await ready(child);
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 7, out: 'ready\ngot\n' });
  }
  const { child, ended } = start(BIN, [
    'sandbox',
    'exec',
    name,
    '--',
    'sh',
    '-c',
    'echo ready; exec sleep 60',
  ]);
  await ready(child);
  child.kill('SIGTERM');
  expect((await ended).code).toBe(143);
});

it('leaves a terminal one, whose interrupt key reaches the command once', async () => {
  const inside = (command: string) =>
    start('script', ['-qec', `exec ${BIN} sandbox exec ${name} -- ${command}`, '/dev/null']);
  expect((await inside(`sh -c 'test -t 0 && test -t 1 && test -t 2 && echo yes'`).ended).out).toBe('yes\r\n');
  const trap = `sh -c 'trap "echo got" INT; echo ready; i=0; while [ $i -lt 8 ]; do sleep 0.1; i=$((i+1)); done; exit 7'`;
  const { child, ended } = inside(trap);
  await ready(child);
  child.stdin?.write('\x03');
  const { code, out } = await ended;
  expect(code).toBe(7);
  expect(out.match(/got/g)).toHaveLength(1);
});
