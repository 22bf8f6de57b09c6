// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PublishRow } from '../../../src/cnm/rows.js';
import { port_table, publish_flag } from '../../../src/maps/generated/enums.js';
import type { KernelMaps } from '../../../src/reconcile/kernel.js';
import { PublishOps } from '../../../src/reconcile/ops/publish.js';
import { FakeMap } from './fake-maps.js';

const BY_ADDRESS = 0x80000000;

function maps() {
  return {
    publishes: new FakeMap<number, ReturnType<KernelMaps['publishes']['get']> & object>(),
    port_slots: new FakeMap<number, number>(0),
    publish_addr4: new FakeMap<{ addr: string; port: number; protocol: number }, number>(),
    publish_addr6: new FakeMap<{ addr: string; port: number; protocol: number }, number>(),
    publish_allow: new FakeMap<{ prefix_length: number; publish: number; source: string }, number>(),
  };
}

function row(id: number, hostPort: number, more: Partial<PublishRow> = {}): PublishRow {
  return {
    kind: 'publish',
    service: false,
    id,
    slot: 1,
    generation: 1,
    protocol: 'tcp',
    hostIp: null,
    hostPort,
    hostPortEnd: hostPort,
    port: 80,
    ipv4: '10.64.0.2',
    ipv6: null,
    allow: [],
    ...more,
  };
}

/** What the maps must hold for these rows, worked out from nothing else. */
function expected(rows: readonly PublishRow[]) {
  const slots = new Map<string, number>();
  const addresses = new Map<string, number>();
  for (const r of rows) {
    for (let port = r.hostPort; port <= r.hostPortEnd; port++) {
      const index = String((r.protocol === 'udp' ? 65536 : 0) + port);
      const before = slots.get(index) ?? 0;
      if (r.hostIp === null) {
        slots.set(index, (before | r.id) >>> 0);
      } else {
        slots.set(index, (before | BY_ADDRESS) >>> 0);
        addresses.set(
          JSON.stringify({ addr: r.hostIp, port, protocol: r.protocol === 'udp' ? 17 : 6 }),
          r.id,
        );
      }
    }
  }
  return { slots, addresses, ids: new Set(rows.map((r) => String(r.id))) };
}

function actual(m: ReturnType<typeof maps>) {
  return {
    slots: m.port_slots.dump(),
    addresses: m.publish_addr4.dump(),
    ids: new Set(m.publishes.dump().keys()),
  };
}

