// SPDX-License-Identifier: Apache-2.0
/** Services in the kernel's maps, written by the reconciler's operations and read back by bpftool. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FlowFilter } from '../../src/api/sources.js';
import { systemClock } from '../../src/base/clock.js';
import type { BackendRow, ServiceRow } from '../../src/cnm/rows.js';
import { KernelConntrack } from '../../src/daemon/conntrack.js';
import { TableFills } from '../../src/daemon/fills.js';
import { kernelClock } from '../../src/daemon/kernel-clock.js';
import { ServiceFigures } from '../../src/daemon/service-figures.js';
import { backend_state, flow_action, flow_flag } from '../../src/maps/generated/enums.js';
import { bpfNative } from '../../src/native/bpf.js';
import { PUBLISH_ALLOW_SERVICE } from '../../src/reconcile/ops/allow.js';
import { ServiceOps } from '../../src/reconcile/ops/service.js';
import { SERVICE_RENDEZVOUS } from '../../src/reconcile/service/choice.js';
import { hashName } from '../../src/reconcile/service/hash.js';
import { Tables } from '../../src/reconcile/tables.js';
import { TestDataplane } from '../support/dataplane.js';

const FLOW = {
  dport: 8080,
  addr_delta: 0,
  port_delta: 0,
  endpoint: 0,
  generation: 0,
  ifindex: 0,
  mac: '00:00:00:00:00:00',
  action: flow_action.FLOW_TO_ENDPOINT,
  seen: 0,
  opened: 0,
  state: 0,
  mtu: 0,
  saddr: '10.64.0.5',
  daddr: '10.64.9.9',
  nexthop: '0.0.0.0',
};

let d: TestDataplane;
let ops: ServiceOps;
beforeEach(async () => {
  d = await TestDataplane.load();
  ops = start();
});
afterEach(() => d.close());

function start(): ServiceOps {
  const { maps } = d;
  const sizes = {
    slots: maps.service_slots.capacity,
    table: maps.service_table.capacity,
    backends: maps.service_backends.capacity,
    endpoints: maps.backend_endpoints.capacity,
  };
  return new ServiceOps(maps, { sizes, clock: systemClock() });
}

type MapName = keyof TestDataplane['maps'];
const idOf = (map: MapName): string => String(bpfNative().bpfMapInfo(d.maps[map].fd).id);

function bpftool(...args: string[]): unknown {
  return JSON.parse(execFileSync('bpftool', ['-j', ...args], { encoding: 'utf8', maxBuffer: 1 << 26 }));
}

/** With the fields that BTF names. */
function lookup(map: MapName, key: Buffer): Record<string, unknown> {
  const bytes = [...key].map((b) => `0x${b.toString(16)}`);
  const { formatted } = bpftool('map', 'lookup', 'id', idOf(map), 'key', ...bytes) as {
    formatted: { value: Record<string, unknown> };
  };
  return formatted.value;
}

function dump(map: MapName): unknown[] {
  return bpftool('map', 'dump', 'id', idOf(map)) as unknown[];
}

function index(n: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(n);
  return key;
}

function key4(address: string, port: number, protocol: number): Buffer {
  return Buffer.from([...address.split('.').map(Number), port >> 8, port & 255, protocol, 0]);
}

function backends(first: number, count: number): BackendRow[] {
  return Array.from({ length: count }, (_, i) => ({
    id: first + i,
    name: `box${first + i}`,
    slot: 1 + ((first + i) % 1000),
    generation: 3,
    weight: 1 + (i % 2),
    state: 'active',
  }));
}

function service(number: number, own: BackendRow[], more: Partial<ServiceRow> = {}): ServiceRow {
  return {
    kind: 'service',
    number,
    net: 4,
    vip4: `10.64.${number >> 8}.${number & 255}`,
    vip6: null,
    ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
    algorithm: 'random',
    affinity: null,
    idleTimeout: null,
    allow: [],
    backends: own,
    ...more,
  };
}

/** bpftool tells a big-endian field as the bytes lie. */
const swapped = (port: number): number => ((port & 255) << 8) | (port >> 8);

