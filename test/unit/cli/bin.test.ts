// SPDX-License-Identifier: Apache-2.0
/** The program itself, as built. */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flow, startApi, type TestApi } from '../api/support.js';

const ROOT = join(import.meta.dirname, '../../..');
const BIN = join(ROOT, 'bin/sluice');
const isBuilt = existsSync(join(ROOT, 'dist/src/cli/main.js'));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-bin-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('says what to do where it is not built', () => {
  mkdirSync(join(directory, 'bin'));
  const copy = join(directory, 'bin', 'sluice.mjs');
  copyFileSync(BIN, copy);
  const { status, stdout, stderr } = spawnSync(process.execPath, [copy, 'version'], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toBe('sluice: it is not built yet (run `npm run setup` in the checkout)\n');
});

describe.skipIf(!isBuilt)('built', () => {
  let api: TestApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  function start(program: string, args: string[], cwd = directory) {
    const child = spawn(program, args, { cwd, env: { ...process.env, SLUICE_SOCKET: api.socket } });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      err += String(chunk);
    });
    const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
      child.on('close', (code) => resolve({ code, out, err }));
    });
    return { child, ended };
  }

  it('runs through a symbolic link from any directory', async () => {
    const link = join(directory, 'slu');
    symlinkSync(BIN, link);
    expect(await start(link, ['network', 'ls', '-o', 'json'], '/').ended).toEqual({
      code: 0,
      out: '[]\n',
      err: '',
    });
  });

  it('has the exit codes of the contract', async () => {
    expect((await start(BIN, ['network', 'inspect', 'nix']).ended).code).toBe(1);
    expect((await start(BIN, ['network', 'inspect']).ended).code).toBe(2);
    expect((await start(BIN, ['network', 'ls', '--socket', '/nix']).ended).code).toBe(3);
  });

  it('prints all of what is much, to a pipe', async () => {
    api.conntrack.flowsHeld = Array.from({ length: 20_000 }, (_, i) => flow({ sourcePort: i }));
    const { code, out } = await start(BIN, ['conntrack', 'ls', '-o', 'json']).ended;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toHaveLength(20_000);
  });

  it('ends quietly when its reader has seen enough', async () => {
    api.conntrack.flowsHeld = Array.from({ length: 20_000 }, (_, i) => flow({ sourcePort: i }));
    const script = `${BIN} conntrack ls | head -1; echo "\${PIPESTATUS[0]}"`;
    const { out, err } = await start('bash', ['-c', script]).ended;
    expect(err).toBe('');
    expect(out).toMatch(/^PROTO .*\n0\n$/);
  });

  it('prints each event at once', async () => {
    const { child, ended } = start(BIN, ['events', '--format', 'json']);
    const first = new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk) => resolve(String(chunk))),
    );
    const timer = setInterval(() => {
      api.model.emit({ time: 5, type: 'link', action: 'up', id: '3', name: 'eth0', attributes: {} });
    }, 50);
    expect(JSON.parse((await first).split('\n')[0] as string)).toMatchObject({ name: 'eth0' });
    clearInterval(timer);
    child.kill('SIGINT');
    await ended;
    expect(child.signalCode).toBe('SIGINT');
  });
});
