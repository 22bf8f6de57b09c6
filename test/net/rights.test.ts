// SPDX-License-Identifier: Apache-2.0
/** What the daemon needs of the kernel, and what others get of the daemon. */
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../support/process.js';
import { type Container, EXT1, HOST, Testbed } from '../support/testbed.js';

/** linux/capability.h: those that docs/OPERATIONS.md says are enough. */
const NEEDED = {
  net_admin: 12,
  sys_admin: 21,
  bpf: 39,
  ...(/^sluice:/m.test(readFileSync('/etc/group', 'utf8')) ? { chown: 0 } : {}),
};
/** And no group of it. */
const NOBODY = 65534;
const BOUND = ['-all', ...Object.keys(NEEDED).map((name) => `+${name}`)].join(',');

let bed: Testbed;
let box: Container;

beforeAll(async () => {
  bed = await Testbed.start({ daemonUnder: ['setpriv', '--bounding-set', BOUND, '--no-new-privs'] });
  bed.ok('network', 'create', '--ipv6', 'lan');
  box = bed.container('box', 'lan', '-p', '8080:80');
  await bed.web(bed.ext1, 8000);
});
afterAll(() => bed.stop());

describe('the daemon', () => {
  it('runs with no more than the capabilities that it says it needs, and can get no more', async () => {
    const status = readFileSync(`/proc/${bed.daemon?.pid}/status`, 'utf8');
    const mask = Object.values(NEEDED).reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      expect([set, BigInt(`0x${new RegExp(`^${set}:\\s*(\\S+)`, 'm').exec(status)?.[1]}`)]).toEqual([
        set,
        mask,
      ]);
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m);

    await bed.web(box.ns, 80);
    expect(bed.curl(box.ns, `http://${EXT1}:8000/`).out).toBe(HOST);
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(bed.curl(bed.host, `http://127.0.0.1:8080/`).code).toBe(0);
    bed.ok('network', 'create', 'second');
    const other = bed.container('other', 'second', '-p', '8081:80');
    expect(bed.udp(other.ns, EXT1, 9, { seconds: 1 })).toBe('');
    bed.ok('disconnect', 'second', other.ns);
    bed.ok('sandbox', 'rm', other.ns);
    bed.ok('network', 'rm', 'second');
    await bed.killDaemon();
    await bed.startDaemon();
    expect(bed.list<{ rows: { error: number; pending: number } }>('status').rows).toMatchObject({
      error: 0,
      pending: 0,
    });
  });
});

describe('somebody else on the host', () => {
  const as = (user: number, group: number, command: string[]) =>
    run(bed.host, [
      'setpriv',
      `--reuid=${user}`,
      `--regid=${group}`,
      '--clear-groups',
      '--bounding-set=-all',
      ...command,
    ]);
  const ask = (group: number) =>
    as(NOBODY, group, ['curl', '-s', '-m', '3', '--unix-socket', bed.socket, 'http://localhost/v1/networks']);

  it('is refused at the socket, unless of its group', () => {
    // so that it is the socket that refuses
    chmodSync(bed.directory, 0o711);
    const { mode, uid, gid } = statSync(bed.socket);
    expect([mode & 0o7777, uid]).toEqual([0o660, 0]);
    for (const group of [NOBODY, 1000]) expect(ask(group)).toMatchObject({ code: 7, out: '' });
    const { code, out } = ask(gid);
    expect([code, (JSON.parse(out) as { name: string }[]).map((n) => n.name)]).toEqual([0, ['lan']]);
  });

  it('gets no map, link or state', () => {
    const paths = readdirSync(bed.bpffs, { recursive: true, encoding: 'utf8' }).map((p) =>
      join(bed.bpffs, p),
    );
    expect(paths.length).toBeGreaterThan(20);
    for (const path of [bed.bpffs, ...paths, join(bed.directory, 'state')]) {
      const stat = statSync(path);
      expect([path, stat.mode & 0o777, stat.uid, stat.gid]).toEqual([
        path,
        stat.isDirectory() ? 0o700 : 0o600,
        0,
        0,
      ]);
    }
    const map = join(bed.bpffs, 'maps/endpoints');
    expect(run(bed.host, ['bpftool', 'map', 'show', 'pinned', map]).code).toBe(0);
    for (const group of [NOBODY, 1000]) {
      expect(as(NOBODY, group, ['bpftool', 'map', 'show', 'pinned', map]).code).not.toBe(0);
      expect(as(NOBODY, group, ['ls', join(bed.directory, 'state')]).code).not.toBe(0);
    }
  });
});