describe('publish', () => {
  it('opens a range of 10,000 ports in one batch', () => {
    const m = maps();
    new PublishOps(m).update(row(7, 20_000, { hostPortEnd: 29_999, port: 30_000 }), []);
    expect(m.port_slots.batches).toBe(1);
    expect(m.port_slots.dump().size).toBe(10_000);
    expect(m.publishes.get(7)).toEqual({
      endpoint: 1,
      generation: 1,
      addr4: '10.64.0.2',
      host_port: 20_000,
      host_port_end: 29_999,
      port: 30_000,
      protocol: 6,
      flags: 0,
      addr6: '::',
    });
  });

  it('lets every address and single addresses share a port, in any order of coming and going', () => {
    const rows = [
      row(1, 80),
      row(2, 80, { hostIp: '192.0.2.1' }),
      row(3, 80, { hostIp: '192.0.2.2' }),
      row(4, 80, { hostIp: '127.0.0.1' }),
    ];
    fc.assert(
      fc.property(
        fc.shuffledSubarray(rows, { minLength: 4 }),
        fc.shuffledSubarray(rows, { minLength: 4 }),
        (coming, going) => {
          const m = maps();
          const ops = new PublishOps(m);
          const held = new Set<PublishRow>();
          for (const r of coming) {
            ops.update(r, []);
            held.add(r);
            expect(actual(m)).toEqual(expected([...held]));
          }
          for (const r of going) {
            ops.delete(r);
            held.delete(r);
            expect(actual(m)).toEqual(expected([...held]));
          }
        },
      ),
    );
  });

  it('moves a publish that changes its ports, and updates one that changes its endpoint', () => {
    const m = maps();
    const ops = new PublishOps(m);
    const first = row(1, 80, { hostPortEnd: 90 });
    const second = row(1, 85, { hostPortEnd: 95 });
    ops.update(first, []);
    ops.update(second, [first]);
    expect(actual(m)).toEqual(expected([second]));
    ops.update({ ...second, slot: 9 }, [second]);
    expect(m.publishes.get(1)?.endpoint).toBe(9);
  });

  it('refuses a port that another one holds and changes nothing', () => {
    const m = maps();
    const ops = new PublishOps(m);
    ops.update(row(1, 80), []);
    const before = actual(m);
    expect(() => ops.update(row(2, 79, { hostPortEnd: 81 }), [])).toThrowError(
      expect.objectContaining({ code: 'port_taken' }),
    );
    expect(actual(m)).toEqual(before);
    ops.update(row(3, 80, { protocol: 'udp' }), []);
    expect(actual(m)).toEqual(expected([row(1, 80), row(3, 80, { protocol: 'udp' })]));
  });

  it('does again what was done, and removes what is not there', () => {
    const m = maps();
    const ops = new PublishOps(m);
    const r = row(1, 80, { hostIp: '192.0.2.1' });
    ops.update(r, []);
    ops.update(r, []);
    ops.delete(r);
    ops.delete(r);
    expect(actual(m)).toEqual(expected([]));
  });

  it('takes nothing from live publishes when a new process brings up one on the same port', () => {
    const m = maps();
    const any = row(1, 80);
    const one = row(2, 80, { hostIp: '192.0.2.1' });
    const first = new PublishOps(m);
    first.update(any, []);
    first.update(one, []);
    const next = new PublishOps(m);
    next.expect(any);
    next.expect(one);
    next.update(one, []);
    expect(actual(m)).toEqual(expected([any, one]));
    next.delete(any);
    expect(actual(m)).toEqual(expected([one]));
  });

  it('opens both families where the endpoint has both, or the one that is named', () => {
    const m = maps();
    const ops = new PublishOps(m);
    const six = port_table.PORT_TABLES_FAMILY * 65536;
    const slots = () => [...m.port_slots.dump().keys()].map(Number).sort((a, b) => a - b);
    const both = row(1, 80, { ipv6: 'fd00::2' });
    ops.update(both, []);
    expect(slots()).toEqual([80, six + 80]);
    ops.delete(both);
    ops.update(row(2, 80, { ipv6: 'fd00::2', hostIp: '0.0.0.0' }), []);
    ops.update(row(3, 81, { ipv6: 'fd00::2', hostIp: '::' }), []);
    ops.update(row(4, 82, { ipv6: 'fd00::2', hostIp: '2001:db8::1' }), []);
    expect(slots()).toEqual([80, six + 81, six + 82]);
    expect(m.publish_addr6.get({ addr: '2001:db8::1', port: 82, protocol: 6 })).toBe(4);
    expect(m.publish_addr4.dump().size).toBe(0);
  });

  it('lists who may come, of both families in one trie, and forgets them', async () => {
    const m = maps();
    const ops = new PublishOps(m);
    const limited = row(5, 80, { allow: ['192.0.2.0/24', '2001:db8::/32'] });
    ops.update(limited, []);
    expect(m.publishes.get(5)?.flags).toBe(publish_flag.PUBLISH_LIMITED);
    const v4 = { prefix_length: 32 + 96 + 24, publish: 5, source: '::ffff:c000:200' };
    const v6 = { prefix_length: 32 + 32, publish: 5, source: '2001:db8::' };
    expect([m.publish_allow.get(v4), m.publish_allow.get(v6)]).toEqual([1, 1]);
    m.publish_allow.delete(v4);
    expect((await ops.read()).holds(limited)).toBe(false);
    const fewer = { ...limited, allow: ['2001:db8::/32'] };
    ops.update(fewer, [limited]);
    m.publish_allow.set({ ...v4, publish: 9 }, 1);
    for (const stray of (await ops.read()).strays(() => true)) await stray.remove();
    expect(m.publish_allow.dump().size).toBe(1);
    ops.delete(fewer);
    expect(m.publish_allow.dump().size).toBe(0);
  });

  it('reads back what is missing and what is left over, and prunes to what is wanted', async () => {
    const address = fc.constantFrom(null, '192.0.2.1', '192.0.2.2', '127.0.0.1');
    const arbitraryRow = fc
      .record({
        hostIp: address,
        hostPort: fc.integer({ min: 1, max: 6 }),
        length: fc.integer({ min: 0, max: 2 }),
      })
      .map(({ hostIp, hostPort, length }) => ({ hostIp, hostPort, hostPortEnd: hostPort + length }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(arbitraryRow, { maxLength: 4 }),
        fc.array(arbitraryRow, { maxLength: 4 }),
        async (a, b) => {
          const m = maps();
          const before = disjoint(a, 1);
          const old = new PublishOps(m);
          for (const r of before) old.update(r, []);

          const wanted = disjoint(b, 3);
          const ops = new PublishOps(m);
          for (const r of wanted) ops.expect(r);
          const view = await ops.read();
          for (const r of wanted) if (!view.holds(r)) ops.update(r, []);
          const again = await ops.read();
          expect(wanted.every((r) => again.holds(r))).toBe(true);
          for (const stray of view.strays((key) => wanted.some((r) => String(r.id) === key)))
            await stray.remove();
          expect(actual(m)).toEqual(expected(wanted));
          expect((await ops.read()).strays((key) => wanted.some((r) => String(r.id) === key))).toEqual([]);
        },
      ),
      { numRuns: 25 },
    );
  });
});

/** Rows out of shapes, without those that clash with an earlier one. */
function disjoint(
  shapes: readonly Pick<PublishRow, 'hostIp' | 'hostPort' | 'hostPortEnd'>[],
  firstId: number,
) {
  const rows: PublishRow[] = [];
  for (const shape of shapes) {
    const clash = rows.some(
      (r) => r.hostIp === shape.hostIp && r.hostPort <= shape.hostPortEnd && shape.hostPort <= r.hostPortEnd,
    );
    if (!clash) rows.push(row(firstId + rows.length, shape.hostPort, shape));
  }
  return rows;
}
