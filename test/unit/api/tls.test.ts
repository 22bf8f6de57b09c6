// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Listener, listen } from '../../../src/api/listen.js';
import { buildApi } from '../../../src/api/server.js';
import type { TlsAddress } from '../../../src/api/tls.js';
import { createLog, silentLog } from '../../../src/base/log.js';
import type { Cnm } from '../../../src/cnm/types.js';
import { failure } from '../support/model.js';
import { FakeConntrack, STATUS, send } from './support.js';

let directory: string;
let listener: Listener | null = null;
const file = (name: string): string => join(directory, name);

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

describe.skipIf(!hasOpenssl)('TCP with mutual TLS', () => {
  /** A CA, a server certificate for 127.0.0.1 and node.test, a client's, and one of a stranger. */
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
    const openssl = (...args: string[]): void => {
      execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
    };
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    for (const ca of ['ca', 'stranger']) {
      openssl('req', '-x509', ...key, '-keyout', `${ca}.key`, '-out', `${ca}.pem`, '-subj', `/CN=${ca}`);
    }
    writeFileSync(file('san'), 'subjectAltName=IP:127.0.0.1,DNS:node.test');
    writeFileSync(file('other-san'), 'subjectAltName=IP:127.0.0.1,DNS:other.test');
    for (const [name, ca, san, days] of [
      ['server', 'ca', 'san', '1'],
      ['elsewhere', 'ca', 'other-san', '1'],
      ['client', 'ca', 'san', '1'],
      ['expired', 'ca', 'san', '0'],
      ['intruder', 'stranger', 'san', '1'],
    ] as const) {
      openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      const sign = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-extfile', san];
      openssl('x509', '-req', '-in', `${name}.csr`, ...sign, '-days', days, '-out', `${name}.pem`);
    }
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  afterEach(async () => {
    await listener?.close();
    listener = null;
  });

  function tls(over: Partial<TlsAddress> = {}): TlsAddress {
    const files = { cert: file('server.pem'), key: file('server.key'), ca: file('ca.pem') };
    return { host: '127.0.0.1', port: 0, ...files, ...over };
  }

  function attempt(over: Partial<TlsAddress> = {}, log = silentLog()): Promise<Listener> {
    const cnm = { networks: () => [], sandboxes: () => [], endpoints: () => [] } as unknown as Cnm;
    const app = buildApi({
      cnm,
      status: { status: async () => STATUS },
      conntrack: new FakeConntrack(),
      log: silentLog(),
    });
    return listen(app, { socket: file('s.sock'), tls: tls(over), log });
  }

  async function start(over: Partial<TlsAddress> = {}, log = silentLog()): Promise<number> {
    listener = await attempt(over, log);
    return listener.tcp?.port as number;
  }

  function get(port: number, options: RequestOptions = {}, as: string | null = 'client') {
    const identity = as
      ? { cert: readFileSync(file(`${as}.pem`)), key: readFileSync(file(`${as}.key`)) }
      : {};
    const ca = readFileSync(file('ca.pem'));
    return new Promise<{ status: number; body: { code?: string; hint?: string } }>((resolve, reject) => {
      const all = {
        host: '127.0.0.1',
        port,
        path: '/v1/networks',
        agent: false,
        ca,
        // Else Node checks the certificate against the Host header that the test makes up.
        servername: 'node.test',
        ...identity,
        ...options,
      };
      request(all, (res) => {
        let text = '';
        res.on('data', (chunk) => {
          text += chunk;
        });
        res.on('end', () => resolve({ status: res.statusCode ?? 0, body: JSON.parse(text) }));
      })
        .on('error', reject)
        .end();
    });
  }

  it('serves who has a certificate, and the socket beside', async () => {
    const port = await start();
    expect(await get(port)).toEqual({ status: 200, body: [] });
    expect((await send(file('s.sock'), 'GET', '/networks')).status).toBe(200);
  });

  it('serves nobody without one, nor with one of a stranger', async () => {
    const port = await start();
    await expect(get(port, {}, null)).rejects.toThrow();
    await expect(get(port, {}, 'intruder')).rejects.toThrow();
  });

  it('serves nobody whose certificate has expired', async () => {
    const ends = new X509Certificate(readFileSync(file('expired.pem'))).validTo;
    await expect.poll(() => Date.now(), { timeout: 5000 }).toBeGreaterThan(Date.parse(ends));
    const port = await start();
    await expect(get(port, {}, 'expired')).rejects.toThrow();
    expect((await get(port)).status).toBe(200);
  });

  it('is not taken for a node whose name its certificate lacks', async () => {
    const port = await start({ cert: file('elsewhere.pem'), key: file('elsewhere.key') });
    await expect(get(port)).rejects.toThrow(/does not match certificate/);
    expect((await get(port, { servername: 'other.test' })).status).toBe(200);
  });

  it('takes up new certificates while it runs, and keeps the old ones until the new fit together', async () => {
    const files = { cert: file('live.pem'), key: file('live.key'), ca: file('live-ca.pem') };
    const put = (from: string, ca: string): void => {
      copyFileSync(file(`${from}.key`), files.key);
      copyFileSync(file(`${from}.pem`), files.cert);
      copyFileSync(file(`${ca}.pem`), files.ca);
    };
    put('server', 'ca');
    const lines: string[] = [];
    const port = await start(files, createLog({ sink: { write: (line) => lines.push(line) } }));
    expect((await get(port)).status).toBe(200);
    writeFileSync(files.cert, 'half of a certificate');
    await expect.poll(() => lines.join(''), { timeout: 5000 }).toContain('the old ones stay');
    expect((await get(port)).status).toBe(200);
    put('elsewhere', 'stranger');
    const other = { servername: 'other.test', headers: { host: `other.test:${port}` } };
    await expect.poll(() => lines.join(''), { timeout: 5000 }).toContain('are in use');
    await expect
      .poll(() => get(port, other, 'intruder').then((a) => a.status, String), { timeout: 5000 })
      .toBe(200);
    // neither the name nor the clients of before
    await expect(get(port, {}, 'intruder')).rejects.toThrow(/does not match certificate/);
    await expect(get(port, other)).rejects.toThrow();
    const key = readFileSync(files.key, 'utf8').split('\n').slice(1, -2);
    for (const line of key) expect(lines.join('')).not.toContain(line);
  });

  it.each(['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const)('speaks no %s', async (version) => {
    const port = await start();
    // security level 0: the client itself would be ready to
    const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
    await expect(get(port, old)).rejects.toThrow(/alert protocol version/);
  });

  it('serves no plain HTTP', async () => {
    const socket = connect(await start(), '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /v1/networks HTTP/1.1\r\nHost: x\r\n\r\n');
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (data) => {
        text += String(data);
      });
      socket.on('close', () => resolve(text));
    });
    expect(answer).not.toContain('HTTP/1.1 200');
  });

  it('answers 403 where Host is not ours, and to web pages', async () => {
    const port = await start();
    const host = (name: string) => get(port, { headers: { host: name } });
    expect((await host(`127.0.0.1:${port}`)).status).toBe(200);
    expect((await host(`node.test:${port}`)).status).toBe(200);
    for (const name of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      `127.0.0.1:${port + 1}`,
      `[::1]:${port}`,
    ]) {
      const { status, body } = await host(name);
      expect([name, status, body.code]).toEqual([name, 403, 'forbidden']);
      expect(body.hint).toBeTruthy();
    }
    const origin = { origin: `https://127.0.0.1:${port}`, host: `127.0.0.1:${port}` };
    expect((await get(port, { headers: origin })).status).toBe(403);
  });

  it('takes any Host on the socket, which no web page reaches', async () => {
    await start();
    for (const host of ['localhost', 'plugin.moby.localhost', 'evil.example:1']) {
      const headers = { host, origin: 'https://evil.example' };
      expect((await send(file('s.sock'), 'GET', '/networks', undefined, headers)).status).toBe(200);
    }
  });

  it.each(['cert', 'key', 'ca'] as const)('refuses to listen without %s', async (what) => {
    expect(await failure(attempt({ [what]: '' }))).toMatchObject({
      code: 'invalid_argument',
      field: `tls-${what}`,
    });
    const missing = await failure(attempt({ [what]: file('nix') }));
    expect(missing).toMatchObject({ code: 'environment', field: `tls-${what}` });
  });

  it('refuses files that are no certificates', async () => {
    writeFileSync(file('junk'), 'junk');
    for (const what of ['cert', 'key', 'ca']) {
      expect((await failure(attempt({ [what]: file('junk') }))).code).toBe('environment');
    }
  });

  it('quotes nothing of a key that it cannot use, and hands out none', async () => {
    const key = readFileSync(file('server.key'), 'utf8');
    writeFileSync(file('cut'), key.slice(0, -60));
    const { message, hint } = await failure(attempt({ key: file('cut') }));
    for (const line of key.split('\n').slice(1, -2)) expect(`${message} ${hint}`).not.toContain(line);
    const port = await start();
    for (const path of ['/debug', '/v1/debug', '/v1/config', '/v1/../tls/key.pem'])
      expect([path, (await get(port, { path })).status]).toEqual([path, 404]);
  });

  it('leaves no socket behind when TCP fails', async () => {
    const port = await start();
    const first = listener;
    listener = null;
    const other = { ...tls({ port }) };
    const cnm = {} as Cnm;
    const app = buildApi({
      cnm,
      status: { status: async () => STATUS },
      conntrack: new FakeConntrack(),
      log: silentLog(),
    });
    const error = await failure(listen(app, { socket: file('t.sock'), tls: other }));
    expect(error).toMatchObject({ code: 'environment', field: 'listen' });
    await expect(send(file('t.sock'), 'GET', '/networks')).rejects.toThrow('ENOENT');
    await first?.close();
  });
});
