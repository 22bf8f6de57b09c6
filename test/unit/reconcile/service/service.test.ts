// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BackendRow, ServiceRow } from '../../../../src/cnm/rows.js';
import { backend_state, service_flag } from '../../../../src/maps/generated/enums.js';
import type { ServicePortValue } from '../../../../src/reconcile/kernel.js';
import { PUBLISH_ALLOW_SERVICE } from '../../../../src/reconcile/ops/allow.js';
import { PublishOps } from '../../../../src/reconcile/ops/publish.js';
import { ServiceOps, type ServiceOpsOptions } from '../../../../src/reconcile/ops/service.js';
import { maglevTable } from '../../../../src/reconcile/service/maglev.js';
import { REST_MS } from '../../../../src/reconcile/service/regions.js';
import { ManualClock } from '../../support/clock.js';
import { FakeMap } from '../fake-maps.js';
import { FakeServiceMaps } from './fake-service-maps.js';
import { backend, backends, service } from './rows.js';

const SIZES = { slots: 4096, table: 16_384, backends: 256, endpoints: 256 };

class Bed {
  readonly maps = new FakeServiceMaps();
  readonly clock = new ManualClock();
  readonly left: [number, readonly number[]][] = [];
  readonly removed: number[] = [];
  ops: ServiceOps;
  readonly #options: ServiceOpsOptions;

  constructor(sizes: Partial<typeof SIZES> = {}) {
    this.#options = {
      sizes: { ...SIZES, ...sizes },
      clock: this.clock,
      onLeft: (number, ids) => this.left.push([number, ids]),
      onRemoved: (number) => this.removed.push(number),
    };
    this.ops = new ServiceOps(this.maps, this.#options);
  }

