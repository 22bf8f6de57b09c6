// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Address,
  contains,
  formatAddress,
  formatPrefix,
  lastAddress,
  overlaps,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixSize,
  usableRange,
} from '../../../src/base/addresses.js';
import { SluiceError } from '../../../src/base/errors.js';
import { AddressPool } from '../../../src/cnm/ipam/pool.js';
import { Pools } from '../../../src/cnm/ipam/pools.js';
import {
  allOf,
  chooseSubnet,
  DEFAULT_POOLS,
  hostPrefixes,
  parsePool,
} from '../../../src/cnm/ipam/subnets.js';
import { failure } from '../support/model.js';

const p = (text: string) => parsePrefix(text) as Prefix;
const a = (text: string) => parseAddress(text) as Address;
const pool = (subnet: string, gateway: string | null, range: string | null = null) =>
  new AddressPool(p(subnet), range === null ? null : p(range), gateway === null ? null : a(gateway));
const name = (id: string) => `endpoint 'name-of-${id}'`;

describe('addresses of a network', () => {
  test('are handed out in order, and rest after use', () => {
    const addresses = pool('10.0.0.0/29', '10.0.0.1');
    const next = () => formatAddress(addresses.allocate('x'));
    expect([next(), next(), next()]).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4']);
    addresses.release(a('10.0.0.2'));
    expect([next(), next()]).toEqual(['10.0.0.5', '10.0.0.6']);
    expect(addresses.free).toBe(1);
    expect(next()).toBe('10.0.0.2');
    expect(addresses.free).toBe(0);
    expect(() => next()).toThrow(/no free address/);
  });

  test('of an ip-range only, though others may be asked for', async () => {
    const addresses = pool('10.0.0.0/24', '10.0.0.1', '10.0.0.128/30');
    const taken = Array.from({ length: 4 }, () => formatAddress(addresses.allocate('x')));
    expect(taken).toEqual(['10.0.0.128', '10.0.0.129', '10.0.0.130', '10.0.0.131']);
    expect((await failure(() => addresses.allocate('y'))).code).toBe('pool_exhausted');
    addresses.claim(a('10.0.0.7'), 'y', name, 'ipv4');
  });

  test.each([
    ['10.0.1.2', 'invalid_argument', /outside/],
    ['10.0.0.0', 'invalid_argument', /network address/],
    ['10.0.0.255', 'invalid_argument', /broadcast address/],
    ['10.0.0.1', 'address_taken', /gateway/],
    ['10.0.0.9', 'address_taken', /endpoint 'name-of-z'/],
  ])('%s is refused', async (text, code, message) => {
    const addresses = pool('10.0.0.0/24', '10.0.0.1');
    addresses.claim(a('10.0.0.9'), 'z', name, 'ipv4');
    const error = await failure(() => addresses.claim(a(text), 'y', name, 'ipv4'));
    expect(error).toMatchObject({ code, field: 'ipv4' });
    expect(error.message).toMatch(message);
    addresses.release(a('10.0.0.9'));
    addresses.claim(a('10.0.0.9'), 'y', name, 'ipv4');
  });

  test('of a /31 are two, the gateway’s and one more', () => {
    const addresses = pool('10.0.0.2/31', '10.0.0.2');
    expect(formatAddress(addresses.allocate('x'))).toBe('10.0.0.3');
    expect(() => addresses.allocate('y')).toThrow(SluiceError);
  });

  test('of a large network cost the same as those of a small one', () => {
    const addresses = pool('10.0.0.0/8', '10.0.0.1');
    const start = performance.now();
    for (let i = 0; i < 20_000; i++) addresses.allocate('x');
    expect(performance.now() - start).toBeLessThan(500);
  });

  test('are never given twice, and all are given (model-based)', () => {
    const command = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ do: 'allocate' as const, at: 0 }) },
      { weight: 2, arbitrary: fc.nat(63).map((at) => ({ do: 'claim' as const, at })) },
      { weight: 3, arbitrary: fc.nat(63).map((at) => ({ do: 'release' as const, at })) },
    );
    const shape = fc.record({
      length: fc.integer({ min: 26, max: 31 }),
      gateway: fc.nat(63),
      range: fc.option(fc.record({ length: fc.integer({ min: 26, max: 32 }), at: fc.nat(63) })),
    });
    fc.assert(
      fc.property(shape, fc.array(command, { maxLength: 120 }), ({ length, gateway, range }, commands) => {
        const subnet = p(`10.0.0.0/${length}`);
        const usable = usableRange(subnet);
        const at = (index: number): bigint => subnet.network + (BigInt(index) % prefixSize(subnet));
        const clamp = (value: bigint) =>
          value < usable.first ? usable.first : value > usable.last ? usable.last : value;
        const own = clamp(at(gateway));
        const part =
          range && range.length >= length ? p(formatPrefix({ ...subnet, length: range.length })) : null;
        const addresses = new AddressPool(subnet, part, { family: 4, value: own });
        const within = part ?? subnet;
        const choice: bigint[] = [];
        for (let v = usable.first; v <= usable.last; v++) {
          if (v !== own && v >= within.network && v <= lastAddress(within)) choice.push(v);
        }
        const taken = new Set<bigint>();
        for (const step of commands) {
          const left = choice.filter((v) => !taken.has(v));
          expect(addresses.free).toBe(left.length);
          if (step.do === 'allocate') {
            if (left.length === 0) {
              expect(() => addresses.allocate('x')).toThrow(/no free address/);
              continue;
            }
            const { value } = addresses.allocate('x');
            expect(left).toContain(value);
            taken.add(value);
          } else if (step.do === 'claim') {
            const value = at(step.at);
            const possible =
              value >= usable.first && value <= usable.last && value !== own && !taken.has(value);
            const run = () => addresses.claim({ family: 4, value }, 'x', name, 'ipv4');
            if (possible) {
              run();
              taken.add(value);
            } else {
              expect(run).toThrow(SluiceError);
            }
          } else {
            const held = [...taken][step.at % Math.max(taken.size, 1)];
            if (held === undefined) continue;
            addresses.release({ family: 4, value: held });
            taken.delete(held);
          }
        }
      }),
    );
  });
});

