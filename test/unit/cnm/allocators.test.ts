// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import type { HostSocket } from '../../../src/cnm/host.js';
import { Generations, NumberPool } from '../../../src/cnm/numbers.js';
import {
  EPHEMERAL,
  PortAllocator,
  type PortClaim,
  type PortRequest,
} from '../../../src/cnm/ports/allocator.js';
import { failure } from '../support/model.js';

const name = (id: string) => `endpoint 'name-of-${id}'`;
const request = (part: Partial<PortRequest>): PortRequest => ({
  protocol: 'tcp',
  hostIp: '',
  first: 80,
  count: 1,
  owner: 'a',
  ...part,
});

describe('host ports', () => {
  const claimed = () => {
    const ports = new PortAllocator();
    ports.claim(request({ first: 8000, count: 100 }), [], name);
    ports.claim(request({ first: 9000, hostIp: '192.0.2.1', owner: 'b' }), [], name);
    return ports;
  };

  test.each<[string, Partial<PortRequest>, string | null]>([
    ['the same port', { first: 8000 }, 'a'],
    ['a port within a range', { first: 8050 }, 'a'],
    ['a range that ends within', { first: 7990, count: 11 }, 'a'],
    ['a range around it', { first: 7000, count: 2000 }, 'a'],
    ['the port before', { first: 7999 }, null],
    ['the port behind', { first: 8100 }, null],
    ['another protocol', { first: 8000, protocol: 'udp' }, null],
    ['one address beside every', { first: 8000, hostIp: '192.0.2.9' }, 'a'],
    ['every address beside one', { first: 9000 }, 'b'],
    ['0.0.0.0 beside one', { first: 9000, hostIp: '0.0.0.0' }, 'b'],
    [':: beside one of IPv4', { first: 9000, hostIp: '::' }, null],
    [':: beside every', { first: 8000, hostIp: '::' }, 'a'],
    ['SCTP beside TCP', { first: 8000, protocol: 'sctp' }, null],
    ['the same address', { first: 9000, hostIp: '192.0.2.1' }, 'b'],
    ['another address', { first: 9000, hostIp: '192.0.2.2' }, null],
  ])('%s', async (_, part, holder) => {
    const ports = claimed();
    const run = () => ports.claim(request({ ...part, owner: 'c' }), [], name);
    if (holder === null) {
      expect(run()).toMatchObject({ owner: 'c' });
      return;
    }
    const error = await failure(run);
    expect(error).toMatchObject({ code: 'port_taken', field: 'ports' });
    expect(error.message).toContain(`endpoint 'name-of-${holder}'`);
  });

  test.each<[string, string, boolean]>([
    ['0.0.0.0', '', true],
    ['::', '', true],
    ['::', '192.0.2.1', true],
    ['127.0.0.1', '', true],
    ['127.0.0.1', '192.0.2.1', false],
    ['192.0.2.1', '192.0.2.1', true],
    ['::ffff:192.0.2.1', '192.0.2.1', true],
    ['::1', '192.0.2.1', false],
    ['::1', '', true],
    ['0.0.0.0', '0.0.0.0', true],
    ['0.0.0.0', '::', false],
    ['0.0.0.0', '2001:db8::1', false],
    ['::', '::', true],
    ['::', '0.0.0.0', true],
    ['::1', '::', true],
    ['::1', '::1', true],
    ['::1', '0.0.0.0', false],
    ['127.0.0.1', '::', false],
    ['::ffff:c000:201', '192.0.2.1', true],
    ['::ffff:c000:201', '::', false],
  ])('a socket on %s and a publish on %j: conflict %s', async (address, hostIp, conflict) => {
    const ports = new PortAllocator();
    const run = () => ports.claim(request({ first: 70, count: 20, hostIp }), [{ address, port: 80 }], name);
    if (!conflict) {
      run();
      return;
    }
    const error = await failure(run);
    expect(error.code).toBe('port_taken');
    expect(error.message).toMatch(/80\/tcp is held by a process of this host/);
    expect(error.hint).toContain('ss -tlnp');
  });

  test('a socket on :: that takes no IPv4 leaves that alone', () => {
    const ports = new PortAllocator();
    const sockets = [{ address: '::', port: 80, v6only: true }];
    for (const hostIp of ['', '::', '2001:db8::1']) {
      expect(() => ports.claim(request({ hostIp }), sockets, name)).toThrow(/held by a process/);
    }
    for (const hostIp of ['0.0.0.0', '192.0.2.1']) {
      ports.release(ports.claim(request({ hostIp }), sockets, name));
    }
  });

  test('of ephemeral requests avoid publishes and sockets, and rest after use', () => {
    const ports = new PortAllocator();
    const sockets = [{ address: '0.0.0.0', port: EPHEMERAL.first }];
    const take = (count = 1) => ports.claim(request({ first: null, count }), sockets, name);
    const first = take();
    expect(first).toMatchObject({ first: EPHEMERAL.first + 1, last: EPHEMERAL.first + 1 });
    ports.release(first);
    expect(take().first).toBe(EPHEMERAL.first + 2);
    expect(take(10)).toMatchObject({ first: EPHEMERAL.first + 3, last: EPHEMERAL.first + 12 });
    ports.claim(request({ first: EPHEMERAL.first + 15 }), [], name);
    expect(take(5).first).toBe(EPHEMERAL.first + 16);
    expect(take(2).first).toBe(EPHEMERAL.first + 21);
  });

  test('of ephemeral requests run out', async () => {
    const ports = new PortAllocator();
    const all = EPHEMERAL.last - EPHEMERAL.first + 1;
    ports.claim(request({ first: null, count: all - 1 }), [], name);
    expect((await failure(() => ports.claim(request({ first: null, count: 2 }), [], name))).code).toBe(
      'pool_exhausted',
    );
    expect(ports.claim(request({ first: null }), [], name).first).toBe(EPHEMERAL.last);
    expect((await failure(() => ports.claim(request({ first: null }), [], name))).code).toBe(
      'pool_exhausted',
    );
    expect(ports.claim(request({ first: null, protocol: 'udp' }), [], name).first).toBe(EPHEMERAL.first);
  });

  test('that the store holds twice are an error of the store', async () => {
    const ports = claimed();
    const twice = { protocol: 'tcp', hostIp: '', first: 8099, last: 8110, owner: 'z' } as const;
    expect((await failure(() => ports.restore(twice))).code).toBe('store');
  });

  test('cost the logarithm of their number, a range no more than a port', () => {
    const ports = new PortAllocator();
    for (let i = 0; i < 10_000; i++) ports.claim(request({ first: 2 * i + 1 }), [], name);
    const start = performance.now();
    for (let i = 0; i < 1000; i++) {
      ports.release(ports.claim(request({ first: 30_000, count: 10_000 }), [], name));
      ports.release(ports.claim(request({ first: null, count: 10_000 }), [], name));
    }
    expect((performance.now() - start) / 1000).toBeLessThan(1);
  });

  test('are never held twice, and free again once released (model-based)', () => {
    const ips = ['', '0.0.0.0', '192.0.2.1', '192.0.2.2', '::', '2001:db8::1'];
    const base = EPHEMERAL.last - 40;
    const command = fc.record({
      release: fc.boolean(),
      pick: fc.nat(50),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      hostIp: fc.constantFrom(...ips),
      first: fc.option(fc.integer({ min: base, max: EPHEMERAL.last - 8 }), { freq: 3 }),
      count: fc.integer({ min: 1, max: 8 }),
    });
    const socket = fc.record({
      address: fc.constantFrom('0.0.0.0', '::', '192.0.2.1'),
      port: fc.integer({ min: base, max: EPHEMERAL.last }),
    });
    const covers: Record<string, string[]> = {
      '': ips,
      '0.0.0.0': ['0.0.0.0', '192.0.2.1', '192.0.2.2'],
      '::': ['::', '2001:db8::1'],
    };
    const addresses = (ip: string) => (covers[ip] ?? [ip]).filter((one) => !(one in covers));
    const meet = (x: string, y: string) => addresses(x).some((one) => addresses(y).includes(one));
    // A socket on :: takes IPv4 as well.
    const overSocket = (s: HostSocket, ip: string) => meet(s.address === '::' ? '' : s.address, ip);
    fc.assert(
      fc.property(
        fc.array(socket, { maxLength: 4 }),
        fc.array(command, { maxLength: 60 }),
        (sockets, commands) => {
          const ports = new PortAllocator();
          // Only the last 41 ports are free for ephemeral requests.
          ports.claim(request({ first: EPHEMERAL.first, count: base - EPHEMERAL.first }), [], name);
          ports.claim(
            request({ first: EPHEMERAL.first, count: base - EPHEMERAL.first, protocol: 'udp' }),
            [],
            name,
          );
          const held: PortClaim[] = [];
          const free = (protocol: string, ip: string, from: number, to: number) =>
            !held.some(
              (c) => c.protocol === protocol && meet(c.hostIp, ip) && c.first <= to && from <= c.last,
            ) && !sockets.some((s) => overSocket(s, ip) && s.port >= from && s.port <= to);
          for (const { release, pick, protocol, hostIp, first, count } of commands) {
            if (release) {
              const [claim] = held.splice(pick % Math.max(held.length, 1), 1);
              if (claim) ports.release(claim);
              continue;
            }
            const run = () => ports.claim({ protocol, hostIp, first, count, owner: 'x' }, sockets, name);
            const starts = first === null ? Array.from({ length: 42 - count }, (_, i) => base + i) : [first];
            const possible = starts.filter((start) => free(protocol, hostIp, start, start + count - 1));
            if (possible.length === 0) {
              expect(run).toThrow(SluiceError);
              continue;
            }
            const claim = run();
            expect(possible).toContain(claim.first);
            expect(claim.last - claim.first + 1).toBe(count);
            held.push(claim);
          }
        },
      ),
    );
  });
});

