// SPDX-License-Identifier: Apache-2.0
/** Routes of other kinds than "by a next hop of the same family": what the kernel would do with them, a container gets. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must, run, sleep } from '../support/process.js';
import { type Container, EXT1, EXT1_6, EXT2, EXT2_6, HOST, Testbed } from '../support/testbed.js';

const FAR = '203.0.113.5';
const FAR6 = '2001:db8:99::5';
let bed: Testbed;
let one: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'lan');
  one = bed.container('one', 'lan');
  must(bed.ext1, ['ip', 'addr', 'add', `${FAR}/32`, 'dev', 'lo']);
  must(bed.ext1, ['ip', 'addr', 'add', `${FAR6}/128`, 'dev', 'lo', 'nodad']);
  must(bed.ext1, ['ip', 'link', 'set', 'lo', 'up']);
  // it takes from the same tokens as the limit on refused packets, so a steady flow would be told nothing
  must(bed.host, ['sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0']);
});
afterAll(() => bed?.stop());

const route = (...words: string[]): string => must(bed.host, ['ip', ...words]);
/** An echo: the kernel answers it from the address that was asked. */
const answered = (to: string): boolean => run(one.ns, ['ping', '-c', '1', '-W', '3', to]).code === 0;
const linkLocalOf = (ns: string): string =>
  json<{ addr_info: { local: string; scope: string }[] }[]>(ns, ['ip', '-j', '-6', 'addr', 'show', 'eth0'])
    .flatMap((link) => link.addr_info)
    .find(({ scope }) => scope === 'link')?.local ?? '';

describe('a next hop of the other family', () => {
  it.each<[string, () => string]>([
    ['global', () => EXT1_6],
    ['link-local', () => linkLocalOf(bed.ext1)],
  ])('takes IPv4, masqueraded, and answers come back: %s', async (_, hop) => {
    route('route', 'replace', `${FAR}/32`, 'via', 'inet6', hop(), 'dev', 'up0');
    const wire = await bed.capture(bed.ext1, 'eth0', `icmp and dst ${FAR}`);
    try {
      expect(answered(FAR)).toBe(true);
      expect(await wire.packets()).toMatchObject([{ src: HOST, sumsOk: true }]);
    } finally {
      route('route', 'del', `${FAR}/32`);
    }
  });

  it('goes on to do so after the route is asked for again', async () => {
    route('route', 'replace', `${FAR}/32`, 'via', EXT2, 'dev', 'up0');
    route('route', 'replace', `${FAR}/32`, 'via', 'inet6', EXT1_6, 'dev', 'up0');
    try {
      const ping = must(one.ns, ['ping', '-c', '8', '-i', '0.4', '-W', '2', FAR]);
      expect(ping).toContain(' 0% packet loss');
    } finally {
      route('route', 'del', `${FAR}/32`);
    }
  });
});

describe('a nexthop object', () => {
  it.each([
    ['IPv4', '', FAR, EXT1],
    ['IPv6', '-6', FAR6, EXT1_6],
    ['IPv4 by a group', 'group', FAR, EXT1],
  ])('is followed: %s', (_, how, far, hop) => {
    const family = far.includes(':') ? ['-6'] : [];
    route('nexthop', 'add', 'id', '71', 'via', hop, 'dev', 'up0');
    if (how === 'group') route('nexthop', 'add', 'id', '72', 'group', '71');
    try {
      route(...family, 'route', 'add', far, 'nhid', how === 'group' ? '72' : '71');
      expect(answered(far)).toBe(true);
    } finally {
      run(bed.host, ['ip', 'nexthop', 'del', 'id', '72']);
      route('nexthop', 'del', 'id', '71');
    }
  });
});

const refusals: [string, string | null, string | null][] = [
  // as the kernel says them where it forwards by itself
  ['blackhole', null, null],
  ['unreachable', '3/1', '1/0'],
  ['prohibit', '3/13', '1/1'],
  ['throw', '3/0', '1/0'],
];

describe.each(refusals)('a route of the kind %s', (kind, error4, error6) => {
  it.each<[string, string, string, string | null]>([
    ['IPv4', FAR, EXT1, error4],
    ['IPv6', FAR6, EXT1_6, error6],
  ])(
    'refuses a new flow and an open one, and says so as the kernel does: %s',
    async (name, far, hop, error) => {
      const v6 = name === 'IPv6' ? ['-6'] : [];
      const target = `${far}/${name === 'IPv6' ? 128 : 32}`;
      route(...v6, 'route', 'replace', target, 'via', hop, 'dev', 'up0');
      const seconds = 5;
      const pinging = bed.background(one.ns, [
        'ping',
        '-i',
        '0.2',
        '-c',
        String(seconds * 5),
        '-W',
        '1',
        far,
      ]);
      await sleep(1500);
      route(...v6, 'route', 'del', target);
      route(...v6, 'route', 'add', kind, target);
      try {
        await sleep(1300);
        const wire = await bed.capture(bed.ext1, 'eth0', `dst ${far}`);
        const inside = await bed.capture(
          one.ns,
          'eth0',
          name === 'IPv6' ? 'icmp6 and ip6[40] < 128' : 'icmp[0] == 3',
        );
        await sleep(1500);
        run(one.ns, ['ping', '-c', '1', '-W', '1', far]);
        expect(await wire.packets()).toEqual([]);
        const told = (await inside.packets()).map((p) => `${p.icmpType}/${p.icmpCode}`);
        expect([...new Set(told)]).toEqual(error === null ? [] : [error]);
      } finally {
        await pinging.stop('SIGKILL');
        run(bed.host, ['ip', ...v6, 'route', 'del', kind, target]);
      }
    },
  );
});

describe('a route of several ways', () => {
  it.each([
    ['IPv4', FAR, EXT1, EXT2],
    ['IPv6', FAR6, EXT1_6, EXT2_6],
  ])('keeps a flow on one of them: %s', async (name, far, first, second) => {
    const v6 = name === 'IPv6' ? ['-6'] : [];
    route(
      ...v6,
      'route',
      'replace',
      far,
      'nexthop',
      'via',
      first,
      'dev',
      'up0',
      'nexthop',
      'via',
      second,
      'dev',
      'up0',
    );
    const ways = [
      await bed.capture(bed.ext1, 'eth0', `dst ${far} and ether dst ${macOf(bed.ext1)}`),
      await bed.capture(bed.ext2, 'eth0', `dst ${far} and ether dst ${macOf(bed.ext2)}`),
    ];
    try {
      // each run is a flow of its own; all packets of one share an id
      for (let i = 0; i < 4; i++) run(one.ns, ['ping', '-c', '4', '-i', '0.6', '-W', '1', far]);
      const [by1, by2] = await Promise.all(
        ways.map(async (way) => new Set((await way.packets()).map((p) => p.icmpId))),
      );
      expect((by1?.size ?? 0) + (by2?.size ?? 0)).toBe(4);
    } finally {
      route(...v6, 'route', 'del', far);
    }
  });
});

const macOf = (ns: string): string =>
  json<[{ address: string }]>(ns, ['ip', '-j', 'link', 'show', 'eth0'])[0].address;
