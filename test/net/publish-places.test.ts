// SPDX-License-Identifier: Apache-2.0
/** Host addresses that a port may be published at, and those that it may not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const LOCAL = '198.51.100.77';
const LOCAL_6 = '2001:db8:77::7';

let bed: Testbed;
let one: Container;
let two: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  must(bed.host, ['ip', 'route', 'add', 'local', '198.51.100.0/24', 'dev', 'lo']);
  must(bed.host, ['ip', '-6', 'route', 'add', 'local', '2001:db8:77::/64', 'dev', 'lo']);
  bed.ok('network', 'create', '--ipv6', '--subnet', '10.71.0.0/24', '--subnet', 'fd71::/64', 'lan');
  one = bed.container('one', 'lan');
  two = bed.container('two', 'lan');
  bed.ok('service', 'create', 'front', '--network', 'lan', '--port', '80');
});
afterAll(() => bed.stop());

const publish = (address: string) => bed.cli('publish', `lan.${two.ns}`, `${address}:8080:80`);

describe('a port', () => {
  it.each([
    ['an address of the host', HOST],
    ['one of IPv6', `[${HOST_6}]`],
    ['loopback', '127.0.0.1'],
    ['an address by a local route alone', LOCAL],
    ['one of IPv6 alike', `[${LOCAL_6}]`],
  ])('may be published at %s', (_, address) => {
    expect(publish(address)).toMatchObject({ code: 0 });
    bed.ok('unpublish', `lan.${two.ns}`, `${address}:8080:80`);
  });

  it.each([
    ['another machine’s address', () => EXT1],
    ['one of IPv6', () => `[${EXT1_6}]`],
    ['an address that no route leads to', () => '[3fff::1]'],
    ['a broadcast address', () => '192.168.77.255'],
    ['the gateway', () => '10.71.0.1'],
    ['the IPv6 gateway', () => '[fd71::1]'],
    ['a container', () => one.ip],
    ['a container’s IPv6 address', () => `[${one.ip6}]`],
    ['the address of a service', () => bed.list<{ vip: string }[]>('service', 'ls')[0]?.vip ?? ''],
    ['a metadata service', () => '169.254.169.254'],
    ['multicast', () => '224.0.0.1'],
  ])('may not be published at %s', (_, address) => {
    const { code, err } = publish(address());
    expect(code).toBe(1);
    expect(err).toMatch(/address/);
    expect(err.trim().split('\n')).toHaveLength(1);
  });
});
