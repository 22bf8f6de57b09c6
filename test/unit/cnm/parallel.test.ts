// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { SluiceError } from '../../../src/base/errors.js';
import { type Bench, failure, made, snapshot, startModel } from '../support/model.js';

const turn = (ms = 1): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  await made(bench.model.createNetwork({ name: 'web', subnets: [{ cidr: '10.0.0.0/16' }] }));
});

describe('operations side by side', () => {
  test('wait for the kernel together, and for the disk together', async () => {
    bench.realizer.delay = () => turn(20);
    const names = Array.from({ length: 100 }, (_, i) => `s${i}`);
    await Promise.all(names.map((name) => bench.model.createSandbox({ name })));
    bench.realizer.mostRunning = 0;
    bench.store.transactions = 0;
    const start = performance.now();
    await Promise.all(
      names.map(async (name) => {
        await made(bench.model.createEndpoint({ name: `e-${name}`, network: 'web', ports: ['80'] }));
        await made(bench.model.join(`e-${name}`, name));
      }),
    );
    expect(performance.now() - start).toBeLessThan(1000);
    expect(bench.realizer.mostRunning).toBeGreaterThanOrEqual(100);
    expect(bench.store.transactions).toBeLessThan(20);
    const endpoints = bench.model.endpoints();
    expect(new Set(endpoints.map(({ ipv4 }) => ipv4)).size).toBe(100);
    expect(new Set(bench.realizer.rows('dp-endpoint').map(({ slot }) => slot)).size).toBe(100);
    expect(new Set(bench.realizer.rows('dp-endpoint').map(({ member }) => member)).size).toBe(100);
    expect(new Set(bench.realizer.rows('publish').map(({ hostPort }) => hostPort)).size).toBe(100);
  });

  test('on one sandbox come one after the other', async () => {
    for (const name of ['n1', 'n2', 'n3']) await made(bench.model.createNetwork({ name }));
    await made(bench.model.createSandbox({ name: 's' }));
    bench.realizer.delay = () => turn(5);
    const connected = await Promise.all(
      ['web', 'n1', 'n2', 'n3'].map((network) => made(bench.model.connect('s', { network }))),
    );
    expect(connected.map((endpoint) => endpoint.interface)).toEqual(['eth0', 'eth1', 'eth2', 'eth3']);
    expect(bench.realizer.rows('port').filter(({ gateways }) => gateways.length > 0)).toHaveLength(1);
    await Promise.all([bench.model.publish('n1.s', ['80:80']), bench.model.disconnect('web', 's')]);
    expect(bench.realizer.rows('publish')).toHaveLength(1);
    expect(bench.realizer.rows('port').filter(({ gateways }) => gateways.length > 0)).toMatchObject([
      { interface: 'eth1' },
    ]);
  });

  test('against each other end in an order that makes sense', async () => {
    await made(bench.model.createSandbox({ name: 's' }));
    bench.realizer.delay = () => turn(5);
    const connecting = bench.model.connect('s', { network: 'web' });
    await turn();
    const results = await Promise.allSettled([
      connecting,
      bench.model.removeSandbox('s'),
      bench.model.removeNetwork('web'),
    ]);
    expect(
      results.map((result) => (result.status === 'rejected' ? (result.reason as SluiceError).code : 'done')),
    ).toEqual(['done', 'in_use', 'in_use']);
    const disconnecting = bench.model.disconnect('web', 's');
    await turn();
    const gone = await Promise.allSettled([
      disconnecting,
      bench.model.removeSandbox('s'),
      bench.model.publish('web.s', ['80']),
    ]);
    expect(
      gone.map((result) => (result.status === 'rejected' ? (result.reason as SluiceError).code : 'done')),
    ).toEqual(['done', 'done', 'not_found']);
  });

  test('do not see each other before they are stored and applied', async () => {
    let open = (): void => {};
    bench.store.gate = new Promise((resolve) => {
      open = resolve;
    });
    const creation = made(bench.model.createNetwork({ name: 'late' }));
    await turn();
    expect(bench.model.networks().map(({ name }) => name)).toEqual(['web']);
    expect((await failure(bench.model.createNetwork({ name: 'late' }))).code).toBe('conflict');
    expect(
      (await failure(bench.model.createNetwork({ name: 'x', subnets: [{ cidr: '10.64.0.0/24' }] }))).code,
    ).toBe('overlap');
    open();
    bench.store.gate = null;
    await creation;
    expect(bench.model.networks()).toHaveLength(2);
  });

  test('fail alone when they are stored together', async () => {
    let open = (): void => {};
    bench.store.gate = new Promise((resolve) => {
      open = resolve;
    });
    const creations = ['a', 'b', 'c', 'd'].map((name) => bench.model.createNetwork({ name }));
    // The first is under way alone; the three behind it go together, fail, and are tried one by one.
    bench.store.failAfter = 2;
    bench.store.failures = 2;
    await turn();
    open();
    const results = await Promise.allSettled(creations);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    const again = await startModel({ store: bench.store });
    expect(
      again.model
        .networks()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['a', 'c', 'd', 'web']);
    expect(await snapshot(again)).toBe(await snapshot(await startModel({ store: bench.store })));
  });
});

