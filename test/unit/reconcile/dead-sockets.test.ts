// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import type { BackendRow, ServiceRow } from '../../../src/cnm/rows.js';
import { backend_state } from '../../../src/maps/generated/enums.js';
import { DeadSockets } from '../../../src/reconcile/dead-sockets.js';
import { ServiceSocketOps } from '../../../src/reconcile/ops/service-sockets.js';
import type { Ops } from '../../../src/reconcile/ops.js';
import { Tables } from '../../../src/reconcile/tables.js';
import { ManualClock } from '../support/clock.js';
import { FakeMap } from './fake-maps.js';

interface Key {
  cookie: bigint;
  addr: string;
  port: number;
}
interface Note {
  addr: string;
  port: number;
  backend: number;
  client: number;
}
const BOX = '/run/netns/box';

let maps: {
  socket_peers4: FakeMap<Key, Note>;
  socket_peers6: FakeMap<Key, Note>;
  service_backends: FakeMap<number, { endpoint: number; generation: number; state: number }>;
  endpoints: FakeMap<number, { generation: number }>;
};
let ended: [netns: string | null, peers: string[], cookies: bigint[]][];
let failing: string | null | undefined;
/** UDP sockets of processes that we may touch. */
let movable: Set<bigint>;
/** Those whose service has no backend. */
let refusing: Set<bigint>;
let led: string[];
let clock: ManualClock;
let dead: DeadSockets;

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const note = (map: FakeMap<Key, Note>, cookie: bigint, addr: string, backend: number, client: number): void =>
  map.set({ cookie, addr, port: 80 }, { addr: '10.64.0.200', port: 8080, backend, client });

beforeEach(() => {
  maps = {
    socket_peers4: new FakeMap(),
    socket_peers6: new FakeMap(),
    service_backends: new FakeMap(),
    endpoints: new FakeMap(),
  };
  const { BACKEND_NONE, BACKEND_ACTIVE, BACKEND_DRAINING } = backend_state;
  for (const [slot, generation] of [
    [1, 5],
    [2, 6],
  ] as const)
    maps.endpoints.set(slot, { generation });
  maps.service_backends.set(11, { endpoint: 1, generation: 5, state: BACKEND_ACTIVE });
  maps.service_backends.set(12, { endpoint: 1, generation: 5, state: BACKEND_DRAINING });
  maps.service_backends.set(13, { endpoint: 1, generation: 5, state: BACKEND_NONE });
  maps.service_backends.set(14, { endpoint: 2, generation: 5, state: BACKEND_ACTIVE });
  ended = [];
  movable = new Set();
  refusing = new Set();
  led = [];
  failing = undefined;
  clock = new ManualClock();
  const tables = new Tables();
  tables.replace({ kind: 'endpoint', id: 'e' }, [{ kind: 'socket-member', netns: BOX, net: 1, slot: 3 }]);
  dead = new DeadSockets({
    maps,
    tables,
    move: async (netns, moves) => {
      const moved = new Set<bigint>();
      const refused = new Set<bigint>();
      for (const { cookie, from, to } of moves) {
        if (refusing.has(cookie)) refused.add(cookie);
        if (!movable.has(cookie)) continue;
        moved.add(cookie);
        led.push(`${netns} ${from.address} ${from.port} ${to.address} ${to.port}`);
      }
      return { moved, refused };
    },
    destroy: async (netns, peers, cookies) => {
      if (netns === failing) throw new Error('not permitted');
      ended.push([netns, peers.map(({ address, port }) => `${address} ${port}`), [...cookies]]);
      return cookies.size;
    },
    clock,
    log: silentLog(),
  });
});

