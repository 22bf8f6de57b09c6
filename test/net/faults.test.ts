// SPDX-License-Identifier: Apache-2.0
/** Bad input and a host that lacks things: one clear line each, nothing half-made, the daemon goes on. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Background, must, type Result, run } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

const ROOT = join(import.meta.dirname, '../..');
let bed: Testbed;
let box: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web', '--subnet', '10.70.0.0/24');
  box = bed.container('box', 'web', '-p', '8080:80');
  await bed.web(box.ns, 80);
});
afterAll(() => bed.stop());

/** One line on stderr that matches, the exit code, and nothing on stdout. */
function refused(r: Result, code: number, pattern: RegExp): void {
  expect(r.err.trimEnd().split('\n')).toHaveLength(1);
  expect(r.err).toMatch(pattern);
  expect(r.code).toBe(code);
  expect(r.out).toBe('');
}

/** What the model and the kernel hold. */
function everything(): unknown {
  return {
    networks: bed.list('network', 'ls'),
    sandboxes: bed.list('sandbox', 'ls'),
    endpoints: bed.list('endpoint', 'ls'),
    links: must(bed.host, ['ip', '-br', 'link']),
    pins: readdirSync(join(bed.bpffs, 'links')).sort(),
    netns: readdirSync('/run/netns')
      .filter((n) => n.endsWith(bed.suffix))
      .sort(),
  };
}

describe('bad input', () => {
  let before: unknown;
  beforeAll(() => {
    before = everything();
  });
  afterEach(() => {
    expect(everything()).toEqual(before);
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  });

  it.each([
    ['an unknown driver', ['network', 'create', '-d', 'carrier', 'x'], /carrier.*bridge/],
    ['a malformed CIDR', ['network', 'create', '--subnet', '10.70.0.0/33', 'x'], /10\.70\.0\.0\/33/],
    ['a subnet with host bits', ['network', 'create', '--subnet', '10.71.0.5/24', 'x'], /10\.71\.0\.5\/24/],
    [
      'a subnet that overlaps another network',
      ['network', 'create', '--subnet', '10.70.0.0/16', 'x'],
      /overlap.*web/,
    ],
    [
      'a subnet that the host routes',
      ['network', 'create', '--subnet', '192.168.77.0/24', 'x'],
      /overlap.*192\.168\.77/,
    ],
    [
      'a gateway outside the subnet',
      ['network', 'create', '--subnet', '10.71.0.0/24', '--gateway', '10.72.0.1', 'x'],
      /10\.72\.0\.1/,
    ],
    ['an IPv6 subnet that is no network', ['network', 'create', '--subnet', 'fe80::/64', 'x'], /link-local/],
    ['a driver that this version lacks', ['network', 'create', '-d', 'macvlan', 'x'], /macvlan/],
    ['a name that is taken', ['network', 'create', 'web'], /web/],
    [
      'an interface name that is too long',
      ['network', 'create', '-o', 'com.docker.network.bridge.name=a-name-of-16-char', 'x'],
      /15/,
    ],
    ['an unknown option', ['network', 'create', '-o', 'colour=red', 'x'], /colour/],
    ['a network in use', ['network', 'rm', 'web'], /web.*endpoint/],
    ['a network that does not exist', ['network', 'rm', 'nothing'], /nothing/],
    ['a path that is no namespace', ['sandbox', 'create', '--netns', '/etc/passwd', 'x'], /\/etc\/passwd/],
    [
      'an address outside the subnet',
      ['endpoint', 'create', 'x', '--network', 'web', '--ip', '10.71.0.9'],
      /10\.71\.0\.9.*10\.70\.0\.0\/24/,
    ],
    [
      'the address of the gateway',
      ['endpoint', 'create', 'x', '--network', 'web', '--ip', '10.70.0.1'],
      /10\.70\.0\.1/,
    ],
    ['a malformed port', ['endpoint', 'create', 'x', '--network', 'web', '-p', '80:http'], /80:http/],
    ['a port beyond 65535', ['endpoint', 'create', 'x', '--network', 'web', '-p', '70000:80'], /70000/],
    [
      'ranges of unequal length',
      ['endpoint', 'create', 'x', '--network', 'web', '-p', '8000-8010:80-81'],
      /8000-8010:80-81/,
    ],
    [
      'a port that another endpoint has',
      ['endpoint', 'create', 'x', '--network', 'web', '-p', '8080:81'],
      /8080.*web\.box/,
    ],
    ['a network that is not there', ['endpoint', 'create', 'x', '--network', 'nothing'], /nothing/],
    ['a publish that is not there', ['unpublish', 'web.BOX', '9999:80'], /9999/],
  ])('refuses %s', (_, args, pattern) => {
    refused(bed.cli(...args.map((a) => a.replace('BOX', box.ns))), 1, pattern);
  });

  it('refuses an address that is taken', () => {
    refused(
      bed.cli('endpoint', 'create', 'x', '--network', 'web', '--ip', box.ip),
      1,
      new RegExp(`${box.ip}.*web`),
    );
  });

  it('refuses a port that a process of the host holds, and gives it once it is free', async () => {
    const server = await bed.web(bed.host, 8600);
    refused(bed.cli('publish', `web.${box.ns}`, '8600:80'), 1, /8600/);
    await server.stop('SIGKILL');
    bed.ok('publish', `web.${box.ns}`, '8600:80');
    bed.ok('unpublish', `web.${box.ns}`, '8600:80');
  });

  it.each([
    ['an unknown command', ['nonsense']],
    ['an unknown flag', ['network', 'ls', '--colour']],
    ['a missing argument', ['network', 'create']],
  ])('tells wrong usage: %s', (_, args) => {
    const r = bed.cli(...args);
    expect(r.code).toBe(2);
    expect(r.err).not.toBe('');
  });

  it('changes nothing on a dry run, and shows the rows', () => {
    const out = bed.ok('network', 'create', '--dry-run', 'dry');
    expect(out).toContain('bridge');
    expect(bed.ok('publish', `web.${box.ns}`, '9000:80', '--dry-run')).toContain('9000');
  });
});