test('any order of operations and failures leaves memory, store and kernel of one mind', async () => {
  const network = fc.constantFrom('web', 'n1', 'n2');
  const sandbox = fc.constantFrom('s1', 's2');
  const endpoint = fc.constantFrom('e1', 'e2', 'web.s1', 'n1.s2');
  const service = fc.constantFrom('v1', 'v2');
  const labels = fc.constantFrom<Record<string, string>[]>({}, { app: 'x' }, { app: 'x', tier: 'y' });
  const port = fc.constantFrom(
    '80',
    '8080:80',
    '8080-8085:80-85',
    '127.0.0.1:8081:80',
    '8080:80/udp',
    '53/udp',
  );
  type Call = (b: Bench) => Promise<unknown>;
  const call = fc.oneof<fc.Arbitrary<Call>[]>(
    network.map(
      (name): Call =>
        ({ model }) =>
          model.createNetwork({ name }),
    ),
    network.map(
      (name): Call =>
        ({ model }) =>
          model.removeNetwork(name),
    ),
    sandbox.map(
      (name): Call =>
        ({ model }) =>
          model.createSandbox({ name }),
    ),
    sandbox.map(
      (name): Call =>
        ({ model }) =>
          model.removeSandbox(name),
    ),
    fc.tuple(endpoint, network, fc.array(port, { maxLength: 2 }), labels).map(
      ([name, net, ports, given]): Call =>
        ({ model }) =>
          model.createEndpoint({ name, network: net, ports, labels: given }),
    ),
    fc.tuple(service, network, labels, fc.array(endpoint, { maxLength: 2 }), fc.boolean()).map(
      ([name, net, selector, backends, published]): Call =>
        ({ model }) =>
          model.createService({
            name,
            network: net,
            ports: ['80'],
            selector,
            backends: backends.map((ref) => ({ endpoint: ref })),
            publish: published ? ['8080:80'] : [],
          }),
    ),
    fc.tuple(fc.uniqueArray(service), network, labels).map(
      ([names, net, selector]): Call =>
        ({ model }) =>
          model.createServices(names.map((name) => ({ name, network: net, ports: ['80'], selector }))),
    ),
    service.map(
      (name): Call =>
        ({ model }) =>
          model.removeService(name),
    ),
    fc.tuple(service, endpoint).map(
      ([name, ref]): Call =>
        ({ model }) =>
          model.addBackend(name, { endpoint: ref, weight: 2 }),
    ),
    fc.tuple(service, endpoint).map(
      ([name, ref]): Call =>
        ({ model }) =>
          model.removeBackend(name, ref),
    ),
    fc.tuple(service, endpoint, fc.boolean()).map(
      ([name, ref, drain]): Call =>
        ({ model }) =>
          model.setBackend(name, ref, { drain }),
    ),
    fc.tuple(endpoint, sandbox).map(
      ([name, box]): Call =>
        ({ model }) =>
          model.join(name, box),
    ),
    endpoint.map(
      (name): Call =>
        ({ model }) =>
          model.leave(name),
    ),
    endpoint.map(
      (name): Call =>
        ({ model }) =>
          model.removeEndpoint(name),
    ),
    fc.tuple(network, sandbox, fc.array(port, { maxLength: 2 })).map(
      ([net, box, ports]): Call =>
        ({ model }) =>
          model.connect(box, { network: net, ports }),
    ),
    fc.tuple(network, sandbox).map(
      ([net, box]): Call =>
        ({ model }) =>
          model.disconnect(net, box),
    ),
    fc.tuple(endpoint, port).map(
      ([name, spec]): Call =>
        ({ model }) =>
          model.publish(name, [spec]),
    ),
    fc.tuple(endpoint, port).map(
      ([name, spec]): Call =>
        ({ model }) =>
          model.unpublish(name, [spec]),
    ),
  );
  const fault = fc.oneof(
    { weight: 6, arbitrary: fc.constant('none' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'store' as const,
        'port' as const,
        'publish' as const,
        'bridge' as const,
        'service' as const,
        'removal' as const,
      ),
    },
  );
  // Each round's calls run at the same time.
  const rounds = fc.array(fc.record({ fault, calls: fc.array(call, { minLength: 1, maxLength: 4 }) }), {
    maxLength: 25,
  });
  await fc.assert(
    fc.asyncProperty(rounds, async (script) => {
      const world = await startModel();
      for (const name of ['web', 'n1']) await made(world.model.createNetwork({ name }));
      for (const name of ['s1', 's2']) await made(world.model.createSandbox({ name }));
      for (const { fault: kind, calls } of script) {
        world.store.failAfter = kind === 'store' ? 1 : Number.POSITIVE_INFINITY;
        world.store.failures = 1;
        world.realizer.failing =
          kind === 'none' || kind === 'store' || kind === 'removal' ? null : { kind, times: 1 };
        world.realizer.failingRemovals = kind === 'removal' ? 1 : 0;
        const results = await Promise.allSettled(calls.map((run) => run(world)));
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(SluiceError);
        }
      }
      world.store.failAfter = Number.POSITIVE_INFINITY;
      await world.model.stop();
      const again = await startModel({ store: world.store, host: world.host });
      const sorted = async (b: Bench) => {
        const { networks, sandboxes, endpoints, services, ...rest } = JSON.parse(await snapshot(b));
        const byName = (list: { name: string }[]) => list.sort((x, y) => (x.name < y.name ? -1 : 1));
        return {
          ...rest,
          networks: byName(networks),
          sandboxes: byName(sandboxes),
          endpoints: byName(endpoints),
          services: byName(services),
        };
      };
      expect(await sorted(again)).toEqual(await sorted(world));
      // Whatever is there can be taken away, and then nothing is left.
      for (const { name } of again.model.services()) await again.model.removeService(name);
      for (const { name, sandbox: box } of again.model.endpoints()) {
        if (box) await again.model.leave(name);
        await again.model.removeEndpoint(name);
      }
      for (const { name } of again.model.sandboxes()) await again.model.removeSandbox(name);
      await again.model.pruneNetworks();
      expect(again.realizer.owners.size).toBe(0);
      expect(again.model.usage().map(({ used }) => used)).toEqual([0, 0, 0, 0, 0, 0]);
      expect((await again.store.list('')).map(({ key }) => key)).not.toContainEqual(
        expect.stringContaining('/'),
      );
    }),
    { numRuns: 200 },
  );
}, 60_000);

