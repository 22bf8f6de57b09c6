// SPDX-License-Identifier: Apache-2.0
/** One container, or one client, that takes all it can get leaves the others theirs. */
import { afterEach, describe, expect, it } from 'vitest';
import { flooder, report } from '../support/flood.js';
import { run, sleep, until } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

let bed: Testbed;
afterEach(() => bed.stop());

describe('source ports', () => {
  it('towards a server that one container opens 70,000 flows to stay for another', async () => {
    bed = await Testbed.start();
    bed.ok('network', 'create', 'lan');
    const greedy = bed.container('greedy', 'lan');
    const other = bed.container('other', 'lan');
    await bed.udpEcho(bed.ext1, 9000);
    await bed.udpEcho(bed.ext1, 9001);
    const { sent } = await report<{ sent: number }>(
      flooder(bed, greedy.ns, ['tuples', EXT1, 9000, 70_000, 15_000]),
    );
    expect(sent).toBeGreaterThan(60_000);
    expect(bed.dropped('limit')).toBeGreaterThan(30_000);
    // not towards other ports of that server
    expect(bed.udp(greedy.ns, EXT1, 9001)).toMatch(/ hello$/);
    const asked = await report<{ held: number; answered: number }>(
      flooder(bed, other.ns, ['hold', EXT1, 9000, 200, 200, 4]),
    );
    expect(asked).toEqual({ held: 200, answered: 200 });
    const exhausted = bed.list<{ sourcePorts: { exhausted: number } }>('conntrack', 'stats');
    expect(exhausted.sourcePorts.exhausted).toBe(0);
  }, 90_000);
});

describe('a UDP port that became free', () => {
  const late = (): void => {
    run(bed.ext1, [
      '/usr/bin/python3',
      '-c',
      `import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind(('', 9000)); s.sendto(b'late', ('${HOST}', 5002))`,
    ]);
  };

  it('is not the next container’s while it rests, and comes back to whose it was', async () => {
    bed = await Testbed.start({
      daemonFlags: ['--timeout-udp-oneway', '1s', '--timeout-udp-answered', '1s'],
    });
    bed.ok('network', 'create', 'lan');
    const one = bed.container('one', 'lan');
    const two = bed.container('two', 'lan');
    const server = await bed.udpEcho(bed.ext1, 9000);
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5002 })).toBe(`${HOST}:5002 hello`);
    await until(() => bed.list<unknown[]>('conntrack', 'ls').length === 0, 'the mapping is over', 30_000);
    const inside = await bed.capture(two.ns, 'eth0', 'udp and src port 9000');
    const other = new RegExp(`^${HOST}:(?!5002 )\\d+ hello$`);
    expect(bed.udp(two.ns, EXT1, 9000, { sport: 5002 })).toMatch(other);
    await server.stop('SIGKILL');
    late();
    // its own answer, and nothing of the other's
    const got = await inside.packets();
    expect(got).toHaveLength(1);
    expect(got[0]?.dport).toBe(5002);
    await bed.udpEcho(bed.ext1, 9000);
    expect(bed.udp(one.ns, EXT1, 9000, { sport: 5002 })).toBe(`${HOST}:5002 hello`);

    // it leaves without a word, and its port rests as well
    bed.ok('disconnect', 'lan', one.ns);
    late();
    expect(bed.udp(two.ns, EXT1, 9000, { sport: 5002 })).toMatch(other);
    await sleep(11_000);
    expect(bed.udp(two.ns, EXT1, 9000, { sport: 5002 })).toMatch(other);
  }, 90_000);
});

describe('the table of proven flows', () => {
  it('full of live flows refuses new ones, keeps those, and recovers', async () => {
    // longer than a busy machine keeps the holder, who asks once a second, from asking
    bed = await Testbed.start({ daemonFlags: ['--conntrack-max', '2048', '--timeout-udp-answered', '10s'] });
    bed.ok('network', 'create', 'lan');
    const box = bed.container('box', 'lan', '-p', '5300:5300/udp');
    await bed.udpEcho(box.ns, 5300);
    const holder = flooder(bed, bed.ext1, ['hold', HOST, 5300, 1900, 150, 38]);
    const proven = (): number =>
      bed
        .list<{ tables: { map: string; entries: number }[] }>('conntrack', 'stats')
        .tables.find((t) => t.map === 'flows4')?.entries ?? 0;
    await until(() => proven() > 3686, 'nine tenths are taken', 25_000);
    const before = bed.dropped('table_full');
    const { sent } = await report<{ sent: number }>(
      flooder(bed, bed.ext2, ['raw', 'udp', HOST, 5300, 10, 1000]),
    );
    expect(bed.dropped('table_full') - before).toBeGreaterThan(sent * 0.9);
    expect(await report(holder)).toEqual({ held: 1900, answered: 1900 });
    await until(() => bed.udp(bed.ext2, HOST, 5300, { seconds: 1 }) !== '', 'the door is open again', 40_000);
  }, 120_000);
});
