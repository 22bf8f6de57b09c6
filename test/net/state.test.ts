// SPDX-License-Identifier: Apache-2.0
/** A state that is lost, empty, older or another's takes nothing from the kernel; a full disk loses nothing. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
let box: { ns: string };
let state: string;
/** A copy of the state with a network and a container, and what came after the copy was made. */
let older: string;
let whole: string;

beforeAll(async () => {
  bed = await Testbed.start();
  state = join(bed.directory, 'state');
  older = join(bed.directory, 'older');
  whole = join(bed.directory, 'whole');
  bed.ok('network', 'create', 'web');
  await bed.killDaemon('SIGTERM');
  cpSync(state, older, { recursive: true });
  await bed.startDaemon();
  box = bed.container('box', 'web', '-p', '8080:80');
  await bed.web(box.ns, 80);
  await bed.killDaemon('SIGTERM');
  cpSync(state, whole, { recursive: true });
});
afterAll(() => bed.stop());

/** All of the dataplane: links and pins, by the system's own tools. */
function kernel(): unknown {
  const pins = (directory: string) => readdirSync(join(bed.bpffs, directory)).sort();
  return {
    links: must(bed.host, ['ip', '-br', 'link']),
    pins: [pins('links'), pins('maps')],
    // a daemon that starts puts guards of its own in the place of the earlier one's
    programs: must(bed.host, ['bpftool', '-j', 'net', 'show']).replace(
      /"name":"(guard_\w+):\[\d+\]","id":\d+/g,
      '"name":"$1"',
    ),
    namespace: existsSync(`/run/netns/${box.ns}`),
  };
}

function refusedWith(pattern: RegExp): void {
  const before = kernel();
  const { code, err, out } = run(bed.host, bed.daemonCommand());
  expect(err.trimEnd().split('\n')).toHaveLength(1);
  expect(err).toMatch(pattern);
  expect(err).toMatch(/sluiced restore FILE.*--adopt-empty-state/);
  expect(out).toBe('');
  expect(code).toBe(1);
  expect(kernel()).toEqual(before);
  expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
}

const database = (pattern: RegExp): string =>
  join(state, 'db', readdirSync(join(state, 'db')).find((name) => pattern.test(name)) as string);

describe('is refused, and the dataplane goes on', () => {
  afterEach(async () => {
    rmSync(state, { recursive: true, force: true });
    cpSync(whole, state, { recursive: true });
  });

  it.each<[string, () => void, RegExp]>([
    ['a database without CURRENT', () => rmSync(join(state, 'db', 'CURRENT')), /not whole.*CURRENT/],
    ['one without its manifest', () => rmSync(database(/^MANIFEST/)), /not whole/],
    ['one without a table', () => rmSync(database(/ldb$/)), /not whole/],
    ['one without its log', () => rmSync(database(/log$/)), /not whole.*committed/],
    ['one whose log is cut', () => truncateSync(database(/log$/), 100), /not whole.*committed/],
    ['no database', () => rmSync(join(state, 'db'), { recursive: true }), /not whole.*gone/],
    ['an emptied state directory', () => rmSync(state, { recursive: true }), /is empty/],
    [
      'an earlier copy of it',
      () => {
        rmSync(state, { recursive: true });
        cpSync(older, state, { recursive: true });
      },
      /ends with change/,
    ],
    ['an empty database', () => rmSync(join(state, 'db.version')), /./],
  ])('%s', (name, damage, pattern) => {
    damage();
    if (name === 'an empty database') {
      rmSync(join(state, 'db'), { recursive: true });
      mkdirSync(join(state, 'db'));
    }
    refusedWith(pattern);
    // and not by the second attempt either
    refusedWith(/./);
  });

  it("another daemon's state", async () => {
    const other = await Testbed.start();
    other.ok('network', 'create', 'other', '--subnet', '10.99.0.0/24');
    await other.killDaemon('SIGTERM');
    rmSync(state, { recursive: true });
    cpSync(join(other.directory, 'state'), state, { recursive: true });
    await other.stop();
    refusedWith(/is [0-9a-f]{12}, though/);
  });

  it('an empty state with a dataplane of an earlier version, which has no mark', () => {
    const [mark] = readdirSync(join(bed.bpffs, 'state'));
    must(null, ['rmdir', join(bed.bpffs, 'state', mark as string)]);
    rmSync(state, { recursive: true });
    refusedWith(/is empty, though there is a dataplane.*link/);
  });
});

