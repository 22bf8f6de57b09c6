// SPDX-License-Identifier: Apache-2.0
/** Where pins are: a bpffs is mounted where there is none, and given back. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Background, must, run } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

const ROOT = join(import.meta.dirname, '../..');
/** No bpffs on /sys/fs/bpf for whoever is started so, and no mount of theirs elsewhere. */
const WITHOUT = 'while umount /sys/fs/bpf 2>/dev/null; do :; done';
let bed: Testbed | undefined;
let shell: Background | undefined;

afterEach(async () => {
  await shell?.stop('SIGKILL');
  shell = undefined;
  await bed?.stop();
  bed = undefined;
});

/** A mount namespace that stays while the daemon comes and goes in it. */
async function privateMounts(script = ':'): Promise<string[]> {
  shell = new Background(null, ['unshare', '-m', 'sh', '-c', `${WITHOUT}; ${script}; echo ready; exec cat`]);
  await shell.says(/ready/);
  return ['nsenter', `--mount=/proc/${shell.pid}/ns/mnt`];
}

const mounts = (under: string[]): string[] =>
  must(null, [...under, 'cat', '/proc/self/mounts'])
    .split('\n')
    .filter((line) => line.split(' ')[2] === 'bpf');

it('is mounted at /sys/fs/bpf, and goes with cleanup once nobody else has pins there', async () => {
  const under = await privateMounts();
  expect(mounts(under)).toEqual([]);
  bed = await Testbed.start({ daemonUnder: under });
  const [mount = ''] = mounts(under);
  expect(mount).toMatch(/^sluice \/sys\/fs\/bpf bpf .*mode=700/);
  expect(must(null, [...under, 'ls', bed.bpffs])).toMatch(/links\n(.*\n)*maps/);
  bed.ok('network', 'create', 'web');
  expect(bed.container('box', 'web').ip).toMatch(/^10\./);
  await bed.killDaemon('SIGTERM');

  must(null, [...under, 'mkdir', '/sys/fs/bpf/of-another']);
  must(bed.host, [...under, ...bed.daemonCommand('cleanup')]);
  expect(must(null, [...under, 'ls', '/sys/fs/bpf'])).toContain('of-another');
  expect(must(null, [...under, 'ls', '/sys/fs/bpf'])).not.toContain(bed.suffix);
  must(null, [...under, 'rmdir', '/sys/fs/bpf/of-another']);
  await bed.startDaemon();
  await bed.killDaemon('SIGTERM');
  expect(must(bed.host, [...under, ...bed.daemonCommand('cleanup')])).toContain(
    'removed mount /sys/fs/bpf\n',
  );
  expect(mounts(under)).toEqual([]);
});

it('is mounted on a directory of its own, and one that was there stays', async () => {
  bed = await Testbed.start({ daemon: false });
  const { directory, host } = bed;
  const at = (name: string, ...command: string[]): string[] => [
    join(ROOT, 'bin/sluiced'),
    ...command,
    ...['--socket', join(directory, 's.sock'), '--state-dir', join(directory, 'state')],
    ...['--bpffs', join(directory, name), '--no-docker', '--no-metrics'],
  ];
  const once = async (name: string): Promise<string> => {
    const daemon = bed?.background(host, at(name)) as Background;
    await daemon.says(/Try:/);
    await daemon.stop();
    return must(host, at(name, 'cleanup'));
  };
  expect(await once('own')).toContain(`removed mount ${join(directory, 'own')}\n`);
  expect(existsSync(join(directory, 'own'))).toBe(false);

  mkdirSync(join(directory, 'given'));
  must(null, ['mount', '-t', 'bpf', 'bpf', join(directory, 'given')]);
  try {
    expect(await once('given')).not.toContain('mount');
    expect(mounts([]).filter((line) => line.includes(directory))).toHaveLength(1);
    expect(
      run(null, ['find', join(directory, 'given'), '-mindepth', '1', '-not', '-name', '*.debug']).out,
    ).toBe('');
  } finally {
    must(null, ['umount', join(directory, 'given')]);
  }
});

it('is refused in one line where the kernel has no place for it', async () => {
  // as on a kernel without BPF: no such directory, and none can be made
  const under = await privateMounts('mount -t tmpfs -o ro tmpfs /sys/fs');
  bed = await Testbed.start({ daemon: false });
  const refused = run(bed.host, [...under, 'timeout', '20', ...bed.daemonCommand()]);
  expect(refused.code).toBe(1);
  expect(refused.err.trimEnd().split('\n')).toHaveLength(1);
  expect(refused.err).toMatch(/no place for pins at \/sys\/fs\/bpf.*mount -t bpf bpf \/sys\/fs\/bpf/);
});
