// SPDX-License-Identifier: Apache-2.0
/** Networks with IPv6 as the daemon makes them: in the kernel, over its restarts, and gone again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

let bed: Testbed;
let a: { ns: string };

interface Device {
  ifname: string;
  addr_info?: { local?: string; prefixlen: number }[];
}
interface Status {
  problems: unknown[];
}

/** Of the daemon's namespace but for our devices. */
function settings(): string[] {
  const ours = /\.(slb|slv)[0-9a-f]+\./;
  return must(bed.host, ['sysctl', '-a', '--pattern', '^net\\.ipv[46]\\.conf'])
    .split('\n')
    .filter((line) => !ours.test(line));
}

function addresses(where: string): string[] {
  const devices = JSON.parse(must(where, ['ip', '-j', '-6', 'addr', 'show', 'scope', 'global'])) as Device[];
  // iproute2 prints an empty object for a device that the filter leaves out.
  return devices.flatMap(({ addr_info }) =>
    (addr_info ?? []).flatMap(({ local, prefixlen }) => (local ? [`${local}/${prefixlen}`] : [])),
  );
}

let before: string[];
beforeAll(async () => {
  bed = await Testbed.start();
  before = settings();
  bed.ok('network', 'create', '--subnet', '10.7.0.0/24', '--subnet', 'fd00:7::/64', 'six');
  bed.ok('network', 'create', '--ipv6', '--internal', '-o', 'icc=false', 'own');
  a = bed.container('a', 'six', '--ip6', 'fd00:7::9');
  bed.ok('connect', 'own', a.ns);
});
afterAll(() => bed.stop());

describe('a network with IPv6', () => {
  it('has its gateway on the host, and its addresses and routes inside', () => {
    expect(addresses(bed.host)).toContain('fd00:7::1/64');
    const [six, own] = bed.list<{ ipv6: string }[]>('endpoint', 'ls');
    expect(six?.ipv6).toBe('fd00:7::9');
    expect(own?.ipv6).toMatch(/^fd.*::2$/);
    expect(addresses(a.ns).sort()).toEqual(['fd00:7::9/64', `${own?.ipv6}/64`].sort());
    const routes = JSON.parse(must(a.ns, ['ip', '-j', '-6', 'route', 'show', 'default']));
    expect(routes).toMatchObject([{ gateway: 'fd00:7::1', dev: 'eth0' }]);
    expect(must(a.ns, ['cat', `/etc/netns/${a.ns}/hosts`])).toContain(`fd00:7::9\t${a.ns}\n`);
  });

  it('changes no setting of the host', () => {
    expect(settings()).toEqual(before);
  });

  it('is adopted after a crash, and the next one is cut from the same /48', async () => {
    const had = [...addresses(bed.host), ...addresses(a.ns)];
    await bed.killDaemon('SIGKILL');
    await bed.startDaemon();
    expect([...addresses(bed.host), ...addresses(a.ns)]).toEqual(had);
    expect(bed.list<Status>('status').problems).toEqual([]);
    bed.ok('network', 'create', '--ipv6', 'next');
    const cidrs = bed
      .list<{ name: string; subnets: { cidr: string }[] }[]>('network', 'ls')
      .flatMap(({ name, subnets }) => (name === 'six' ? [] : (subnets[1]?.cidr ?? '')));
    const [own, next] = cidrs.map((cidr) => cidr.replace(/(:1)?::\/64$/, ''));
    expect(next).toBe(own);
    expect(cidrs[0]).not.toBe(cidrs[1]);
    bed.ok('network', 'rm', 'next');
  });

  it('goes without a trace', () => {
    bed.ok('disconnect', 'own', a.ns);
    bed.ok('disconnect', 'six', a.ns);
    bed.ok('network', 'rm', 'six', 'own');
    expect(addresses(bed.host).filter((address) => address.startsWith('fd'))).toEqual([]);
    expect(must(bed.host, ['ip', '-6', 'neigh', 'show', 'nud', 'permanent'])).toBe('');
    expect(settings()).toEqual(before);
  });
});
