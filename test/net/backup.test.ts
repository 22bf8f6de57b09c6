// SPDX-License-Identifier: Apache-2.0
/** A backup taken while things change, and the way back to it, with the daemon and without. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
let box: { ns: string };
let file: string;
let state: string;

beforeAll(async () => {
  bed = await Testbed.start();
  file = join(bed.directory, 'backup');
  state = join(bed.directory, 'state');
  bed.ok('network', 'create', 'web');
  box = bed.container('box', 'web', '-p', '8080:80');
  await bed.web(box.ns, 80);
});
afterAll(() => bed.stop());

interface Status {
  state: { id: string; revision: number; lastBackup: string | null; restored: { created: string } | null };
}
const status = () => bed.list<Status>('status').state;
const networks = () => bed.list<{ name: string }[]>('network', 'ls').map(({ name }) => name);
const answers = () => bed.curl(bed.ext1, `http://${HOST}:8080/`).out;
/** Told by the system's own tool. */
const links = () => must(bed.host, ['ip', '-br', 'link']);

it('saves all of one moment, for its owner alone, and says so', async () => {
  expect(status().lastBackup).toBeNull();
  const churn = bed.background(bed.host, [
    'sh',
    '-c',
    `for i in 1 2 3 4 5 6; do $0 --socket $1 network create c$i; $0 --socket $1 network rm c$i; done`,
    join(import.meta.dirname, '../../bin/sluice'),
    bed.socket,
  ]);
  for (let i = 0; i < 3; i++) expect(bed.ok('backup', file).trim()).toBe(file);
  await churn.end();
  bed.ok('backup', file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(existsSync(`${file}.new`)).toBe(false);
  const [head = '', ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(JSON.parse(head)).toMatchObject({
    format: 'sluice-backup',
    entries: lines.length - 1,
    state: status().id,
  });
  expect(status().lastBackup).toMatch(/^20/);
  expect(bed.ok('status')).toMatch(/State: .*backup of 20/);
});

it('goes back while traffic goes on, and what was made since is gone', async () => {
  const before = bed.ok('endpoint', 'ls', '-o', 'json');
  const untouched = links();
  bed.ok('network', 'create', 'since');
  bed.container('late', 'since');
  expect(links()).not.toBe(untouched);
  expect(bed.ok('restore', file, '--dry-run')).toMatch(/would restore/);
  expect(networks()).toContain('since');
  expect(bed.ok('restore', file)).toMatch(/^restored \d+ entries/);
  expect(networks()).toEqual(['web']);
  expect(bed.ok('endpoint', 'ls', '-o', 'json')).toBe(before);
  expect(links()).toBe(untouched);
  expect(answers()).toBe(EXT1);
  expect(existsSync(`/run/netns/${bed.box('late')}`)).toBe(false);
  expect(status().restored).not.toBeNull();
  expect(status().lastBackup).toBe(status().restored?.created);
  // the same process goes on, and takes changes
  expect(bed.daemon?.ended).toBe(false);
  bed.ok('network', 'create', 'again');
  bed.ok('network', 'rm', 'again');
  await bed.killDaemon('SIGTERM');
  await bed.startDaemon();
  expect(networks()).toEqual(['web']);
});

it('refuses a file that is cut, changed or newer, and one of another state', async () => {
  const whole = readFileSync(file, 'utf8');
  const wrong = join(bed.directory, 'wrong');
  for (const [text, pattern] of [
    [whole.slice(0, -20), /is cut/],
    [whole.replace('web', 'wob'), /changed/],
    [whole.replace('"version":1', '"version":9'), /newer version/],
    ['', /no backup/],
  ] as const) {
    writeFileSync(wrong, text);
    for (const args of [
      ['restore', wrong],
      ['restore', wrong, '--dry-run'],
    ]) {
      const r = bed.cli(...args);
      expect([r.code, r.err]).toEqual([1, expect.stringMatching(pattern)]);
    }
    const offline = run(bed.host, bed.daemonCommand('restore', wrong));
    expect([offline.code, offline.err]).toEqual([1, expect.stringMatching(pattern)]);
  }
  expect(bed.cli('restore', join(bed.directory, 'nowhere')).err).toMatch(/ENOENT/);
  const other = await Testbed.start();
  other.ok('network', 'create', 'foreign', '--subnet', '10.99.0.0/24');
  other.ok('backup', wrong);
  await other.stop();
  expect(bed.cli('restore', wrong).err).toMatch(/another state/);
  expect(networks()).toEqual(['web']);
  expect(answers()).toBe(EXT1);
});

it('refuses offline while the daemon runs, and over a state that is there', async () => {
  expect(run(bed.host, bed.daemonCommand('restore', file)).err).toMatch(/another daemon/);
  await bed.killDaemon('SIGTERM');
  const refused = run(bed.host, bed.daemonCommand('restore', file));
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/there is a state.*already/)]);
});

it.each([
  ['lost', () => rmSync(state, { recursive: true })],
  ['damaged', () => rmSync(join(state, 'db', 'CURRENT'))],
])('is the way out where the state is %s', async (_, damage) => {
  const before = links();
  damage();
  expect(run(bed.host, bed.daemonCommand()).err).toMatch(/sluiced restore FILE/);
  expect(must(bed.host, bed.daemonCommand('restore', file))).toMatch(/restored \d+ entries/);
  await bed.startDaemon();
  expect(networks()).toEqual(['web']);
  expect(links()).toBe(before);
  expect(answers()).toBe(EXT1);
  await bed.killDaemon('SIGTERM');
});

it('moves a host to a machine where there is nothing yet', async () => {
  const fresh = await Testbed.start();
  try {
    // The namespaces' names are the machine's, so the first host gives them up.
    must(bed.host, bed.daemonCommand('cleanup'));
    expect(fresh.ok('restore', file)).toMatch(/^restored/);
    expect(fresh.list<{ name: string }[]>('network', 'ls').map(({ name }) => name)).toEqual(['web']);
    expect(existsSync(`/run/netns/${box.ns}`)).toBe(true);
    await fresh.killDaemon('SIGTERM');
    await fresh.startDaemon();
    expect(fresh.list<unknown[]>('endpoint', 'ls')).toHaveLength(1);
  } finally {
    await fresh.stop();
  }
});