describe('pools', () => {
  test('are read', () => {
    expect(parsePool('10.64.0.0/10,24')).toEqual({ prefix: p('10.64.0.0/10'), size: 24 });
    expect(DEFAULT_POOLS.map(parsePool)).toHaveLength(3);
  });

  test.each([
    '',
    '10.64.0.0/10',
    '10.64.0.0/10,',
    '10.64.0.1/10,24',
    '10.64.0.0/24,16',
    '10.64.0.0/24,31',
    '10.0.0.0/8,x',
    '10.0.0.0/8,24,1',
  ])('%j is refused', async (text) => {
    expect(await failure(() => parsePool(text))).toMatchObject({ code: 'invalid_argument', field: 'pool' });
  });

  test('of IPv6 give subnets as those of IPv4 do', () => {
    const pools = [parsePool('fd00:1::/62,64')];
    expect(pools).toEqual([{ prefix: p('fd00:1::/62'), size: 64 }]);
    const taken = ['fd00:1::/64', 'fd00:1:0:1::5/128', '10.0.0.0/8'].map(p);
    expect(formatPrefix(chooseSubnet(pools, taken))).toBe('fd00:1:0:2::/64');
    expect(() => chooseSubnet(pools, [p('fd00::/16')])).toThrow(/IPv6 address pools/);
  });

  test('of a family are those given, or its defaults; of IPv6 a /48 of the node’s own', () => {
    const own = new Pools([]);
    const [ula] = own.of(6);
    expect(own.of(4)).toEqual(DEFAULT_POOLS.map(parsePool));
    expect(ula).toMatchObject({ size: 64, prefix: { length: 48 } });
    expect(contains(p('fd00::/8'), ula?.prefix as Prefix)).toBe(true);
    expect(own.ula).toBe(formatPrefix(ula?.prefix as Prefix));
    expect(new Pools([]).ula).not.toBe(own.ula);
    const ipv4 = new Pools(['10.0.0.0/8,24']);
    expect([ipv4.of(4).length, ipv4.usesUla(6)]).toEqual([1, true]);
    const ipv6 = new Pools(['fd00:1::/48,64']);
    expect(ipv6.of(4)).toEqual(DEFAULT_POOLS.map(parsePool));
    expect([ipv6.of(6), ipv6.usesUla(6)]).toEqual([[parsePool('fd00:1::/48,64')], false]);
  });

  test('of one subnet are handed out from 2 on, whatever its size', () => {
    const addresses = pool('fd00:1::/64', 'fd00:1::1');
    expect(formatAddress(addresses.allocate('x'))).toBe('fd00:1::2');
    addresses.claim(a('fd00:1::3'), 'y', name, 'ipv6');
    expect(formatAddress(addresses.allocate('x'))).toBe('fd00:1::4');
    expect(() => addresses.claim(a('fd00:1::'), 'y', name, 'ipv6')).toThrow(/subnet-router anycast/);
    expect(() => addresses.claim(a('fd00:1::1'), 'y', name, 'ipv6')).toThrow(/gateway/);
  });

  test('give their lowest free block, one pool after the other', async () => {
    const pools = ['10.0.0.0/23,24', '192.168.4.0/24,24'].map(parsePool);
    const taken: Prefix[] = [];
    const given: string[] = [];
    for (let i = 0; i < 3; i++) {
      const subnet = chooseSubnet(pools, taken);
      taken.push(subnet);
      given.push(formatPrefix(subnet));
    }
    expect(given).toEqual(['10.0.0.0/24', '10.0.1.0/24', '192.168.4.0/24']);
    expect((await failure(() => chooseSubnet(pools, taken))).code).toBe('pool_exhausted');
    expect(formatPrefix(chooseSubnet(pools, taken.slice(1)))).toBe('10.0.0.0/24');
  });

  test('skip what is routed or the host’s own, default routes excepted', () => {
    const host = {
      cidrs: [
        '0.0.0.0/0',
        '0.0.0.0/1',
        '128.0.0.0/1',
        '::/0',
        '2000::/3',
        'fe80::/64',
        'ff00::/8',
        '10.64.0.0/23',
        '10.64.3.128/25',
        'fd00::/64',
      ],
      addresses: ['10.64.2.9', 'fe80::1'],
      connected: ['10.64.2.9/25', 'fe80::1/64', '10.64.9.9/32'],
    };
    const prefixes = hostPrefixes(host);
    expect(formatPrefix(chooseSubnet(DEFAULT_POOLS.map(parsePool), allOf(prefixes)))).toBe('10.64.4.0/24');
    expect(prefixes.connected.map(formatPrefix)).toEqual(['10.64.2.0/25']);
    expect(allOf(prefixes).map(formatPrefix)).toEqual([
      '10.64.0.0/23',
      '10.64.3.128/25',
      'fd00::/64',
      '10.64.2.9/32',
    ]);
    const all = allOf(hostPrefixes({ cidrs: ['10.0.0.0/8'], addresses: [], connected: [] }));
    expect(formatPrefix(chooseSubnet(DEFAULT_POOLS.map(parsePool), all))).toBe('172.16.0.0/24');
  });

  test('give a block that meets nothing, the lowest there is', () => {
    const block = fc
      .record({ at: fc.nat(1023), length: fc.integer({ min: 20, max: 32 }) })
      .map(({ at, length }) =>
        p(formatPrefix({ family: 4, network: maskTo(0x0a000000n + BigInt(at), length), length })),
      );
    fc.assert(
      fc.property(fc.array(block, { maxLength: 12 }), fc.integer({ min: 24, max: 30 }), (taken, size) => {
        const prefix = p('10.0.0.0/22');
        const blocks: Prefix[] = [];
        for (
          let network = prefix.network;
          network <= lastAddress(prefix);
          network += 1n << BigInt(32 - size)
        ) {
          blocks.push({ family: 4, network, length: size });
        }
        const free = blocks.filter((candidate) => !taken.some((other) => overlaps(candidate, other)));
        const choose = () => chooseSubnet([{ prefix, size }], taken);
        if (free.length === 0) expect(choose).toThrow(/address pools/);
        else {
          expect(choose()).toEqual(free[0]);
          expect(contains(prefix, choose())).toBe(true);
        }
      }),
    );
  });

  test('find a block among thousands of networks quickly', () => {
    const pools = [parsePool('10.64.0.0/10,24')];
    const taken = Array.from({ length: 4095 }, (_, i) =>
      p(formatPrefix({ family: 4, network: 0x0a400000n + BigInt(i * 256), length: 24 })),
    );
    const start = performance.now();
    expect(formatPrefix(chooseSubnet(pools, taken))).toBe('10.79.255.0/24');
    expect(performance.now() - start).toBeLessThan(100);
  });
});

function maskTo(value: bigint, length: number): bigint {
  const host = BigInt(32 - length);
  return (value >> host) << host;
}