test('the thousandth endpoint plans and writes what the hundredth did', async () => {
  bench = await startModel({ pools: ['10.0.0.0/8,16'] });
  await made(bench.model.createNetwork({ name: 'web' }));
  const work = { applied: 0, rows: 0, written: 0 };
  bench.realizer.apply = async (_owner, rows) => {
    work.applied += 1;
    work.rows += rows.length;
  };
  const { store } = bench;
  const transaction = store.transaction.bind(store);
  store.transaction = (operations, preconditions) => {
    work.written += operations.length;
    return transaction(operations, preconditions);
  };
  const hundred = async (from: number): Promise<typeof work> => {
    Object.assign(work, { applied: 0, rows: 0, written: 0 });
    for (let i = from; i < from + 100; i++) {
      await made(bench.model.createSandbox({ name: `s${i}` }));
      await made(bench.model.connect(`s${i}`, { network: 'web', ports: [`${10000 + i}:80`, '53/udp'] }));
    }
    return { ...work };
  };
  const early = await hundred(0);
  for (let from = 100; from < 900; from += 100) await hundred(from);
  expect(early.rows).toBeGreaterThan(0);
  expect(early.written).toBeGreaterThan(0);
  expect(await hundred(900)).toEqual(early);
}, 60_000);

test('places on a bridge are given back', async () => {
  await made(bench.model.createSandbox({ name: 's' }));
  for (let i = 0; i < 1100; i++) {
    await bench.model.connect('s', { network: 'web' });
    await bench.model.disconnect('web', 's');
  }
  expect(bench.model.usage()).toEqual([
    { table: 'networks', used: 1, capacity: 4095 },
    { table: 'endpoints', used: 0, capacity: 16383 },
    { table: 'sandboxes', used: 1, capacity: 2 ** 32 - 1 },
    { table: 'services', used: 0, capacity: 65535 },
    { table: 'backends', used: 0, capacity: 131071 },
    { table: 'publishes', used: 0, capacity: 2 ** 31 - 1 },
  ]);
});
