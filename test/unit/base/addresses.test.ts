// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bits,
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  isUnicastMac,
  lastAddress,
  macFromId,
  macFromIpv4,
  overlaps,
  parseAddress,
  parseCidr,
  parseMac,
  parsePrefix,
  prefixOf,
  prefixSize,
  usableRange,
} from '../../../src/base/addresses.js';

const family = fc.constantFrom<Family>(4, 6);
const address = family.chain((f) =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(bits(f))) - 1n }).map((value) => ({ family: f, value })),
);
const prefix = address.chain((a) =>
  fc.integer({ min: 0, max: bits(a.family) }).map((length) => prefixOf(a, length)),
);

describe('addresses', () => {
  test('are read and written', () => {
    expect(parseAddress('10.64.0.2')).toEqual({ family: 4, value: 0x0a400002n });
    expect(formatAddress({ family: 6, value: 1n })).toBe('::1');
    expect(formatAddress(parseAddress('2001:DB8:0:0:0:0:0:1') as never)).toBe('2001:db8::1');
  });

  test.each([
    '',
    '10.1',
    '010.0.0.1',
    '0x0a000001',
    '10.0.0.256',
    '10.0.0.1/24',
    'fe80::1%eth0',
    '::g',
    '1.2.3.4.5',
    ' 10.0.0.1',
  ])('%j is none', (text) => expect(parseAddress(text)).toBeNull());

  test('format and parse are inverse', () => {
    fc.assert(fc.property(address, (a) => void expect(parseAddress(formatAddress(a))).toEqual(a)));
  });
});

describe('prefixes', () => {
  test('with host bits are an address within a prefix', () => {
    expect(parseCidr('10.64.0.5/24')).toEqual({
      address: parseAddress('10.64.0.5'),
      prefix: { family: 4, network: 0x0a400000n, length: 24 },
    });
    expect(parsePrefix('10.64.0.5/24')).toBeNull();
  });

  test.each([
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/',
    '/8',
    '::/129',
    '10.0.0.0/8/8',
  ])('%j is none', (text) => expect(parseCidr(text)).toBeNull());

  test('format and parse are inverse', () => {
    fc.assert(fc.property(prefix, (p) => void expect(parsePrefix(formatPrefix(p))).toEqual(p)));
  });

  test('contain what lies between their ends', () => {
    fc.assert(
      fc.property(prefix, address, (p, a) => {
        const inside = p.family === a.family && a.value >= p.network && a.value <= lastAddress(p);
        expect(contains(p, a)).toBe(inside);
      }),
    );
  });

  test('overlap if one holds the other', () => {
    fc.assert(
      fc.property(prefix, prefix, (a, b) => {
        const meet = a.family === b.family && a.network <= lastAddress(b) && b.network <= lastAddress(a);
        expect(overlaps(a, b)).toBe(meet);
      }),
    );
  });

  test.each([
    ['10.0.0.0/24', '10.0.0.1', '10.0.0.254', 256n],
    ['10.0.0.4/30', '10.0.0.5', '10.0.0.6', 4n],
    ['10.0.0.4/31', '10.0.0.4', '10.0.0.5', 2n],
    ['10.0.0.4/32', '10.0.0.4', '10.0.0.4', 1n],
    ['fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:ffff', 1n << 64n],
    ['fd00::2/127', 'fd00::2', 'fd00::3', 2n],
  ])('%s has hosts %s to %s', (text, first, last, size) => {
    const p = parsePrefix(text) as NonNullable<ReturnType<typeof parsePrefix>>;
    const range = usableRange(p);
    expect(formatAddress({ family: p.family, value: range.first })).toBe(first);
    expect(formatAddress({ family: p.family, value: range.last })).toBe(last);
    expect(prefixSize(p)).toBe(size);
  });
});

describe('MACs', () => {
  test('are written in one way', () => {
    expect(parseMac('02-42-0A-40-00-02')).toBe('02:42:0a:40:00:02');
    for (const text of [
      '',
      '02:42:0a:40:00',
      '02:42:0a:40:00:02:03',
      '02:42-0a:40:00:02',
      '0242.0a40.0002',
    ]) {
      expect(parseMac(text)).toBeNull();
    }
  });

  test('of interfaces are unicast', () => {
    expect(isUnicastMac('02:42:0a:40:00:02')).toBe(true);
    for (const mac of ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '00:00:00:00:00:00'])
      expect(isUnicastMac(mac)).toBe(false);
  });

  test('are derived', () => {
    expect(macFromId('0123456789abcdef')).toBe('02:01:23:45:67:89');
    expect(macFromIpv4({ family: 4, value: 0x0a400002n })).toBe('02:42:0a:40:00:02');
  });
});