it('a state and a dataplane of an earlier version are taken over', async () => {
  for (const mark of readdirSync(join(bed.bpffs, 'state'))) {
    must(null, ['rmdir', join(bed.bpffs, 'state', mark)]);
  }
  rmSync(join(state, 'db.version'));
  const before = kernel();
  await bed.startDaemon();
  expect(kernel()).toEqual(before);
  expect(bed.list<unknown[]>('endpoint', 'ls')).toHaveLength(1);
  await bed.killDaemon('SIGTERM');
  expect(readdirSync(join(bed.bpffs, 'state'))).toHaveLength(1);
});

it('takes changes no longer when the state is taken away under it', async () => {
  await bed.startDaemon();
  renameSync(state, `${state}-away`);
  const refused = bed.cli('network', 'create', 'x');
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/taken away.*sluice backup/);
  expect(bed.list<unknown[]>('network', 'ls')).toHaveLength(1);
  renameSync(`${state}-away`, state);
  bed.ok('network', 'create', 'x');
  bed.ok('network', 'rm', 'x');
  await bed.killDaemon('SIGTERM');
});

it('goes on when told to adopt what is there', async () => {
  rmSync(join(state, 'db', 'CURRENT'));
  await bed.startDaemon(['--adopt-empty-state']);
  expect(bed.list<unknown[]>('network', 'ls')).toEqual([]);
  expect(existsSync(join(state, 'db.lost-1'))).toBe(true);
  expect(existsSync(`/run/netns/${box.ns}`)).toBe(false);
  expect(must(bed.host, ['ip', '-br', 'link'])).not.toMatch(/slb/);
  await bed.killDaemon('SIGTERM');
  await bed.startDaemon([]);
  await bed.killDaemon('SIGTERM');
});

it('answers 507 while the disk is full, loses nothing, and goes on when there is room', async () => {
  const disk = join(bed.directory, 'disk');
  mkdirSync(disk);
  must(null, ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]);
  try {
    await bed.startDaemon(['--adopt-empty-state', '--state-dir', disk]);
    for (let i = 0; i < 5; i++) bed.ok('network', 'create', `n${i}`);
    const before = bed.ok('network', 'ls', '-o', 'json');
    run(null, ['dd', 'if=/dev/zero', `of=${join(disk, 'ballast')}`, 'bs=4k']);
    const answers: string[] = [];
    for (let i = 0; i < 200 && answers.length < 5; i++) {
      const r = bed.cli('network', 'create', `full${i}`, '--format', 'json');
      if (r.code === 0) bed.ok('network', 'rm', `full${i}`);
      else answers.push(r.err);
    }
    expect(answers).toHaveLength(5);
    for (const text of answers) expect(JSON.parse(text)).toMatchObject({ code: 'disk_full' });
    expect(bed.ok('network', 'ls', '-o', 'json')).toBe(before);
    const raw = must(null, [
      ...['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', bed.socket],
      ...[
        '-X',
        'POST',
        '-H',
        'content-type: application/json',
        '-d',
        '{"name":"raw"}',
        'http://x/v1/networks',
      ],
    ]);
    expect(raw).toBe('507');
    // killed on a full disk, and started with room again
    await bed.killDaemon('SIGKILL');
    rmSync(join(disk, 'ballast'));
    await bed.startDaemon(['--state-dir', disk]);
    expect(bed.ok('network', 'ls', '-o', 'json')).toBe(before);
    writeFileSync(join(disk, 'ballast'), '');
    bed.ok('network', 'create', 'after');
    await bed.killDaemon('SIGTERM');
  } finally {
    await bed.killDaemon('SIGKILL');
    must(null, ['umount', disk]);
  }
});
