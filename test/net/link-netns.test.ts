// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ip, Lab, netns, openFiles } from './link-support.js';

describe('network namespaces', () => {
  const lab = new Lab();
  let scratch: string;

  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'slt'));
  });
  afterAll(async () => {
    await lab.close();
    rmSync(scratch, { recursive: true });
    expect(lab.left()).toEqual([]);
  });

  test('made by us, found and removed by ip netns', async () => {
    const path = await lab.namespace('ours');
    expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).toContain(`${lab.prefix}ours`);
    expect(ip(path, 'address', 'show', 'lo')[0]).toMatchObject({ flags: expect.arrayContaining(['UP']) });
    execFileSync('ip', ['netns', 'delete', `${lab.prefix}ours`]);
    expect(await netns.isNetns(path)).toBe(false);
    expect(existsSync(path)).toBe(false);
  });

  test('made by ip netns, adopted and removed by us', async () => {
    const path = lab.reserve('theirs');
    execFileSync('ip', ['netns', 'add', `${lab.prefix}theirs`]);
    expect(await netns.isNetns(path)).toBe(true);
    const inner = await lab.netlink(path);
    expect((await inner.links()).map((l) => [l.name, l.up])).toEqual([['lo', false]]);
    await inner.setLink(1, { up: true });
    expect(await inner.linkByName('lo')).toMatchObject({ up: true });
    await expect(netns.createNetns(path)).rejects.toMatchObject({ code: 'EEXIST' });
    await netns.deleteNetns(path);
    expect(existsSync(path)).toBe(false);
  });

  test('the mount is shared, so that other mount namespaces lose it with us', async () => {
    await lab.namespace('mount');
    const line = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((l) => l.split(' ')[4] === '/run/netns');
    expect(line).toMatch(/ shared:\d+ /);
  });

  test('a process keeps the namespace alive after its file is gone', async () => {
    const path = await lab.namespace('kept');
    const info = await netns.info(path);
    const inside = await lab.netlink(path);
    await netns.deleteNetns(path);
    expect((await inside.links()).map((l) => l.name)).toEqual(['lo']);
    expect(info?.inode).toBeGreaterThan(0n);
  });

  test('inode and cookie tell namespaces apart, whatever the path', async () => {
    const [a, b] = [await lab.namespace('a'), await lab.namespace('b')];
    const [first, second] = [await netns.info(a), await netns.info(b)];
    expect(first?.inode).toBe(statSync(a, { bigint: true }).ino);
    expect(first?.inode).not.toBe(second?.inode);
    expect(first?.cookie).not.toBe(second?.cookie);
    expect(await netns.info(a)).toEqual(first);
    expect((await netns.info('/proc/self/ns/net'))?.inode).toBe(
      statSync('/proc/self/ns/net', { bigint: true }).ino,
    );
  });

  test('what is no network namespace is told so at once, a FIFO without a writer too', async () => {
    const file = join(scratch, 'file');
    const fifo = join(scratch, 'fifo');
    writeFileSync(file, '');
    execFileSync('mkfifo', [fifo]);
    for (const path of [
      file,
      fifo,
      scratch,
      '/proc/self/ns/uts',
      '/proc/self/ns/pid',
      join(scratch, 'none'),
    ]) {
      expect(await netns.isNetns(path), path).toBe(false);
      await expect(netns.netlinkIn(path), path).rejects.toMatchObject({ kind: 'native' });
      await expect(netns.readSysctlIn(path, 'net/ipv4/ip_forward'), path).rejects.toMatchObject({
        kind: 'native',
      });
    }
  });

  test('deleting refuses what is no namespace, and touches it not', async () => {
    const file = join(scratch, 'precious');
    writeFileSync(file, 'kept');
    await expect(netns.deleteNetns(file)).rejects.toMatchObject({ kind: 'native', code: 'EINVAL' });
    expect(readFileSync(file, 'utf8')).toBe('kept');
    const path = await lab.namespace('linked');
    const link = join(scratch, 'link');
    symlinkSync(path, link);
    for (const other of [link, scratch, '/proc/self/ns/net', '/proc/self/ns/uts', '/dev/null']) {
      await expect(netns.deleteNetns(other), other).rejects.toMatchObject({ kind: 'native', code: 'EINVAL' });
    }
    expect(await netns.isNetns(path)).toBe(true);
    await expect(netns.deleteNetns(join(scratch, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a place without a bound namespace, as an interrupted creation leaves, is cleared', async () => {
    const path = lab.reserve('half');
    writeFileSync(path, '');
    await netns.deleteNetns(path);
    expect(existsSync(path)).toBe(false);
  });

  test('a sysctl is written inside only', async () => {
    const [a, b] = [await lab.namespace('sysa'), await lab.namespace('sysb')];
    await netns.writeSysctlIn(a, 'net/ipv4/ip_forward', '1');
    expect(await netns.readSysctlIn(a, 'net/ipv4/ip_forward')).toBe('1');
    expect(await netns.readSysctlIn(b, 'net/ipv4/ip_forward')).toBe('0');
    await expect(netns.writeSysctlIn(a, 'net/ipv4/no_such_thing', '1')).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(netns.writeSysctlIn(a, 'net/ipv4/ip_forward', 'x')).rejects.toMatchObject({
      code: 'EINVAL',
    });
    const outside = join(scratch, 'outside');
    writeFileSync(outside, 'kept');
    for (const key of [`net/../../..${outside}`, `../..${outside}`, outside, 'net//ipv4', 'net']) {
      await expect(netns.writeSysctlIn(a, key, 'x'), key).rejects.toMatchObject({ code: 'internal' });
      await expect(netns.readSysctlIn(a, key), key).rejects.toMatchObject({ code: 'internal' });
    }
    expect(readFileSync(outside, 'utf8')).toBe('kept');
  });

  test('no thread is left elsewhere and no file open, failures included', async () => {
    const home = readlinkSync('/proc/self/ns/net');
    const path = await lab.namespace('work');
    const before = openFiles();
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const made = await lab.namespace(`par${i}`);
        const netlink = await netns.netlinkIn(made);
        await netlink.links();
        netlink.close();
        await expect(netns.createNetns(made)).rejects.toMatchObject({ code: 'EEXIST' });
        await expect(netns.netlinkIn('/etc/passwd')).rejects.toMatchObject({ code: 'EINVAL' });
        await expect(netns.readSysctlIn(path, 'net/none')).rejects.toMatchObject({ code: 'ENOENT' });
        await netns.deleteNetns(made);
      }),
    );
    expect(openFiles()).toBe(before);
    const threads = readdirSync('/proc/self/task').map((tid) =>
      readlinkSync(`/proc/self/task/${tid}/ns/net`),
    );
    expect(new Set(threads)).toEqual(new Set([home]));
  });
});
