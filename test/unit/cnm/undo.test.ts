// SPDX-License-Identifier: Apache-2.0
/** Every operation, broken at every point: as before, and then it works. */
import { describe, expect, test } from 'vitest';
import { ROW_ORDER, type RowKind } from '../../../src/cnm/rows.js';
import {
  type Bench,
  FakeRealizer,
  FaultyStore,
  failure,
  made,
  snapshot,
  startModel,
} from '../support/model.js';

type Operation = (bench: Bench) => Promise<unknown>;

/** Networks web and db; sandbox a with web.a (which has the default route, and ports) and db.a; sandbox b; endpoint e. */
async function furnished(): Promise<Bench> {
  const bench = await startModel();
  const { model } = bench;
  for (const name of ['web', 'db', 'spare']) await made(model.createNetwork({ name }));
  for (const name of ['a', 'b', 'idle']) await made(model.createSandbox({ name }));
  await made(model.connect('a', { network: 'web', ports: ['8080:80', '53/udp'] }));
  await made(model.connect('a', { network: 'db' }));
  await made(model.createEndpoint({ name: 'e', network: 'web', ports: ['9090:90'] }));
  return bench;
}

const operations: Record<string, Operation> = {
  'network create': ({ model }) => model.createNetwork({ name: 'new' }),
  'network rm': ({ model }) => model.removeNetwork('spare'),
  'network prune': ({ model }) => model.pruneNetworks(),
  'sandbox create': ({ model }) => model.createSandbox({ name: 'new' }),
  'sandbox rm': ({ model }) => model.removeSandbox('idle'),
  'endpoint create': ({ model }) =>
    model.createEndpoint({ name: 'new', network: 'web', ports: ['7070:70', '71'] }),
  'endpoint rm': ({ model }) => model.removeEndpoint('e'),
  join: ({ model }) => model.join('e', 'b'),
  leave: ({ model }) => model.leave('web.a'),
  connect: ({ model }) => model.connect('b', { network: 'web', ports: ['7070:70', '71'] }),
  disconnect: ({ model }) => model.disconnect('web', 'a'),
  publish: ({ model }) => model.publish('web.a', ['7070:70', '71']),
  unpublish: ({ model }) => model.unpublish('web.a', ['8080:80']),
};

/** What a restart on the same store makes of it. */
async function restarted({ store, host }: Bench): Promise<Bench> {
  const fresh = new FaultyStore();
  for (const { key, value } of await store.list('')) await fresh.put(key, value);
  return startModel({ store: fresh, host });
}

async function broken(operation: Operation, arrange: (bench: Bench) => void): Promise<void> {
  const bench = await furnished();
  const before = await snapshot(bench);
  arrange(bench);
  const outcome = await operation(bench).then(
    () => null,
    (e: Error) => e,
  );
  if (outcome === null) return;
  expect(['kernel', 'store']).toContain((outcome as { code?: string }).code);
  expect(await snapshot(bench)).toBe(before);
  // What memory says is what a restart would find.
  const again = await restarted(bench);
  expect([...again.realizer.owners].sort()).toEqual([...bench.realizer.owners].sort());
  // The allocations are free: the same call works now, as in a world where nothing failed.
  await operation(bench);
  const world = await furnished();
  await operation(world);
  expect(shape(bench)).toEqual(shape(world));
}

/** What is there, without ids and numbers that never come back. */
function shape({ model, realizer }: Bench) {
  return {
    networks: model.networks().map(({ name, subnets }) => [name, subnets]),
    sandboxes: model.sandboxes().map(({ name, endpoints }) => [name, endpoints]),
    endpoints: model
      .endpoints()
      .map(({ name, sandbox, interface: link, state }) => [name, sandbox, link, state]),
    ports: model.endpoints().flatMap(({ ports }) => ports.map(({ port, protocol }) => [port, protocol])),
    rows: ROW_ORDER.map((kind) => [kind, realizer.rows(kind).length]),
  };
}

describe.each(Object.entries(operations))('%s', (_, operation) => {
  test('a write that fails', () =>
    broken(operation, ({ store }) => {
      store.failAfter = 1;
    }));

  test.each(ROW_ORDER)('a row of kind %s that fails', (kind: RowKind) =>
    broken(operation, ({ realizer }) => {
      realizer.failing = { kind, times: 1 };
    }),
  );

  test('a removal of rows that fails', () =>
    broken(operation, ({ realizer }) => {
      realizer.failingRemovals = 1;
    }));
});

describe('an undo that cannot be stored', () => {
  test('leaves memory as it was, and is made good with the next write', async () => {
    const bench = await furnished();
    const before = await snapshot(bench);
    bench.realizer.failing = { kind: 'bridge', times: 1 };
    // The intent is written, the kernel refuses, and the disk is full from then on.
    bench.store.failAfter = 2;
    const error = await failure(bench.model.createNetwork({ name: 'new' }));
    expect(error.code).toBe('kernel');
    expect(JSON.parse(await snapshot(bench)).networks).toEqual(JSON.parse(before).networks);
    expect(await bench.store.list('networks/')).toHaveLength(4);
    await made(bench.model.createSandbox({ name: 'other' }));
    expect(await bench.store.list('networks/')).toHaveLength(3);
  });

  test('is made good at the latest when the model stops', async () => {
    const bench = await furnished();
    bench.realizer.failing = { kind: 'bridge', times: 1 };
    bench.store.failAfter = 2;
    await failure(bench.model.createNetwork({ name: 'new' }));
    await bench.model.stop();
    expect(await bench.store.list('networks/')).toHaveLength(3);
  });

  test('of a removal keeps the object', async () => {
    const bench = await furnished();
    bench.realizer.failingRemovals = 1;
    bench.store.failAfter = 2;
    await failure(bench.model.removeNetwork('spare'));
    expect(bench.model.network('spare').name).toBe('spare');
    expect((await bench.store.list('networks/')).length).toBe(2);
    await made(bench.model.createSandbox({ name: 'other' }));
    expect((await bench.store.list('networks/')).length).toBe(3);
  });
});

test('a kernel that refuses the undo too does not hide why the change failed', async () => {
  const bench = await furnished();
  class Stubborn extends FakeRealizer {}
  Object.setPrototypeOf(bench.realizer, Stubborn.prototype);
  bench.realizer.failing = { kind: 'bridge', times: 1 };
  bench.realizer.failingRemovals = 1;
  const error = await failure(bench.model.createNetwork({ name: 'new' }));
  expect(error.message).toContain('the fake kernel refused');
  expect(() => bench.model.network('new')).toThrow(/no network/);
  await made(bench.model.createNetwork({ name: 'new' }));
});

test('an operation cut short by a crash is complete or absent after the restart', async () => {
  for (const operation of Object.values(operations)) {
    const bench = await furnished();
    // The process dies while the kernel works: what was stored is all there is.
    bench.realizer.delay = () => new Promise(() => {});
    void operation(bench).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    const again = await restarted(bench);
    const world = await furnished();
    await operation(world);
    if (operation === operations['network prune']) continue;
    expect(shape(again).rows).toEqual(shape(world).rows);
  }
});