describe('services in the maps', () => {
  it('are there as the rows say, in both families', async () => {
    const row = service(300, backends(1, 3), {
      vip6: 'fd00:64::300',
      affinity: 600,
      idleTimeout: 45,
      algorithm: 'maglev',
      allow: ['192.0.2.0/24'],
    });
    await ops.update(row, []);
    const port = lookup('services4', key4('10.64.1.44', 80, 6));
    expect(port).toMatchObject({
      service: 300,
      net: 4,
      count: 3,
      weights: 4,
      places: 0,
      affinity: 600,
      port: swapped(8080),
      flags: 3,
    });
    const key6 = Buffer.concat([
      Buffer.from('fd000064000000000000000000000300', 'hex'),
      Buffer.from([0, 80, 6, 0]),
    ]);
    expect(lookup('services6', key6)).toEqual(port);
    expect(lookup('services4', key4('10.64.1.44', 0, 0))).toMatchObject({ service: 300, net: 4, count: 0 });
    const slots = [0, 1, 2].map((i) => lookup('service_slots', index((port.slots as number) + i)));
    expect(slots).toMatchObject(
      row.backends.map(({ id, name, weight }) => ({ backend: id, seed: hashName(name, 0), weight })),
    );
    expect(lookup('service_backends', index(2))).toEqual({
      endpoint: 3,
      generation: 3,
      service: 300,
      idle: 45,
      state: backend_state.BACKEND_ACTIVE,
    });
    expect(dump('publish_allow')).toHaveLength(1);
    await ops.delete(row);
    expect([dump('services4'), dump('services6'), dump('publish_allow')]).toEqual([[], [], []]);
    expect(lookup('service_backends', index(2))).toMatchObject({ state: backend_state.BACKEND_NONE });
  });

  it('hold every place of a large table, adopt it as it is and replace it beside itself', async () => {
    const own = backends(1, 100);
    const row = service(1, own);
    await ops.update(row, []);
    const places = (): number[] => {
      const { table, places: count } = lookup('services4', key4(row.vip4, 80, 6)) as Record<string, number>;
      const from = (table as number) / 4;
      return Array.from({ length: Math.ceil((count as number) / 4) }, (_, i) => i).flatMap((i) =>
        d.maps.service_table.slice(from + i, 1).flatMap(({ slot }) => slot),
      );
    };
    const table = places();
    expect(table).toHaveLength(32_752);
    // read once more by bpftool, which knows nothing of ours
    expect(lookup('service_table', index(0))).toEqual({ slot: table.slice(0, 4) });
    expect(lookup('service_table', index(4094))).toEqual({ slot: table.slice(4094 * 4, 4095 * 4) });
    const counts = own.map(() => 0);
    for (const slot of table.slice(0, 32_749)) counts[slot] = (counts[slot] as number) + 1;
    // by name, as the slots are
    const weights = [...own].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ weight }) => weight);
    counts.forEach((count, i) => {
      expect(Math.abs(count - ((weights[i] as number) * 32_749) / 150)).toBeLessThanOrEqual(2);
    });

    ops = start();
    ops.expect(row);
    const view = await ops.read();
    expect(view.holds(row)).toBe(true);
    expect(view.strays(() => true)).toEqual([]);
    const before = lookup('services4', key4(row.vip4, 80, 6)) as Record<string, number>;
    const fewer = service(1, own.slice(1));
    await ops.update(fewer, [row]);
    const after = lookup('services4', key4(row.vip4, 80, 6)) as Record<string, number>;
    expect(after).toMatchObject({ count: 99, slots: 100, table: 32_752 });
    expect(before).toMatchObject({ count: 100, slots: 0, table: 0 });
    expect(lookup('service_table', index(0))).toEqual({ slot: table.slice(0, 4) });
    expect((await ops.read()).holds(fewer)).toBe(true);
  });

  it('repair what the kernel has lost, and prune what nobody wants', async () => {
    const [row, other] = [service(1, backends(1, 2)), service(2, backends(11, 2))];
    await ops.update(row, []);
    await ops.update(other, []);
    d.maps.services4.delete({ addr: row.vip4, port: 80, protocol: 6 });
    ops = start();
    ops.expect(row);
    const view = await ops.read();
    expect(view.holds(row)).toBe(false);
    await ops.update(row, []);
    for (const stray of view.strays((key) => key === '1')) await stray.remove();
    expect(dump('services4')).toHaveLength(2);
    expect(lookup('service_backends', index(11))).toMatchObject({ service: 2, state: 0 });
    expect(lookup('service_backends', index(1))).toMatchObject({ service: 1, state: 1 });
    expect((await ops.read()).strays((key) => key === '1')).toEqual([]);
  });

  it('clear the figures of an id that goes to another backend, on every CPU', async () => {
    const row = service(1, backends(1, 2));
    await ops.update(row, []);
    d.maps.backend_load.set(2, { picks: 5n, flows: 4n, sockets: 3n, active: 2, counted: 1 });
    const cpus = bpfNative().bpfPossibleCpus();
    const value = Buffer.alloc(16 * cpus, 7);
    bpfNative().bpfMapUpdate(d.maps.backend_traffic.fd, index(2), value, 0);
    await ops.update(row, []);
    expect(lookup('backend_load', index(2))).toMatchObject({ picks: 5, active: 2 });
    await ops.delete(row);
    await ops.update(
      service(
        2,
        backends(2, 1).map((b) => ({ ...b, generation: 9 })),
      ),
      [],
    );
    expect(lookup('backend_load', index(2))).toMatchObject({ picks: 0, flows: 0, sockets: 0, active: 0 });
    expect(d.maps.backend_traffic.getPerCpu(2)).toEqual(
      Array.from({ length: cpus }, () => ({ packets: 0n, bytes: 0n })),
    );
  });

  it('tell what a service got, and show its flows with it', async () => {
    const row = service(7, backends(1, 2));
    await ops.update(row, []);
    const tables = new Tables();
    const [first] = row.backends as [BackendRow];
    tables.replace({ kind: 'service', id: 's' }, [row]);
    tables.replace({ kind: 'endpoint', id: 'e' }, [
      {
        kind: 'dp-endpoint',
        slot: first.slot,
        generation: first.generation,
        net: 4,
        member: 1,
        sandbox: 1,
        mac: '02:00:00:00:00:01',
        ipv4: '10.64.9.9',
        ipv6: null,
        link: 'x',
        maxFlows: null,
        newFlowsPerSecond: null,
      },
    ]);
    const cpus = bpfNative().bpfPossibleCpus();
    const traffic = Buffer.alloc(16 * cpus);
    for (let cpu = 0; cpu < cpus; cpu++) {
      traffic.writeBigUInt64LE(2n, 16 * cpu);
      traffic.writeBigUInt64LE(300n, 16 * cpu + 8);
    }
    bpfNative().bpfMapUpdate(d.maps.backend_traffic.fd, index(1), traffic, 0);
    d.maps.backend_load.set(1, { picks: 5n, flows: 4n, sockets: 3n, active: 2, counted: 1 });
    d.maps.service_refusals.set(7, { count: [6n, 0n, 1n] });
    const figures = new ServiceFigures(d.maps, tables);
    const own = { picks: 5, flows: 4, sockets: 3, packets: 2 * cpus, bytes: 300 * cpus, active: 2 };
    expect(figures.of('s')).toEqual({
      total: own,
      refused: { no_backend: 6, port: 0, source: 1 },
      backends: new Map([['e', own]]),
    });
    expect(await figures.totals()).toMatchObject([
      {
        id: 's',
        counted: { active: { connections: 7, packets: 2 * cpus, bytes: 300 * cpus } },
        active: { active: 2 },
      },
    ]);
    figures.left(7, [1]);
    expect(lookup('backend_load', index(1))).toMatchObject({ picks: 0, active: 0 });
    expect(figures.of('s')?.total).toEqual({ ...own, active: 0 });

    for (const [sport, flags, publish] of [
      [1000, flow_flag.FLOW_SERVICE | flow_flag.FLOW_AT_ENDPOINT, 1],
      [1001, flow_flag.FLOW_PUBLISHED, 1],
    ] as const) {
      d.maps.flows4.set(
        { sport, dport: 80, protocol: 6, saddr: '10.64.0.5', daddr: row.vip4 },
        { ...FLOW, sport, flags, publish },
      );
    }
    const fills = new TableFills(d.maps, () => ops.used);
    const conntrack = new KernelConntrack({ maps: d.maps, tables, fills, time: kernelClock() });
    const told = async (filter: FlowFilter) => {
      const flows: unknown[] = [];
      for await (const { sourcePort, direction, service: of, backend } of conntrack.flows(filter))
        flows.push([sourcePort, direction, of, backend]);
      return flows.sort();
    };
    expect(await told({})).toEqual([
      [1000, 'local', 's', 'e'],
      [1001, 'inbound', null, null],
    ]);
    expect(await told({ service: 's' })).toEqual([[1000, 'local', 's', 'e']]);
    expect(await told({ service: 't' })).toEqual([]);
    expect(await conntrack.flush({ service: 's' })).toBe(1);
    expect(await told({})).toEqual([[1001, 'inbound', null, null]]);
    const fill = Object.fromEntries((await fills.all()).map(({ map, entries }) => [map, entries]));
    expect(fill).toMatchObject({ services4: 2, service_slots: 2, service_backends: 2, backend_endpoints: 2 });
  });

  it('use the numbers that the programs are compiled with', () => {
    const header = (name: string): string => readFileSync(`bpf/maps/${name}.h`, 'utf8');
    expect(header('service')).toContain(`#define SERVICE_RENDEZVOUS   ${SERVICE_RENDEZVOUS} `);
    expect(header('publish')).toContain(
      `#define PUBLISH_ALLOW_SERVICE 0x${PUBLISH_ALLOW_SERVICE.toString(16)}`,
    );
  });
});
