// SPDX-License-Identifier: Apache-2.0
/** A daemon whose monotonic clock is not the one that the programs in the kernel read. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run, sleep } from '../support/process.js';
import { EXT1, Testbed } from '../support/testbed.js';

const DNS = join(import.meta.dirname, '../support/dns.py');
/** bpf/lib/resolver.h, and the coarse clock's error. */
const BEAT_TRUSTED_MS = 4_000;

describe.each([86_400, -20])('with a clock that is %i s ahead', (shift) => {
  it('tells right ages, and its resolver is asked while it answers, and no longer', async () => {
    const bed = await Testbed.start({
      daemonUnder: ['unshare', '--time', '--monotonic', String(shift)],
      daemonFlags: (directory) => {
        const conf = join(directory, 'resolv.conf');
        writeFileSync(conf, `nameserver ${EXT1}\n`);
        return ['--resolv-conf', conf];
      },
    });
    try {
      const dns = bed.background(bed.ext1, ['/usr/bin/python3', DNS, join(bed.directory, 'asked'), EXT1]);
      await dns.says(/ready/);
      bed.ok('network', 'create', 'lan');
      const box = bed.container('box', 'lan');
      const dig = (name: string): string =>
        run(box.ns, ['dig', '+short', '+tries=1', '+time=2', '@127.0.0.11', name]).out.trim();
      expect(dig(box.ns)).toBe(box.ip);

      await bed.udpEcho(bed.ext1, 9000);
      expect(bed.udp(box.ns, EXT1, 9000, { sport: 5100 })).not.toBe('');
      await sleep(3500);
      const flows = bed.list<{ ageSeconds: number; idleSeconds: number }[]>(
        'conntrack',
        'ls',
        '--port',
        '5100',
      );
      expect(flows).toHaveLength(1);
      for (const seconds of [flows[0]?.ageSeconds, flows[0]?.idleSeconds]) {
        expect(seconds).toBeGreaterThanOrEqual(2);
        expect(seconds).toBeLessThanOrEqual(7);
      }

      await bed.killDaemon();
      await sleep(BEAT_TRUSTED_MS);
      const own = bed.background(box.ns, ['/usr/bin/python3', DNS, join(bed.directory, 'own'), '127.0.0.11']);
      await own.says(/ready/);
      expect(dig('own.example')).toBe('203.0.113.9');
    } finally {
      await bed.stop();
    }
  });
});
