// SPDX-License-Identifier: Apache-2.0
/** Exit codes, where options may stand, and a daemon that is not there or is none. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/table.js';
import { startApi, type TestApi } from '../api/support.js';
import { asNobody } from '../support/nobody.js';
import { sluice } from './support.js';

describe('wrong usage', () => {
  it.each([
    ['network ls --foo', "unknown option '--foo'", 'network ls'],
    ['network ls extra', 'too many arguments', 'network ls'],
    ['network create', "missing required argument 'NAME'", 'network create'],
    ['network create x -o mtu', 'It is not KEY=VALUE', 'network create'],
    ['network ls -o yaml', 'Allowed choices are table, json', 'network ls'],
    ['--format yaml network ls', 'Allowed choices are table, json', null],
    ['network ls --socket', "option '--socket <PATH>' argument missing", 'network ls'],
    ['endpoint create x', "required option '--network <NETWORK>' not specified", 'endpoint create'],
    ['network lss', "unknown command 'lss'", 'network'],
    ['netwrok', "unknown command 'netwrok'", null],
    ['connect net', "missing required argument 'SANDBOX'", 'connect'],
    ['publish e', "missing required argument 'PORTSPEC'", 'publish'],
    ['sandbox exec', "missing required argument 'NAME'", 'sandbox exec'],
    ['sandbox exec web', "missing required argument 'COMMAND'", 'sandbox exec'],
    ['sandbox exec web --', 'no command to run', null],
    ['sandbox exec web --foo ls', "unknown option '--foo'", 'sandbox exec'],
    ['completion', "missing required argument 'SHELL'", 'completion'],
    ['completion tcsh', "'tcsh' is not a shell", null],
  ])('is told of %s in one line', async (line, words, command) => {
    const { code, out, err } = await sluice({}, ...line.split(' '));
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^sluice: [^\n]+\n$/);
    expect(err).toContain(words);
    if (command !== null) expect(err).toContain(`see sluice ${command} --help)`);
  });

  it.each(['', 'network', 'sandbox', 'endpoint', 'service', 'docker', 'conntrack'])(
    'is answered with help: sluice %s',
    async (line) => {
      const { code, out, err } = await sluice({}, ...line.split(' ').filter(Boolean));
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(/^Usage: sluice/);
    },
  );
});

it('helps everywhere, without a daemon', async () => {
  const paths = COMMANDS.filter(({ hidden }) => !hidden).map(({ path }) => path);
  for (const path of [[], ['network'], ...paths]) {
    const { code, out, err } = await sluice({}, ...path, '--help');
    expect([code, err], path.join(' ')).toEqual([0, '']);
    expect(out).toContain(['Usage: sluice', ...path].join(' '));
    expect(out).toContain('--socket <PATH>');
  }
  expect((await sluice({}, 'sandbox', 'exec', 'web', '--help')).out).toContain('Usage: sluice sandbox exec');
  expect((await sluice({}, 'help', 'network')).code).toBe(0);
});

describe('with a daemon', () => {
  let api: TestApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  it('takes the options of all commands before, between and behind', async () => {
    const options = ['--socket', api.socket, '--format', 'json'];
    for (const argv of [
      [...options, 'network', 'ls'],
      ['network', ...options, 'ls'],
      ['network', 'ls', ...options],
      ['--format=json', 'network', `--socket=${api.socket}`, 'ls'],
    ]) {
      expect(await sluice({ SLUICE_SOCKET: '/nix' }, ...argv)).toEqual({ code: 0, out: '[]\n', err: '' });
    }
    const inner = await sluice({}, '--socket', '/nix', 'network', 'ls', '-q', '--socket', api.socket);
    expect(inner).toEqual({ code: 0, out: '', err: '' });
  });

  it('says nothing but names to completion scripts', async () => {
    await api.call('POST', '/networks', { name: 'net' });
    expect(await sluice({ SLUICE_SOCKET: api.socket }, '__complete', 'network')).toMatchObject({
      out: 'net\n',
      err: '',
    });
    expect(await sluice({ SLUICE_SOCKET: '/nix' }, '__complete', 'network')).toEqual({
      code: 1,
      out: '',
      err: '',
    });
  });
});

describe('a daemon that cannot be reached', () => {
  let directory: string;
  let socket: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
    socket = join(directory, 's.sock');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  async function refused(...argv: string[]): Promise<string> {
    const { code, out, err } = await sluice({ SLUICE_SOCKET: socket }, ...argv);
    expect([code, out]).toEqual([3, '']);
    expect(err).toMatch(/^sluice: [^\n]+ \([^\n]+\)\n$/);
    expect(err).toContain(socket);
    return err;
  }

  it('because there is no socket', async () => {
    expect(await refused('network', 'ls')).toContain('there is no such socket (start sluiced');
    expect(await refused('network', 'rm', 'a', 'b')).toContain('no such socket');
    expect(await refused('events')).toContain('no such socket');
    const { code, err } = await sluice({ SLUICE_SOCKET: socket }, 'status', '--format', 'json');
    expect([code, JSON.parse(err).code]).toEqual([3, 'unavailable']);
  });

  it('because the path is a file', async () => {
    writeFileSync(socket, '');
    expect(await refused('status')).toMatch(/nobody listens|no socket/);
  });

  it('because it may not', async () => {
    chmodSync(directory, 0);
    expect(await asNobody(() => refused('status'))).toContain('permission denied');
    chmodSync(directory, 0o700);
  });

  it.each([
    ['talks no HTTP', 'SSH-2.0-x\r\n'],
    ['answers no JSON', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
    ['refuses in words of its own', 'HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}'],
  ])('because what listens there %s', async (_what, answer) => {
    const server = createServer((connection) => {
      connection.on('error', () => {});
      connection.on('data', () => connection.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      await refused('network', 'ls');
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('because it hangs up', async () => {
    const server = createServer((connection) => void connection.on('data', () => connection.destroy()));
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const { code, err } = await sluice({ SLUICE_SOCKET: socket }, 'network', 'create', 'x');
    expect([code, err]).toEqual([3, expect.stringContaining('went away')]);
    await new Promise((resolve) => server.close(resolve));
  });
});