describe('the daemon', () => {
  it('is unreachable without a socket: exit 3', () => {
    const r = run(null, [join(ROOT, 'bin/sluice'), '--socket', '/nonexistent.sock', 'status']);
    refused(r, 3, /nonexistent/);
  });

  it('refuses a second one on the same state, and one in the same namespace', () => {
    refused(run(bed.host, bed.daemonCommand()), 1, /running|holds|another/);
    const other = mkdtempSync(join(tmpdir(), 'sluice-test-'));
    const command = [
      join(ROOT, 'bin/sluiced'),
      '--socket',
      join(other, 's'),
      '--state-dir',
      join(other, 'state'),
    ];
    const second = run(bed.host, [...command, '--bpffs', `${bed.bpffs}-2`, '--no-docker', '--no-metrics']);
    refused(second, 1, /namespace|another/);
    rmSync(other, { recursive: true });
    run(null, ['rmdir', `${bed.bpffs}-2`]);
    expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  });

  it('replaces a socket that nobody serves', async () => {
    await bed.killDaemon('SIGKILL');
    expect(bed.cli('status').code).toBe(3);
    await bed.startDaemon();
    expect(bed.cli('status').code).toBe(0);
  });

  it('says what is missing: capabilities, objects, sense in a flag', () => {
    const bare = ['setpriv', '--inh-caps=-all', '--bounding-set=-all', ...bed.daemonCommand()];
    refused(run(bed.host, bare), 1, /CAP_BPF|root|capabilit/i);
    const flag = run(bed.host, bed.daemonCommand('--pool', 'x'));
    expect(flag.code).toBe(2);
    expect(flag.err).toMatch(/pool/);
    expect(run(bed.host, bed.daemonCommand('--store', 'etcd://127.0.0.1:2379')).err).toMatch(
      /--store.*unsupported/,
    );
  });

  it('says what to install where there is no clang to build with', () => {
    const empty = mkdtempSync(join(tmpdir(), 'sluice-test-'));
    for (const tool of [
      'bash',
      'dirname',
      'mkdir',
      'find',
      'head',
      'basename',
      'uname',
      'grep',
      'sort',
      'tail',
    ])
      run(null, ['ln', '-s', must(null, ['sh', '-c', `command -v ${tool}`]).trim(), join(empty, tool)]);
    const r = run(null, [
      'env',
      '-u',
      'CLANG',
      `PATH=${empty}`,
      'bash',
      join(ROOT, 'scripts/build-bpf.sh'),
      join(empty, 'out'),
    ]);
    rmSync(empty, { recursive: true });
    refused(r, 1, /no clang.*apt-get install clang/);
  });

  it('takes its flags from a file too, and says which it does not know', async () => {
    const file = join(bed.directory, 'sluice.yaml');
    writeFileSync(file, 'colour: red\n');
    const bad = new Background(bed.host, bed.daemonCommand('--config', file));
    expect(await bad.end()).toBe(2);
    expect(bad.err).toMatch(/colour/);
  });
});