describe('numbers', () => {
  test('are never held twice, rest after use, and all are used (model-based)', () => {
    const command = fc.option(fc.nat(20));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(command, { maxLength: 80 }), (last, commands) => {
        const pool = new NumberPool('thing', last, 'remove things');
        const held: number[] = [];
        for (const pick of commands) {
          if (pick !== null) {
            const [number] = held.splice(pick % Math.max(held.length, 1), 1);
            if (number !== undefined) pool.release(number);
          } else if (held.length === last) {
            expect(() => pool.allocate()).toThrow(/no room for another thing/);
          } else {
            const number = pool.allocate();
            expect(number).toBeGreaterThanOrEqual(1);
            expect(number).toBeLessThanOrEqual(last);
            expect(held).not.toContain(number);
            held.push(number);
          }
          expect(pool.size).toBe(held.length);
        }
      }),
    );
  });

  test('go on behind those that were restored', async () => {
    const pool = new NumberPool('thing', 5, 'remove things');
    pool.restore(3);
    expect([pool.allocate(), pool.allocate(), pool.allocate()]).toEqual([4, 5, 1]);
    for (const wrong of [3, 0, 6]) expect((await failure(() => pool.restore(wrong))).code).toBe('store');
    pool.allocate();
    expect((await failure(() => pool.allocate())).code).toBe('table_full');
  });

  test('leave no trace if put back', () => {
    const pool = new NumberPool('thing', 5, 'remove things');
    const restore = pool.mark();
    pool.release(pool.allocate());
    restore();
    expect(pool.allocate()).toBe(1);
  });

  test('of generations only grow', async () => {
    const generations = new Generations();
    generations.restore(7);
    generations.restore(3);
    expect([generations.next(), generations.next()]).toEqual([8, 9]);
    generations.restore(2 ** 32 - 1);
    expect((await failure(() => generations.next())).code).toBe('table_full');
  });
});
