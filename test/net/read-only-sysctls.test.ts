// SPDX-License-Identifier: Apache-2.0
/** /proc/sys is read-only, as in containers: what is right already is left, what is not is named. */
import { afterEach, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

let bed: Testbed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
});

const READ_ONLY = [
  ...['unshare', '-m', 'sh', '-c'],
  'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$0" "$@"',
];

it('is said by setting, and is no matter where the setting is right', async () => {
  bed = await Testbed.start({ daemon: false, daemonUnder: READ_ONLY });
  await bed.startDaemon();
  const refused = bed.cli('network', 'create', 'web');
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(
    /^sluice: net\/ipv6\/conf\/\S+\/disable_ipv6 is 0 and must be 1, .*\/proc\/sys is read-only here.*\n$/,
  );
  expect(bed.list('network', 'ls')).toEqual([]);

  must(bed.host, ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  bed.ok('network', 'create', 'web');
  const box = bed.cli('sandbox', 'create', bed.box('box'));
  expect(box.err).toMatch(/net\/ipv[46]\/conf\/default\/\S+ is \d and must be \d/);
  await bed.killDaemon('SIGTERM');
  expect(must(bed.host, bed.daemonCommand('cleanup'))).toContain('removed bridge');
});