  /** As a daemon does that starts: what it wants, and then what there is. */
  async restart(wanted: readonly ServiceRow[]) {
    this.ops = new ServiceOps(this.maps, this.#options);
    for (const row of wanted) this.ops.expect(row);
    return this.ops.read();
  }

  port(row: ServiceRow, port = row.ports[0]?.port ?? 0, protocol = 6): ServicePortValue | undefined {
    return this.maps.services4.get({ addr: row.vip4, port, protocol });
  }

  /** Backends that the port leads to, with their weights. */
  chosen(row: ServiceRow): [number, number][] {
    const { slots, count } = this.port(row) as ServicePortValue;
    return this.maps.service_slots
      .slice(slots, count)
      .map(({ backend: id, weight }): [number, number] => [id, weight])
      .sort(([a], [b]) => a - b);
  }

  table(row: ServiceRow): number[] {
    const { table, places } = this.port(row) as ServicePortValue;
    const groups = this.maps.service_table.slice(table / 4, Math.ceil(places / 4));
    return groups.flatMap(({ slot }) => slot).slice(0, places);
  }
}

/** Everything that the maps must hold for these rows, worked out from nothing but the rows. */
function check(bed: Bed, rows: readonly ServiceRow[]): void {
  const { maps } = bed;
  const ports = new Set<string>();
  const allowed = new Set<string>();
  for (const row of rows) {
    const active = row.backends.filter(({ state, weight }) => state === 'active' && weight > 0);
    expect(bed.chosen(row)).toEqual(
      active.map(({ id, weight }): [number, number] => [id, weight]).sort(([a], [b]) => a - b),
    );
    const value = bed.port(row) as ServicePortValue;
    expect(value).toMatchObject({
      service: row.number,
      net: row.net,
      count: active.length,
      weights: active.reduce((sum, { weight }) => sum + weight, 0),
      affinity: row.affinity ?? 0,
    });
    expect(value.places > 0).toBe(active.length > 32);
    for (const [map, addr] of [
      [maps.services4, row.vip4],
      [maps.services6, row.vip6],
    ] as const) {
      if (addr === null) continue;
      const all = [...row.ports, { port: 0, backendPort: 0, protocol: null }];
      for (const { port, backendPort, protocol } of all) {
        const key = {
          addr,
          port,
          protocol: protocol === null ? 0 : { tcp: 6, udp: 17, sctp: 132 }[protocol],
        };
        ports.add(JSON.stringify(key));
        const have = map.get(key);
        expect(have).toMatchObject({ service: row.number, net: row.net, port: backendPort });
        if (protocol === null) expect(have).toMatchObject({ count: 0, slots: 0, places: 0 });
        else expect({ ...have, port: 0 }).toEqual({ ...value, port: 0 });
      }
    }
    for (const b of row.backends) {
      const state = active.includes(b) ? backend_state.BACKEND_ACTIVE : backend_state.BACKEND_DRAINING;
      expect(maps.service_backends.get(b.id)).toEqual({
        endpoint: b.slot,
        generation: b.generation,
        service: row.number,
        idle: row.idleTimeout ?? 0,
        state,
      });
      expect(maps.backend_endpoints.get(b.slot)).toBe(b.generation);
    }
    for (const source of row.allow) allowed.add(`${PUBLISH_ALLOW_SERVICE + row.number} ${source}`);
  }
  expect(new Set([...maps.services4.dump().keys(), ...maps.services6.dump().keys()])).toEqual(ports);
  expect(maps.publish_allow.dump().size).toBe(allowed.size);
  const ids = new Set(rows.flatMap((row) => row.backends.map(({ id }) => String(id))));
  for (const [id, { state }] of maps.service_backends.dump())
    if (!ids.has(id)) expect(state).toBe(backend_state.BACKEND_NONE);
}

async function learnt(bed: Bed): Promise<void> {
  await bed.ops.read();
}

describe('service', () => {
  it('writes backends, what endpoints they are, slots, and ports last; and removes in reverse', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 40), { allow: ['192.0.2.0/24'], vip6: 'fd00::9' });
    bed.ops.update(row, []);
    expect(bed.maps.journal).toEqual([
      'service_backends',
      'backend_endpoints',
      'service_slots',
      'service_table',
      'publish_allow',
      'services4',
      'services6',
    ]);
    check(bed, [row]);
    bed.maps.journal = [];
    bed.ops.delete(row);
    expect(bed.maps.journal).toEqual(['services4', 'services6', 'publish_allow', 'service_backends']);
    check(bed, []);
    expect(bed.removed).toEqual([1]);
  });

  it('tells the programs how the service chooses, whom it is for and how long a client keeps a backend', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 2), {
      algorithm: 'maglev',
      allow: ['192.0.2.0/24', '2001:db8::/32'],
      affinity: 600,
      idleTimeout: 30,
      ports: [
        { port: 80, backendPort: 8080, protocol: 'tcp' },
        { port: 53, backendPort: 5353, protocol: 'udp' },
        { port: 9, backendPort: 9, protocol: 'sctp' },
      ],
    });
    bed.ops.update(row, []);
    check(bed, [row]);
    expect(bed.port(row)).toMatchObject({
      flags: service_flag.SERVICE_BY_FLOW | service_flag.SERVICE_LIMITED,
      affinity: 600,
    });
    expect([
      bed.maps.publish_allow.get({
        prefix_length: 32 + 96 + 24,
        publish: 0x80000001,
        source: '::ffff:c000:200',
      }),
      bed.maps.publish_allow.get({ prefix_length: 32 + 32, publish: 0x80000001, source: '2001:db8::' }),
    ]).toEqual([1, 1]);
  });

  it('gives draining and weightless backends no slot, and refuses with none', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, [
      backend(1, { weight: 5 }),
      backend(2, { state: 'draining' }),
      backend(3, { weight: 0 }),
    ]);
    bed.ops.update(row, []);
    check(bed, [row]);
    const none = service(1, row.backends.slice(1));
    bed.ops.update(none, [row]);
    check(bed, [none]);
    expect(bed.port(none)).toMatchObject({ count: 0, slots: 0 });
    expect(bed.left).toEqual([[1, [1]]]);
  });

  it('has a table above 32 backends, the same whatever order they come in', async () => {
    const bed = new Bed();
    await learnt(bed);
    const own = backends(1, 50).map((b, i) => ({ ...b, weight: 1 + (i % 3) }));
    const [a, b] = [
      service(1, own),
      service(
        2,
        [...own].reverse().map((x) => ({ ...x, id: x.id + 100 })),
      ),
    ];
    bed.ops.update(a, []);
    bed.ops.update(b, []);
    expect(bed.table(a)).toEqual(bed.table(b));
    const named = [...own].sort((x, y) => (x.name < y.name ? -1 : 1));
    expect(bed.table(a)).toEqual([...maglevTable(named)]);
    check(bed, [a, b]);
  });

  it('writes another choice beside the old one, which stays as it was until it has rested', async () => {
    const bed = new Bed({ slots: 12, table: 0 });
    await learnt(bed);
    const rows = [
      service(1, backends(1, 4)),
      service(1, backends(1, 5)),
      service(1, backends(1, 3)),
    ] as const;
    bed.ops.update(rows[0], []);
    const first = bed.port(rows[0]) as ServicePortValue;
    const slots = () => bed.maps.service_slots.slice(first.slots, first.count).map(({ backend: id }) => id);
    bed.ops.update(rows[1], [rows[0]]);
    expect(slots()).toEqual([1, 2, 3, 4]);
    check(bed, [rows[1]]);
    bed.ops.update(rows[2], [rows[1]]);
    expect(slots()).toEqual([1, 2, 3, 4]);
    check(bed, [rows[2]]);
    bed.clock.advance(REST_MS);
    bed.ops.update(rows[0], [rows[2]]);
    expect(bed.port(rows[0])?.slots).toBe(0);
  });

  it('waits for room while something rests, and says that the table is full when nothing does', async () => {
    const bed = new Bed({ slots: 8, table: 0 });
    await learnt(bed);
    const [a, b] = [service(1, backends(1, 5)), service(1, backends(1, 6))];
    bed.ops.update(a, []);
    const full = expect.objectContaining({ code: 'table_full', hint: expect.stringContaining('remove') });
    expect(() => bed.ops.update(service(2, backends(20, 5)), [])).toThrowError(full);
    bed.ops.update(service(1, backends(1, 3)), [a]);
    const waiting = bed.ops.update(b, [a]) as Promise<void>;
    expect(waiting).toBeInstanceOf(Promise);
    expect(bed.port(b)?.count).toBe(3);
    bed.clock.advance(REST_MS);
    await expect(waiting).rejects.toThrowError(full);
    bed.ops.update(service(1, backends(1, 5)), [b]);
    expect(bed.port(b)?.count).toBe(5);
  });

  it('says so when the kernel has no room for another port', async () => {
    const bed = new Bed();
    await learnt(bed);
    const native = { kind: 'native', errno: 7, syscall: 'BPF_MAP_UPDATE_BATCH', log: '' };
    bed.maps.services4.setBatch = () => {
      throw Object.assign(new Error('E2BIG'), native, { code: 'E2BIG' });
    };
    const row = service(1, backends(1, 2));
    expect(() => bed.ops.update(row, [])).toThrowError(expect.objectContaining({ code: 'table_full' }));
    mend(bed);
    bed.ops.update(row, []);
    check(bed, [row]);
    expect(bed.ops.used.service_slots).toBe(2);
  });

  it('rewrites only what changed, and nothing of another service', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 40));
    const other = service(2, backends(101, 2));
    bed.ops.update(row, []);
    bed.ops.update(other, []);
    const place = bed.port(row) as ServicePortValue;
    const written = (next: ServiceRow, was: ServiceRow): string[] => {
      bed.maps.journal = [];
      bed.ops.update(next, [was]);
      return bed.maps.journal;
    };
    const clinging = { ...row, affinity: 60 };
    expect(written(clinging, row)).toEqual(['services4']);
    expect(bed.port(row)).toEqual({ ...place, affinity: 60 });
    const idle = { ...clinging, idleTimeout: 9 };
    expect(written(idle, clinging)).toEqual(['service_backends']);
    const limited = { ...idle, allow: ['192.0.2.0/24'] };
    expect(written(limited, idle)).toEqual(['publish_allow', 'services4']);
    const shuffled = { ...limited, backends: [...limited.backends].reverse() };
    expect(written(shuffled, limited)).toEqual([]);
    const more = {
      ...shuffled,
      ports: [...row.ports, { port: 81, backendPort: 81, protocol: 'tcp' as const }],
    };
    expect(written(more, shuffled)).toEqual(['services4']);
    const drained = {
      ...more,
      backends: more.backends.map((b) => (b.id === 7 ? { ...b, state: 'draining' as const } : b)),
    };
    expect(written(drained, more)).toEqual([
      'service_backends',
      'service_slots',
      'service_table',
      'services4',
    ]);
    const moved = { ...drained, vip4: '10.65.0.1' };
    expect(written(moved, drained)).toEqual(['services4']);
    check(bed, [moved, other]);
  });

  it('marks an endpoint that is a backend, for as long as it is there', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, [backend(1, { slot: 9, generation: 5 })]);
    bed.ops.update(row, []);
    bed.ops.delete(row);
    expect(bed.maps.backend_endpoints.get(9)).toBe(5);
    bed.ops.update(service(2, [backend(2, { slot: 9, generation: 6 })]), []);
    expect(bed.maps.backend_endpoints.get(9)).toBe(6);
  });

  it('refuses an address that another service has, and changes nothing', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 2));
    bed.ops.update(row, []);
    expect(() => bed.ops.update(service(2, backends(5, 1), { vip4: row.vip4 }), [])).toThrowError(
      expect.objectContaining({ code: 'address_taken' }),
    );
    check(bed, [row]);
    bed.ops.delete(row);
    const heir = service(2, backends(5, 1), { vip4: row.vip4 });
    bed.ops.update(heir, []);
    bed.ops.delete(row);
    check(bed, [heir]);
  });

  it('adopts what is there after a restart without a write, and knows where everything is', async () => {
    const bed = new Bed({ slots: 120, table: 2200 });
    await learnt(bed);
    const rows = [service(1, backends(1, 3)), service(2, backends(11, 40)), service(3, [])] as const;
    for (const row of rows) bed.ops.update(row, []);
    bed.maps.journal = [];
    const view = await bed.restart(rows);
    expect(rows.map((row) => view.holds(row))).toEqual([true, true, true]);
    expect(view.strays(() => true)).toEqual([]);
    expect(bed.maps.journal).toEqual([]);
    expect(bed.ops.used).toEqual({
      service_slots: 43,
      service_table: Math.ceil(8191 / 4),
      service_backends: 43,
      backend_endpoints: 43,
    });
    const more = service(1, backends(1, 4));
    bed.ops.update(more, [rows[0]]);
    check(bed, [more, ...rows.slice(1)]);
  });

  it.each([
    [
      'a port',
      (bed: Bed, row: ServiceRow) => bed.maps.services4.delete({ addr: row.vip4, port: 80, protocol: 6 }),
    ],
    [
      'the address',
      (bed: Bed, row: ServiceRow) => bed.maps.services4.delete({ addr: row.vip4, port: 0, protocol: 0 }),
    ],
    [
      'a slot',
      (bed: Bed, row: ServiceRow) =>
        bed.maps.service_slots.set((bed.port(row) as ServicePortValue).slots + 1, {
          backend: 0,
          seed: 0,
          weight: 0,
        }),
    ],
    [
      'a place',
      (bed: Bed, row: ServiceRow) =>
        bed.maps.service_table.set((bed.port(row) as ServicePortValue).table / 4 + 9, {
          slot: [0, 0, 0, 99],
        }),
    ],
    [
      'a backend',
      (bed: Bed) =>
        bed.maps.service_backends.set(3, { endpoint: 0, generation: 0, service: 0, idle: 0, state: 0 }),
    ],
    ['the mark of an endpoint', (bed: Bed) => bed.maps.backend_endpoints.set(103, 0)],
    [
      'a source',
      (bed: Bed) =>
        [...bed.maps.publish_allow.dump().keys()].map((k) => bed.maps.publish_allow.delete(JSON.parse(k))),
    ],
  ])('notices that %s is lost, and repairs it', async (_, lose) => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 40), { allow: ['192.0.2.0/24'] });
    bed.ops.update(row, []);
    expect((await bed.ops.read()).holds(row)).toBe(true);
    lose(bed, row);
    expect((await bed.ops.read()).holds(row)).toBe(false);
    bed.ops.update(row, []);
    check(bed, [row]);
    expect((await bed.ops.read()).holds(row)).toBe(true);
  });

  it('clears the figures of an id that goes to another backend, and only then', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 2));
    bed.ops.update(row, []);
    for (const id of [1, 2]) {
      bed.maps.backend_load.set(id, 5);
      bed.maps.backend_traffic.set(id, 6);
    }
    bed.maps.service_refusals.set(1, 3);
    (await bed.restart([row])).holds(row);
    bed.ops.update({ ...row, idleTimeout: 5 }, [row]);
    expect([
      bed.maps.backend_load.get(1),
      bed.maps.backend_traffic.get(2),
      bed.maps.service_refusals.get(1),
    ]).toEqual([5, 6, 3]);
    bed.ops.delete({ ...row, idleTimeout: 5 });
    expect(bed.maps.backend_load.get(1)).toBe(5);
    // another process, another holder
    await bed.restart([]);
    bed.ops.update(service(1, [backend(1, { generation: 8 })]), []);
    expect([
      bed.maps.backend_load.get(1),
      bed.maps.backend_traffic.get(1),
      bed.maps.service_refusals.get(1),
    ]).toEqual([0, 0, 0]);
    expect(bed.maps.backend_load.get(2)).toBe(5);
  });

  it('begins to count refusals anew for who gets the number of another', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(1, backends(1, 1));
    bed.ops.update(row, []);
    bed.maps.service_refusals.set(1, 3);
    bed.ops.update({ ...row, idleTimeout: 5 }, [row]);
    expect(bed.maps.service_refusals.get(1)).toBe(3);
    bed.ops.delete(row);
    bed.ops.update(service(1, backends(5, 1)), []);
    expect(bed.maps.service_refusals.get(1)).toBe(0);
  });

  it('leaves the allowed sources of publishes alone, and they those of services', async () => {
    const bed = new Bed();
    await learnt(bed);
    const row = service(5, backends(1, 1), { allow: ['192.0.2.0/24'] });
    bed.ops.update(row, []);
    const publishes = new PublishOps({
      publishes: new FakeMap(),
      port_slots: new FakeMap(0),
      publish_addr4: new FakeMap(),
      publish_addr6: new FakeMap(),
      publish_allow: bed.maps.publish_allow,
    });
    const theirs = { prefix_length: 32 + 96 + 24, publish: 5, source: '::ffff:c000:200' };
    bed.maps.publish_allow.set(theirs, 1);
    expect((await bed.ops.read()).strays(() => true)).toEqual([]);
    for (const stray of (await publishes.read()).strays(() => true)) await stray.remove();
    expect(bed.maps.publish_allow.get(theirs)).toBeUndefined();
    check(bed, [row]);
  });

  it('holds what rows want after any changes, failures and restarts, and prunes the rest', async () => {
    const backendsOf = (number: number) =>
      fc
        .array(
          fc.record({
            at: fc.integer({ min: 0, max: 5 }),
            weight: fc.integer({ min: 0, max: 3 }),
            state: fc.constantFrom<BackendRow['state']>('active', 'draining'),
          }),
          { maxLength: 6 },
        )
        .map((list) => {
          const once = new Map(list.map((b) => [b.at, b]));
          return [...once.values()].map(({ at, ...rest }) =>
            backend(number * 10 + at, { ...rest, slot: 100 + at }),
          );
        });
    const rowOf = (number: number) =>
      fc
        .record({
          own: backendsOf(number),
          ports: fc.uniqueArray(fc.integer({ min: 80, max: 83 }), { minLength: 1, maxLength: 3 }),
          vip6: fc.boolean(),
          affinity: fc.constantFrom(null, 60),
          allow: fc.constantFrom<string[]>([], ['192.0.2.0/24'], ['2001:db8::/32', '198.51.100.1/32']),
        })
        .map(({ own, ports, vip6, affinity, allow }) =>
          service(number, own, {
            ports: ports.map((port) => ({ port, backendPort: port + 8000, protocol: 'tcp' })),
            vip6: vip6 ? `fd00::${number}` : null,
            affinity,
            allow,
          }),
        );
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.integer({ min: 1, max: 3 }).chain((n) => rowOf(n).map((row) => ({ update: row }))),
      },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 3 }).map((n) => ({ remove: n })) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }).map((n) => ({ forget: n })) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }).map((calls) => ({ fail: calls })) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const bed = new Bed({ slots: 64, table: 0 });
        await learnt(bed);
        const wanted = new Map<number, ServiceRow>();
        const was = new Map<number, ServiceRow[]>();
        for (const s of steps) {
          bed.clock.advance(REST_MS);
          if ('fail' in s) {
            breakAfter(bed, s.fail);
          } else if ('update' in s) {
            const { number } = s.update;
            const before = [
              ...(was.get(number) ?? []),
              ...(wanted.has(number) ? [wanted.get(number) as ServiceRow] : []),
            ];
            wanted.set(number, s.update);
            try {
              await bed.ops.update(s.update, before);
              was.delete(number);
            } catch {
              was.set(number, before);
            }
          } else if ('remove' in s) {
            const row = wanted.get(s.remove);
            if (row === undefined) continue;
            mend(bed);
            for (const old of [...(was.get(s.remove) ?? []), row]) await bed.ops.delete(old);
            wanted.delete(s.remove);
            was.delete(s.remove);
          } else {
            // the daemon is killed, and what the service was is not known to the next one
            mend(bed);
            wanted.delete(s.forget);
            was.clear();
            const rows = [...wanted.values()];
            const view = await bed.restart(rows);
            for (const row of rows) if (!view.holds(row)) await bed.ops.update(row, []);
            for (const stray of view.strays((key) => wanted.has(Number(key)))) await stray.remove();
            check(bed, rows);
            expect((await bed.ops.read()).strays((key) => wanted.has(Number(key)))).toEqual([]);
          }
        }
        mend(bed);
        for (const [number, row] of wanted) await bed.ops.update(row, was.get(number) ?? []);
        check(bed, [...wanted.values()]);
        const view = await bed.ops.read();
        expect([...wanted.values()].every((row) => view.holds(row))).toBe(true);
        expect(view.strays((key) => wanted.has(Number(key)))).toEqual([]);
        for (const row of wanted.values()) await bed.ops.delete(row);
        check(bed, []);
      }),
      { numRuns: 150 },
    );
  });
});

/** The map of ports takes so many more batches and then none. */
function breakAfter(bed: Bed, batches: number): void {
  let left = batches;
  const { services4 } = bed.maps;
  services4.setBatch = (pairs) => {
    if (left-- <= 0) throw new Error('no more');
    FakeMap.prototype.setBatch.call(services4, pairs as never);
  };
}

function mend(bed: Bed): void {
  Reflect.deleteProperty(bed.maps.services4, 'setBatch');
}