describe('sockets whose backend is gone', () => {
  beforeEach(() => {
    note(maps.socket_peers4, 1n, '10.64.0.2', 0, 0);
    note(maps.socket_peers4, 2n, '10.64.0.2', 11, 3);
    note(maps.socket_peers4, 3n, '10.64.0.2', 12, 3);
    note(maps.socket_peers4, 4n, '10.64.0.2', 13, 3);
    note(maps.socket_peers4, 5n, '10.64.0.2', 13, 3);
    note(maps.socket_peers4, 6n, '10.64.0.3', 14, 0);
    note(maps.socket_peers6, 7n, 'fd00:64::2', 13, 3);
    note(maps.socket_peers6, 8n, 'fd00:64::2', 13, 9);
  });

  test('are ended where they are: backends that were taken out, and those whose container left', async () => {
    dead.backendsGone();
    await settled();
    expect(ended).toEqual([
      [BOX, ['10.64.0.2 80', 'fd00:64::2 80'], [4n, 5n, 7n]],
      [null, ['10.64.0.3 80'], [6n]],
    ]);
  });

  test('are looked for once more, with those that were about to connect, and then forgotten', async () => {
    dead.backendsGone();
    await settled();
    note(maps.socket_peers4, 20n, '10.64.0.2', 13, 3);
    clock.advance(1_000);
    await settled();
    expect(ended.at(-2)).toEqual([BOX, ['10.64.0.2 80', 'fd00:64::2 80'], [4n, 5n, 20n, 7n]]);
    const left = [...maps.socket_peers4.pairs(), ...maps.socket_peers6.pairs()];
    expect(left.map(([, { backend }]) => backend)).toEqual([0, 11, 12]);
  });

  test('are ended in one namespace also where another one fails', async () => {
    failing = BOX;
    dead.backendsGone();
    await settled();
    expect(ended).toEqual([[null, ['10.64.0.3 80'], [6n]]]);
  });

  test('are not ended where they can be connected to what they had named', async () => {
    movable = new Set([4n, 6n]);
    dead.backendsGone();
    await settled();
    expect(led).toEqual([`${BOX} 10.64.0.2 80 10.64.0.200 8080`, 'null 10.64.0.3 80 10.64.0.200 8080']);
    expect(ended).toEqual([[BOX, ['10.64.0.2 80', 'fd00:64::2 80'], [5n, 7n]]]);
  });

  test('are ended only after a while where nobody takes them up', async () => {
    refusing = new Set([6n]);
    dead.backendsGone();
    await settled();
    expect(ended.filter(([netns]) => netns === null)).toEqual([]);
    for (let i = 0; i < 5; i++) {
      clock.advance(150);
      await settled();
    }
    expect(ended.filter(([netns]) => netns === null)).toEqual([[null, ['10.64.0.3 80'], [6n]]]);
  });

  test('are left alone once it has stopped', async () => {
    await dead.stop();
    dead.backendsGone();
    clock.advance(5_000);
    await settled();
    expect(ended).toEqual([]);
  });
});

test('nobody is asked where no backend is gone', async () => {
  note(maps.socket_peers4, 2n, '10.64.0.2', 11, 3);
  dead.backendsGone();
  await settled();
  expect(ended).toEqual([]);
});

describe('a service', () => {
  const row = (...ids: number[]): ServiceRow => ({
    kind: 'service',
    number: 1,
    net: 1,
    vip4: '10.64.0.200',
    vip6: null,
    ports: [{ port: 80, backendPort: 80, protocol: 'tcp' }],
    algorithm: 'random',
    affinity: null,
    idleTimeout: null,
    allow: [],
    backends: ids.map(
      (id): BackendRow => ({ id, name: `b${id}`, slot: id, generation: 1, weight: 1, state: 'active' }),
    ),
  });

  test('tells of backends that it no longer has, when its maps no longer have them', async () => {
    const journal: string[] = [];
    const inner: Ops<ServiceRow> = {
      update: async () => void journal.push('update'),
      delete: async () => void journal.push('delete'),
      read: async () => ({
        holds: () => true,
        strays: () => [{ what: 'service 9', remove: async () => void journal.push('stray') }],
      }),
    };
    const ops = new ServiceSocketOps(
      inner,
      { backendsGone: () => void journal.push('gone') },
      { changed: () => void journal.push('first') },
    );
    // of a new one nobody can be gone
    await ops.update({ ...row(7), number: 10 }, []);
    // as an earlier process had it
    ops.expect(row(1, 2, 4));
    await ops.update(row(1, 2), []);
    await ops.update(row(1, 2, 3), [row(1, 2)]);
    await ops.update(row(1, 3), [row(1, 2, 3)]);
    await ops.delete(row(1, 3));
    for (const stray of (await ops.read()).strays(() => false)) await stray.remove();
    expect(journal.join(' ')).toBe('update first update gone update update gone delete gone stray gone');
  });
});
