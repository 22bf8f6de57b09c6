// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { BackendRow, Owner, ServiceRow } from '../../../src/cnm/rows.js';
import { ServiceFigures } from '../../../src/daemon/service-figures.js';
import type { BackendLoad, BackendTraffic } from '../../../src/maps/generated/types.js';
import { Tables } from '../../../src/reconcile/tables.js';
import { FakeMap } from '../reconcile/fake-maps.js';
import { backend, service } from '../reconcile/service/rows.js';

const NO_LOAD: BackendLoad = { picks: 0n, flows: 0n, sockets: 0n, active: 0, counted: 0 };

/** Two CPUs. */
class FakeTraffic extends FakeMap<number, BackendTraffic[]> {
  constructor() {
    super([0, 1].map(() => ({ packets: 0n, bytes: 0n })));
  }
  getPerCpu(id: number): BackendTraffic[] {
    return this.get(id) ?? [];
  }
  slicePerCpu(first: number, count: number): BackendTraffic[][] {
    return this.slice(first, count);
  }
}

const owner = (id: string): Owner => ({ kind: 'service', id });
let maps: {
  backend_load: FakeMap<number, BackendLoad>;
  backend_traffic: FakeTraffic;
  service_refusals: FakeMap<number, { count: bigint[] }>;
};
let tables: Tables;
let figures: ServiceFigures;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  maps = {
    backend_load: new FakeMap(NO_LOAD),
    backend_traffic: new FakeTraffic(),
    service_refusals: new FakeMap({ count: [0n, 0n, 0n] }),
  };
  tables = new Tables();
  figures = new ServiceFigures(maps as never, tables);
  return () => vi.useRealTimers();
});

function want(id: string, row: ServiceRow): void {
  tables.replace(owner(id), [row]);
  // a look at the figures holds for a while
  vi.advanceTimersByTime(10_000);
}

/** So many of each. */
function count(id: number, n: number): void {
  maps.backend_load.set(id, {
    picks: BigInt(n),
    flows: BigInt(n),
    sockets: BigInt(2 * n),
    active: n,
    counted: 0,
  });
  maps.backend_traffic.set(id, [
    { packets: BigInt(n), bytes: BigInt(100 * n) },
    { packets: BigInt(n), bytes: BigInt(100 * n) },
  ]);
  vi.advanceTimersByTime(10_000);
}

const endpoints = (backends: readonly BackendRow[]) =>
  backends.map((b) => ({
    kind: 'dp-endpoint' as const,
    slot: b.slot,
    generation: b.generation,
    net: 1,
    member: 1,
    sandbox: 1,
    mac: '02:00:00:00:00:01',
    ipv4: '10.64.0.2',
    ipv6: null,
    link: 'x',
    maxFlows: null,
    newFlowsPerSecond: null,
  }));

describe('figures of services', () => {
  it('are those of the backends by their endpoints, summed over CPUs, and of the service', () => {
    const own = [backend(1), backend(300)];
    tables.replace({ kind: 'endpoint', id: 'e1' }, endpoints(own.slice(0, 1)));
    want('s', service(9, own));
    count(1, 5);
    count(300, 7);
    maps.service_refusals.set(9, { count: [1n, 2n, 3n] });
    expect(figures.of('s')).toEqual({
      total: { picks: 12, flows: 12, sockets: 24, packets: 24, bytes: 2400, active: 12 },
      refused: { no_backend: 1, port: 2, source: 3 },
      backends: new Map([['e1', { picks: 5, flows: 5, sockets: 10, packets: 10, bytes: 1000, active: 5 }]]),
    });
    expect(figures.of('t')).toBeNull();
  });

  it('stay with the service when a backend leaves, and its id begins again', async () => {
    want('s', service(9, [backend(1), backend(2)]));
    count(1, 5);
    count(2, 3);
    figures.left(9, [1]);
    expect([maps.backend_load.get(1), maps.backend_traffic.get(1)]).toEqual([
      NO_LOAD,
      [0, 1].map(() => ({ packets: 0n, bytes: 0n })),
    ]);
    want('s', service(9, [backend(2)]));
    expect(figures.of('s')?.total).toMatchObject({ picks: 8, packets: 16, active: 3 });
    want('t', service(10, [backend(1)]));
    count(1, 2);
    expect(figures.of('t')?.total).toMatchObject({ picks: 2, active: 2 });
    expect(figures.of('s')?.total.picks).toBe(8);
    const totals = await figures.totals();
    expect(totals.map(({ id, picks }) => [id, picks])).toEqual([
      ['s', 8],
      ['t', 2],
    ]);
    figures.removed(9);
    expect(figures.of('s')?.total.picks).toBe(3);
  });

  it('were counted in the state that the backend was in, and never become less', async () => {
    want('s', service(9, [backend(1), backend(2)]));
    count(1, 5);
    count(2, 1);
    expect(await figures.totals()).toMatchObject([
      {
        id: 's',
        picks: 6,
        counted: { active: { connections: 18, packets: 12, bytes: 1200 }, draining: { connections: 0 } },
        active: { active: 6, draining: 0 },
      },
    ]);
    want('s', service(9, [backend(1, { state: 'draining' }), backend(2)]));
    count(1, 6);
    expect(await figures.totals()).toMatchObject([
      {
        counted: { active: { connections: 18, bytes: 1200 }, draining: { connections: 3, bytes: 200 } },
        active: { active: 1, draining: 6 },
      },
    ]);
    count(1, 7);
    figures.left(9, [1]);
    want('s', service(9, [backend(2)]));
    expect(await figures.totals()).toMatchObject([
      {
        picks: 8,
        counted: { active: { connections: 18 }, draining: { connections: 6, packets: 4 } },
        active: { active: 1, draining: 0 },
      },
    ]);
  });

  it('are looked at once for all metrics of a scrape', async () => {
    want('s', service(9, [backend(1)]));
    const first = figures.totals();
    expect(figures.totals()).toBe(first);
    vi.advanceTimersByTime(3_000);
    expect(figures.totals()).not.toBe(first);
    await first;
  });
});
