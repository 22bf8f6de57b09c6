// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatPortMapping,
  formatPortSpec,
  type PortSpec,
  parsePortSpec,
} from '../../../src/cnm/portspec.js';
import { failure } from '../support/model.js';

const spec = (part: Partial<PortSpec>): PortSpec => ({
  hostIp: null,
  hostPort: null,
  port: 80,
  portEnd: 80,
  protocol: 'tcp',
  ...part,
});

describe('is read', () => {
  test.each<[string, Partial<PortSpec>]>([
    ['80', {}],
    ['80/tcp', {}],
    ['80/TCP', {}],
    ['80/udp', { protocol: 'udp' }],
    ['8080:80', { hostPort: 8080 }],
    ['0:80', {}],
    ['127.0.0.1:8080:80', { hostIp: '127.0.0.1', hostPort: 8080 }],
    ['127.0.0.1:0:80', { hostIp: '127.0.0.1' }],
    ['127.0.0.1::80', { hostIp: '127.0.0.1' }],
    ['0.0.0.0:8080:80', { hostIp: '0.0.0.0', hostPort: 8080 }],
    ['80-89', { portEnd: 89 }],
    ['0:80-89', { portEnd: 89 }],
    ['8080-8089:80-89/udp', { hostPort: 8080, portEnd: 89, protocol: 'udp' }],
    ['192.0.2.1:1-65535:1-65535', { hostIp: '192.0.2.1', hostPort: 1, port: 1, portEnd: 65535 }],
    ['8080-8080:80', { hostPort: 8080 }],
    ['[::1]:8080:80', { hostIp: '::1', hostPort: 8080 }],
    ['[::]:8080:80', { hostIp: '::', hostPort: 8080 }],
    ['[2001:DB8:0:0::1]::80', { hostIp: '2001:db8::1' }],
    ['[fd00::7]:53:53/udp', { hostIp: 'fd00::7', hostPort: 53, port: 53, portEnd: 53, protocol: 'udp' }],
    ['80:80/sctp', { hostPort: 80, protocol: 'sctp' }],
    ['80/SCTP', { protocol: 'sctp' }],
  ])('%s', (text, expected) => expect(parsePortSpec(text)).toEqual(spec(expected)));

  test('what was written', () => {
    const port = fc.integer({ min: 1, max: 65535 });
    const any = fc
      .record({
        hostIp: fc.option(fc.constantFrom('127.0.0.1', '192.0.2.7', '0.0.0.0', '::', '::1', '2001:db8::1')),
        ephemeral: fc.boolean(),
        hostPort: port,
        port,
        count: fc.integer({ min: 0, max: 65534 }),
        protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
      })
      .map(({ hostIp, ephemeral, hostPort, port: first, count, protocol }): PortSpec => {
        const length = Math.min(count, 65535 - first, ephemeral ? 65535 : 65535 - hostPort);
        return {
          hostIp,
          hostPort: ephemeral ? null : hostPort,
          port: first,
          portEnd: first + length,
          protocol,
        };
      });
    fc.assert(
      fc.property(any, (wanted) => {
        expect(parsePortSpec(formatPortSpec(wanted))).toEqual(wanted);
        if (wanted.hostPort === null) return;
        const mapping = {
          ...wanted,
          hostIp: wanted.hostIp ?? '',
          hostPort: wanted.hostPort,
          hostPortEnd: wanted.hostPort + wanted.portEnd - wanted.port,
        };
        expect(parsePortSpec(formatPortMapping(mapping))).toEqual(wanted);
      }),
    );
  });
});

describe('is refused', () => {
  test.each([
    ['', /malformed/],
    [':', /malformed/],
    [':80', /malformed/],
    ['80:', /malformed/],
    ['a', /not a port/],
    ['80 ', /not a port/],
    ['+80', /not a port/],
    ['080', /not a port/],
    ['8e1', /not a port/],
    ['80-', /not a port/],
    ['-80', /not a port/],
    ['80-81-82', /not a port/],
    ['1:2:3:4', /malformed/],
    ['0', /0 is not a port/],
    ['8080:0', /0 is not a port/],
    ['0-5', /0 is not a port/],
    ['0-9:80-89', /cannot begin at 0/],
    ['65536', /beyond port 65535/],
    ['8080:99999', /beyond port 65535/],
    ['65530-65536:1-7', /beyond port 65535/],
    ['89-80', /ends before it begins/],
    ['8080-8089:80', /10 host ports for 1 container/],
    ['8080:80-89', /1 host ports for 10 container/],
    ['8080-8081:80-89', /2 host ports for 10 container/],
    ['80/', /'' is not a protocol/],
    ['80/icmp', /'icmp' is not a protocol/],
    ['80/tcp/udp', /is not a protocol/],
    ['localhost:80:80', /not an IPv4 address/],
    ['300.0.0.1:80:80', /not an IPv4 address/],
    ['127.1:80:80', /not an IPv4 address/],
    ['127.0.0.1:80', /not a port/],
    ['224.0.0.1:80:80', /not an address of a host/],
    ['255.255.255.255:80:80', /not an address of a host/],
    ['0.0.0.1:80:80', /not an address of a host/],
    ['::1:80:80', /malformed/],
    ['[::1]80:80', /malformed/],
    ['[::1', /malformed/],
    ['[127.0.0.1]:80:80', /not an IPv6 address/],
    ['[]:80:80', /not an IPv6 address/],
    ['[fe80::1%eth0]:80:80', /not an IPv6 address/],
    ['[fe80::1]:80:80', /link-local/],
    ['[ff02::1]:80:80', /not an address of a host/],
    ['[::ffff:192.0.2.1]:80:80', /stands for an IPv4 address/],
    ['2001:db8::1:80:80', /malformed/],
  ])('%j', async (text, message) => {
    const error = await failure(() => parsePortSpec(text, 'ports[3]'));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'ports[3]' });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(text);
    expect(error.hint).toBeTruthy();
  });

  test('anything, without another kind of failure', () => {
    const piece = fc.constantFrom(
      '0',
      '80',
      '65535',
      '65536',
      ':',
      '-',
      '/',
      'tcp',
      'udp',
      '[',
      ']',
      '::1',
      '127.0.0.1',
      ' ',
      'x',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const text = pieces.join('');
        try {
          const read = parsePortSpec(text);
          expect(parsePortSpec(formatPortSpec(read))).toEqual(read);
        } catch (e) {
          expect(e).toHaveProperty('code');
          expect(['invalid_argument', 'unsupported']).toContain((e as { code: string }).code);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
