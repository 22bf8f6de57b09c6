// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import type { Row, SocketMemberRow } from '../../../src/cnm/rows.js';
import { Awaited } from '../../../src/reconcile/awaited.js';
import { namespacePlace, SocketMemberOps } from '../../../src/reconcile/ops/socket-member.js';
import { Tables } from '../../../src/reconcile/tables.js';
import { ManualClock } from '../support/clock.js';
import { FakeMap } from './fake-maps.js';

const HOST = 4096n;
const row = (slot: number, netns = `/run/netns/box${slot}`, net = 1): SocketMemberRow => ({
  kind: 'socket-member',
  netns,
  net,
  slot,
});

/** Of one kernel; processes come and go. */
class Kernel {
  readonly cookies = new Map<string, bigint>();
  readonly maps = {
    socket_members: new FakeMap<{ cookie: bigint; net: number }, number>(),
    socket_namespaces: new FakeMap<number, number>(0),
    socket_netns: new FakeMap<number, bigint>(0n),
  };
  asked = 0;
  members(): [bigint, number, number][] {
    return [...this.maps.socket_members.pairs()].map(([{ cookie, net }, slot]) => [cookie, net, slot]);
  }
  places(): number[] {
    return [...this.maps.socket_namespaces.dump().keys()].map(Number).sort((a, b) => a - b);
  }
}

let kernel: Kernel;
let clock: ManualClock;
let tables: Tables;
let awaited: Awaited;
let ops: SocketMemberOps;

function start(): void {
  clock = new ManualClock();
  tables = new Tables();
  awaited = new Awaited(clock, silentLog());
  ops = new SocketMemberOps({
    maps: kernel.maps,
    netns: {
      info: async (path) => {
        kernel.asked++;
        const cookie = kernel.cookies.get(path);
        return cookie === undefined ? null : { inode: 1n, cookie };
      },
    },
    tables,
    awaited,
  });
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const want = (...rows: Row[]): void => void tables.replace({ kind: 'endpoint', id: 'e' }, rows);

beforeEach(() => {
  kernel = new Kernel();
  kernel.maps.socket_netns.set(0, HOST);
  kernel.maps.socket_namespaces.set(namespacePlace(HOST), 1);
  start();
});

describe('a namespace that is there', () => {
  test('is registered by its cookie for each of its networks, and gone with the last', async () => {
    kernel.cookies.set('/run/netns/box1', 77n);
    await ops.update(row(1));
    await ops.update(row(2, '/run/netns/box1', 2));
    expect(kernel.members()).toEqual([
      [77n, 1, 1],
      [77n, 2, 2],
    ]);
    expect(kernel.places()).toEqual([0, 77]);
    await ops.delete(row(1));
    expect(kernel.members()).toEqual([[77n, 2, 2]]);
    expect(kernel.places()).toEqual([0, 77]);
    await ops.delete(row(2, '/run/netns/box1', 2));
    expect(kernel.members()).toEqual([]);
    expect(kernel.places()).toEqual([0]);
  });

  test('leaves the place that it shares with the host', async () => {
    kernel.cookies.set('/run/netns/box1', HOST * 2n);
    await ops.update(row(1));
    await ops.delete(row(1));
    expect(kernel.places()).toEqual([0]);
  });

  test('is registered anew when the path leads to another one', async () => {
    kernel.cookies.set('/run/netns/box1', 77n);
    want(row(1));
    await ops.update(row(1));
    kernel.cookies.set('/run/netns/box1', 78n);
    expect((await ops.read()).holds(row(1))).toBe(false);
    await ops.update(row(1));
    expect(kernel.members()).toEqual([[78n, 1, 1]]);
    expect(kernel.places()).toEqual([0, 78]);
  });
});

describe('a namespace that is not there yet', () => {
  test('is looked for ever more seldom until it comes', async () => {
    await ops.update(row(1));
    expect(kernel.members()).toEqual([]);
    for (const ms of [100, 200, 400, 800]) {
      const { asked } = kernel;
      clock.advance(ms - 1);
      await settled();
      expect(kernel.asked).toBe(asked);
      clock.advance(1);
      await settled();
      expect(kernel.asked).toBe(asked + 1);
    }
    kernel.cookies.set('/run/netns/box1', 77n);
    clock.advance(1600);
    await settled();
    expect(kernel.members()).toEqual([[77n, 1, 1]]);
    expect(awaited.size).toBe(0);
  });

  test('is looked for at a hint', async () => {
    await ops.update(row(1));
    clock.advance(10_000);
    await settled();
    kernel.cookies.set('/run/netns/box1', 77n);
    awaited.soon();
    clock.advance(20);
    await settled();
    expect(kernel.members()).toEqual([[77n, 1, 1]]);
  });

  test('is not registered when its container has left meanwhile', async () => {
    await ops.update(row(1));
    await ops.delete(row(1));
    kernel.cookies.set('/run/netns/box1', 77n);
    clock.advance(60_000);
    await settled();
    expect(kernel.members()).toEqual([]);
    expect(awaited.size).toBe(0);
  });

  test('is no reason for a repair, and is awaited by the next process too', async () => {
    want(row(1));
    await ops.update(row(1));
    expect((await ops.read()).holds(row(1))).toBe(true);
    start();
    want(row(1));
    expect((await ops.read()).holds(row(1))).toBe(true);
    kernel.cookies.set('/run/netns/box1', 77n);
    clock.advance(100);
    await settled();
    expect(kernel.members()).toEqual([[77n, 1, 1]]);
  });
});

describe('what an earlier process has left', () => {
  beforeEach(async () => {
    kernel.cookies.set('/run/netns/box1', 77n);
    kernel.cookies.set('/run/netns/box2', 78n);
    await ops.update(row(1));
    await ops.update(row(2));
    start();
  });

  test('is adopted if it is wanted, and pruned if not', async () => {
    want(row(1));
    const actual = await ops.read();
    expect(actual.holds(row(1))).toBe(true);
    const strays = actual.strays(() => false);
    expect(strays.map(({ what }) => what)).toEqual(['sockets of namespace 78 on network 1']);
    for (const stray of strays) await stray.remove();
    expect(kernel.members()).toEqual([[77n, 1, 1]]);
    expect(kernel.places()).toEqual([0, 77]);
  });

  test('is removed with its row, the namespace gone or not', async () => {
    kernel.cookies.clear();
    await ops.delete(row(1));
    expect(kernel.members()).toEqual([[78n, 1, 2]]);
    expect(kernel.places()).toEqual([0, 78]);
  });

  test('is written again where it was lost', async () => {
    want(row(1));
    kernel.maps.socket_namespaces.set(77, 0);
    expect((await ops.read()).holds(row(1))).toBe(false);
    await ops.update(row(1));
    expect((await ops.read()).holds(row(1))).toBe(true);
  });
});
