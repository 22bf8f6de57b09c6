// SPDX-License-Identifier: Apache-2.0
/** Neighbours that know an address by another MAC are told, and do not have to find out. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, must, run, until } from '../support/process.js';
import { type Container, Testbed } from '../support/testbed.js';

const FAR_MAC = '02:42:aa:bb:cc:dd';
const WRONG_MAC = '02:00:00:00:00:99';

let bed: Testbed;
let neighbour: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', '--subnet', '10.72.0.0/24', '--subnet', 'fd72::/64', 'lan');
  neighbour = bed.container('neighbour', 'lan');
});
afterAll(() => bed.stop());

const ping = (from: Container, to: string): number => run(from.ns, ['ping', '-c1', '-W1', to]).code;
const known = (of: Container, address: string): string | undefined =>
  json<{ dst: string; lladdr?: string }[]>(of.ns, ['ip', '-j', 'neigh', 'show', 'dev', 'eth0']).find(
    ({ dst }) => dst === address,
  )?.lladdr;
const macOf = (box: Container): string =>
  json<[{ address: string }]>(box.ns, ['ip', '-j', 'link', 'show', 'eth0'])[0].address;

describe('an address that another container had', () => {
  const flags = ['--ip', '10.72.0.50', '--ip6', 'fd72::50'];

  it('is known by its new MAC at once, in both families', async () => {
    const first = bed.container('first', 'lan', ...flags);
    expect([ping(neighbour, first.ip), ping(neighbour, first.ip6)]).toEqual([0, 0]);
    expect([known(neighbour, first.ip), known(neighbour, first.ip6)]).toEqual(Array(2).fill(macOf(first)));
    bed.ok('disconnect', 'lan', first.ns);
    const heard = await bed.capture(neighbour.ns, 'eth0', 'arp or icmp6');
    const second = bed.container('second', 'lan', ...flags, '--mac', FAR_MAC);
    expect([known(neighbour, second.ip), known(neighbour, second.ip6)]).toEqual(Array(2).fill(FAR_MAC));
    expect([ping(neighbour, second.ip), ping(neighbour, second.ip6)]).toEqual([0, 0]);
    const packets = await heard.packets();
    expect(JSON.stringify(packets)).toContain('10.72.0.50');
    bed.ok('disconnect', 'lan', second.ns);
  });

  it('is announced by the daemon that makes the change good, where it was dead meanwhile', async () => {
    const box = bed.container('third', 'lan', ...flags);
    expect(ping(neighbour, box.ip)).toBe(0);
    await bed.killDaemon();
    // the pair is gone, and the neighbour believes somebody else
    must(neighbour.ns, [
      'ip',
      'neigh',
      'replace',
      box.ip,
      'lladdr',
      WRONG_MAC,
      'dev',
      'eth0',
      'nud',
      'stale',
    ]);
    must(box.ns, ['ip', 'link', 'del', 'eth0']);
    await bed.startDaemon();
    expect(known(neighbour, box.ip)).toBe(macOf(box));
    expect(ping(neighbour, box.ip)).toBe(0);
  });
});

describe('a gateway', () => {
  it('whose MAC was changed is known by its own again, as soon as that is repaired', async () => {
    const [{ interface: bridge, subnets }] = JSON.parse(bed.ok('network', 'inspect', 'lan')) as [
      { interface: string; subnets: { gateway: string }[] },
    ];
    const gateways = subnets.map(({ gateway }) => gateway);
    for (const gateway of gateways) expect(ping(neighbour, gateway)).toBe(0);
    const right = known(neighbour, gateways[0] as string);
    await bed.killDaemon();
    must(bed.host, ['ip', 'link', 'set', bridge, 'address', WRONG_MAC]);
    for (const gateway of gateways)
      must(neighbour.ns, [
        'ip',
        'neigh',
        'replace',
        gateway,
        'lladdr',
        WRONG_MAC,
        'dev',
        'eth0',
        'nud',
        'stale',
      ]);
    await bed.startDaemon();
    await until(
      () => gateways.every((gateway) => known(neighbour, gateway) === right),
      'the gateway is known',
      2_000,
    );
    for (const gateway of gateways) expect(ping(neighbour, gateway)).toBe(0);
  });
});

describe('networks whose containers do not reach one another', () => {
  it('are told nothing', async () => {
    bed.ok('network', 'create', '-o', 'icc=false', 'apart');
    const one = bed.container('one', 'apart');
    const heard = await bed.capture(one.ns, 'eth0', 'arp');
    bed.container('two', 'apart');
    expect(await heard.packets()).toEqual([]);
  });
});
