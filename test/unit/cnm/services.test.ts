// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it } from 'vitest';
import type { BackendRow, PublishRow, ServiceRow } from '../../../src/cnm/rows.js';
import type { ChangeEvent, Service, ServiceCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
let events: ChangeEvent[];
beforeEach(async () => {
  bench = await startModel();
  await made(bench.model.createNetwork({ name: 'web', subnets: [{ cidr: '10.0.0.0/24' }] }));
  // What comes later is listed later.
  bench.clock.advance(1);
  await made(
    bench.model.createNetwork({
      name: 'six',
      subnets: [{ cidr: '10.6.0.0/24' }, { cidr: 'fd00:6::/64' }],
    }),
  );
  for (const name of ['a', 'b', 'c']) {
    bench.clock.advance(1);
    await made(bench.model.createSandbox({ name }));
  }
  events = [];
  bench.model.onChange((event) => events.push(event));
});

const create = (over: Partial<ServiceCreate> = {}): Promise<Service> =>
  made(bench.model.createService({ name: 'shop', network: 'web', ports: ['80:8080'], ...over }));
const connect = (box: string, labels: Record<string, string> = {}) =>
  made(bench.model.connect(box, { network: 'web', labels }));
const row = (): ServiceRow => bench.realizer.rows('service')[0] as ServiceRow;
const published = (): PublishRow[] => bench.realizer.rows('publish').filter(({ service }) => service);
const states = (name = 'shop'): string[] =>
  bench.model.service(name).backends.map(({ endpoint, weight, state }) => `${endpoint} ${weight} ${state}`);
const restarted = async (): Promise<Bench> => {
  const { store, host, clock } = bench;
  await bench.model.stop();
  return startModel({ store, host, clock });
};

it('has an address of its network, a number, and the backends that are there', async () => {
  await connect('a');
  const service = await create({
    backends: [{ endpoint: 'web.a', weight: 5 }],
    algorithm: 'maglev',
    affinity: true,
    idleTimeout: 60,
    allow: ['192.0.2.1'],
    publish: ['8000'],
  });
  expect(service).toMatchObject({
    network: 'web',
    mode: 'vip',
    vip: '10.0.0.3',
    vip6: null,
    affinity: 10_800,
    declaredBy: null,
    backends: [{ endpoint: 'web.a', container: null, weight: 5, state: 'active', healthy: null }],
  });
  const { slot, generation } = bench.realizer.rows('dp-endpoint')[0] as { slot: number; generation: number };
  expect(bench.realizer.rows('service')).toEqual([
    {
      kind: 'service',
      number: 1,
      net: 1,
      vip4: '10.0.0.3',
      vip6: null,
      ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
      algorithm: 'maglev',
      affinity: 10_800,
      idleTimeout: 60,
      allow: ['192.0.2.1/32'],
      backends: [{ id: 1, name: 'web.a', slot, generation, weight: 5, state: 'active' }],
    },
  ]);
  expect(published()).toEqual([
    {
      kind: 'publish',
      service: true,
      id: 1,
      slot: 0,
      generation: 0,
      protocol: 'tcp',
      hostIp: null,
      hostPort: 8000,
      hostPortEnd: 8000,
      port: 80,
      ipv4: '10.0.0.3',
      ipv6: null,
      allow: [],
    },
  ]);
  // Nobody else gets what it has.
  expect((await connect('b')).ipv4).toBe('10.0.0.4');
  expect(await failure(bench.model.connect('c', { network: 'web', ipv4: '10.0.0.3' }))).toMatchObject({
    code: 'address_taken',
    message: "10.0.0.3 belongs to service 'shop'",
  });
  expect(await failure(bench.model.publish('web.b', ['8000:80']))).toMatchObject({
    code: 'port_taken',
    message: "host port 8000/tcp is published by service 'shop'",
  });
});

it('has an address of each family, given or chosen', async () => {
  const service = await create({ network: 'six', vip: '10.6.0.77', name: 'two' });
  expect(service.vip).toBe('10.6.0.77');
  expect(service.vip6).toMatch(/^fd00:6::/);
  expect(row()).toMatchObject({ vip4: '10.6.0.77', vip6: service.vip6 });
  const given = await create({ network: 'six', vip6: 'fd00:6::abc', name: 'three' });
  expect(given.vip6).toBe('fd00:6::abc');
});

describe('is refused', () => {
  it.each([
    [{ vip: '10.1.0.1' }, 'invalid_argument', 'vip', "outside of the network's subnet"],
    [{ vip: '10.0.0.1' }, 'address_taken', 'vip', "the network's gateway"],
    [{ vip: '10.0.0.2' }, 'address_taken', 'vip', "endpoint 'web.a'"],
    [{ vip: 'x' }, 'invalid_argument', 'vip', 'not an IPv4 address'],
    [{ vip6: 'fd00::1' }, 'invalid_argument', 'vip6', 'has no IPv6'],
    [{ ports: [] }, 'invalid_argument', 'ports', 'needs a port'],
    [{ ports: ['80:81/sctp'] }, 'invalid_argument', 'ports', 'port of the same number only'],
    [{ network: 'nix' }, 'not_found', 'network', "no network is called 'nix'"],
    [{ backends: [{ endpoint: 'nix' }] }, 'not_found', 'backends[0].endpoint', "no endpoint is called 'nix'"],
    [
      { network: 'six', backends: [{ endpoint: 'web.a' }] },
      'invalid_argument',
      'backends[0].endpoint',
      "is on network 'web', the service on 'six'",
    ],
    [
      { backends: [{ endpoint: 'web.a' }, { endpoint: 'web.a' }] },
      'conflict',
      'backends[1].endpoint',
      'already',
    ],
    [{ backends: [{ endpoint: 'web.a', weight: 1001 }] }, 'invalid_argument', 'backends[0].weight', 'weight'],
    [{ publish: ['81:81'] }, 'invalid_argument', 'publish', 'publishes no port'],
    [{ publish: ['22:80'] }, 'port_taken', 'ports', 'held by a process of this host'],
    [{ affinity: 0 }, 'invalid_argument', 'affinity', 'not a time of affinity'],
    [{ idleTimeout: 0.5 }, 'invalid_argument', 'idleTimeout', 'not an idle timeout'],
    [{ mode: 'dnsrr', publish: ['80'] }, 'invalid_argument', 'publish', 'dnsrr'],
    [{ mode: 'dnsrr', vip: '10.0.0.9' }, 'invalid_argument', 'vip', 'dnsrr'],
    [{ mode: 'dnsrr', algorithm: 'maglev' }, 'invalid_argument', 'algorithm', 'dnsrr'],
    [{ network: 'lan' }, 'invalid_argument', 'network', 'driver macvlan'],
    [{ network: 'inner', publish: ['80'] }, 'invalid_argument', 'ports', 'internal network'],
    [{ health: { kind: 'tcp', port: 0 } }, 'invalid_argument', 'health.port', 'not a port'],
    [{ health: { kind: 'http', path: 'x' } }, 'invalid_argument', 'health.path', 'not the path'],
  ] satisfies [Partial<ServiceCreate>, string, string, string][])(
    '%j',
    async (over, code, field, message) => {
      await connect('a');
      await made(bench.model.createNetwork({ name: 'inner', internal: true }));
      await made(
        bench.model.createNetwork({
          name: 'lan',
          driver: 'macvlan',
          subnets: [{ cidr: '192.0.2.0/24' }],
          options: { parent: 'eth0' },
        }),
      );
      bench.host.sockets.push({ protocol: 'tcp', address: '0.0.0.0', port: 22, v6only: false });
      const before = await snapshot(bench);
      const usage = bench.model.usage();
      const error = await failure(create(over));
      expect(error).toMatchObject({ code, field });
      expect(error.message).toContain(message);
      expect(await snapshot(bench)).toBe(before);
      expect(bench.model.usage()).toEqual(usage);
    },
  );

  it('where the name is taken', async () => {
    await create();
    expect(await failure(create())).toMatchObject({ code: 'conflict', field: 'name' });
  });
});

it('without an address is a name only, on any network with addresses', async () => {
  await made(
    bench.model.createNetwork({
      name: 'lan',
      driver: 'macvlan',
      subnets: [{ cidr: '192.0.2.0/24' }],
      options: { parent: 'eth0' },
    }),
  );
  await made(bench.model.connect('a', { network: 'lan' }));
  await create({ mode: 'dnsrr', network: 'lan', ports: [], backends: [{ endpoint: 'lan.a' }] });
  expect(bench.model.service('shop')).toMatchObject({ vip: null, mode: 'dnsrr' });
  expect(states()).toEqual(['lan.a 1 active']);
  expect(bench.realizer.rows('service')).toEqual([]);
});

it('is planned without a trace', async () => {
  await connect('a');
  const before = await snapshot(bench);
  const usage = bench.model.usage();
  const request: ServiceCreate = {
    name: 'shop',
    network: 'web',
    ports: ['80'],
    publish: ['80'],
    backends: [{ endpoint: 'web.a' }],
  };
  const plan = await planned(bench.model.createService(request, true));
  expect(plan.rows.map(({ kind }) => kind)).toEqual(['service', 'publish']);
  expect(await snapshot(bench)).toBe(before);
  expect(bench.model.usage()).toEqual(usage);
  // The same rows then come of it.
  await create({ ports: ['80'], publish: ['80'], backends: [{ endpoint: 'web.a' }] });
  expect([...bench.realizer.rows('service'), ...published()]).toEqual(plan.rows);
  const after = await snapshot(bench);
  for (const dry of [
    bench.model.removeService('shop', true),
    bench.model.removeBackend('shop', 'web.a', true),
    bench.model.setBackend('shop', 'web.a', { drain: true }, true),
    bench.model.leave('web.a', true),
  ]) {
    expect(await planned(dry)).toHaveProperty('dryRun', true);
  }
  expect(await snapshot(bench)).toBe(after);
});

describe('backends', () => {
  it('follow their endpoints in and out', async () => {
    await made(bench.model.createEndpoint({ name: 'e', network: 'web' }));
    await create();
    await made(bench.model.addBackend('shop', { endpoint: 'e', weight: 3 }));
    expect(states()).toEqual(['e 3 gone']);
    expect(row().backends).toEqual([]);
    await bench.model.join('e', 'a');
    const [first] = row().backends as [BackendRow];
    expect(first).toMatchObject({ id: 1, name: 'e', weight: 3, state: 'active' });
    expect(states()).toEqual(['e 3 active']);
    await bench.model.leave('e');
    expect(row().backends).toEqual([]);
    await bench.model.join('e', 'b');
    const [second] = row().backends as [BackendRow];
    expect(second.id).toBe(1);
    expect(second.generation).toBeGreaterThan(first.generation);
    await bench.model.leave('e');
    await bench.model.removeEndpoint('e');
    expect(states()).toEqual([]);
    expect(bench.model.usage()).toContainEqual({ table: 'backends', used: 0, capacity: 131071 });
    expect((await restarted()).model.service('shop').backends).toEqual([]);
  });

  it('leave before their endpoint does, and come after it', async () => {
    await connect('a');
    await create({ backends: [{ endpoint: 'web.a' }] });
    bench.realizer.applied.length = 0;
    await bench.model.leave('web.a');
    await bench.model.join('web.a', 'a');
    const order = bench.realizer.applied.map(({ owner }) => owner.kind).filter((kind) => kind !== 'sandbox');
    expect(order).toEqual(['service', 'endpoint', 'endpoint', 'service']);
  });

  it('are weighted, drained and taken back', async () => {
    await connect('a');
    await create({ backends: [{ endpoint: 'web.a' }] });
    await made(bench.model.setBackend('shop', 'web.a', { drain: true }));
    expect(row().backends).toMatchObject([{ weight: 1, state: 'draining' }]);
    await made(bench.model.setBackend('shop', 'web.a', { weight: 7 }));
    expect(row().backends).toMatchObject([{ weight: 7, state: 'draining' }]);
    bench = await restarted();
    expect(row().backends).toMatchObject([{ id: 1, weight: 7, state: 'draining' }]);
    await made(bench.model.setBackend('shop', 'web.a', { drain: false }));
    expect(row().backends).toMatchObject([{ weight: 7, state: 'active' }]);
    await made(bench.model.setBackend('shop', 'web.a', { weight: 0 }));
    expect(row().backends).toMatchObject([{ weight: 0, state: 'draining' }]);
    expect(states()).toEqual(['web.a 0 draining']);
    expect(await failure(bench.model.setBackend('shop', 'web.a', {}))).toMatchObject({
      code: 'invalid_argument',
    });
    await made(bench.model.removeBackend('shop', 'web.a'));
    expect(row().backends).toEqual([]);
    expect(await failure(bench.model.removeBackend('shop', 'web.a'))).toMatchObject({ code: 'not_found' });
  });

  it('are added once, and only of the network', async () => {
    await connect('a');
    await made(bench.model.connect('b', { network: 'six' }));
    await create();
    await made(bench.model.addBackend('shop', { endpoint: 'web.a' }));
    expect(await failure(bench.model.addBackend('shop', { endpoint: 'web.a' }))).toMatchObject({
      code: 'conflict',
      field: 'endpoint',
    });
    expect(await failure(bench.model.addBackend('shop', { endpoint: 'six.b' }))).toMatchObject({
      code: 'invalid_argument',
      field: 'endpoint',
    });
  });

  it('get numbers that nobody had lately', async () => {
    await connect('a');
    await create();
    const ids: number[] = [];
    for (let i = 0; i < 3; i++) {
      await made(bench.model.addBackend('shop', { endpoint: 'web.a' }));
      ids.push(row().backends[0]?.id as number);
      await made(bench.model.removeBackend('shop', 'web.a'));
    }
    expect(ids).toEqual([1, 2, 3]);
  });

  it('concern no service but theirs', async () => {
    for (let i = 0; i < 50; i++) await create({ name: `other${i}`, selector: { app: `other${i}` } });
    await create();
    await made(bench.model.createEndpoint({ name: 'e', network: 'web', labels: { app: 'mine' } }));
    await made(bench.model.addBackend('shop', { endpoint: 'e' }));
    bench.realizer.applied.length = 0;
    await bench.model.join('e', 'a');
    await bench.model.leave('e');
    const services = bench.realizer.applied.filter(({ owner }) => owner.kind === 'service');
    expect(services.map(({ owner }) => owner.id)).toEqual(Array(2).fill(bench.model.service('shop').id));
  });

  it('that cannot be had keep no endpoint from joining or leaving', async () => {
    await made(bench.model.createEndpoint({ name: 'e', network: 'web' }));
    await create({ backends: [{ endpoint: 'e' }] });
    bench.realizer.failing = { kind: 'service', times: 2 };
    await made(bench.model.join('e', 'a'));
    expect(bench.model.endpoint('e').state).toBe('joined');
    await made(bench.model.leave('e'));
    expect(bench.model.endpoint('e').state).toBe('created');
  });

  it('are as they were where a leave or join fails', async () => {
    await connect('a');
    await create({ backends: [{ endpoint: 'web.a' }] });
    const before = await snapshot(bench);
    bench.realizer.failingRemovals = 1;
    await failure(bench.model.leave('web.a'));
    expect(await snapshot(bench)).toBe(before);
    await bench.model.leave('web.a');
    const left = await snapshot(bench);
    bench.realizer.failing = { kind: 'dp-endpoint', times: 1 };
    await failure(bench.model.join('web.a', 'a'));
    expect(await snapshot(bench)).toBe(left);
    expect(row().backends).toEqual([]);
  });
});

describe('a selector', () => {
  it('chooses endpoints of its network by all of its labels', async () => {
    await connect('a', { app: 'shop', tier: 'front', more: 'x' });
    await create({ selector: { app: 'shop', tier: 'front' } });
    expect(states()).toEqual(['web.a 1 active']);
    await connect('b', { app: 'shop', tier: 'back' });
    expect(states()).toEqual(['web.a 1 active']);
    await made(
      bench.model.createEndpoint({ name: 'e', network: 'web', labels: { tier: 'front', app: 'shop' } }),
    );
    await made(
      bench.model.createEndpoint({ name: 'six', network: 'six', labels: { tier: 'front', app: 'shop' } }),
    );
    expect(states()).toEqual(['web.a 1 active', 'e 1 gone']);
    await bench.model.join('e', 'c');
    expect(row().backends.map(({ id, name }) => [id, name])).toEqual([
      [1, 'web.a'],
      [2, 'e'],
    ]);
    await made(bench.model.setBackend('shop', 'e', { weight: 9, drain: true }));
    expect(row().backends[1]).toMatchObject({ weight: 9, state: 'draining' });
    const before = bench.realizer.rows('service');
    bench = await restarted();
    expect(bench.realizer.rows('service')).toEqual(before);
    expect(await failure(bench.model.removeBackend('shop', 'e'))).toMatchObject({ code: 'conflict' });
    await bench.model.disconnect('web', 'c');
    expect(states()).toEqual(['web.a 1 active']);
    expect((await bench.store.list('selected/')).length).toBe(1);
    await bench.model.removeService('shop');
    expect(await bench.store.list('selected/')).toEqual([]);
    expect(bench.model.usage()).toContainEqual({ table: 'backends', used: 0, capacity: 131071 });
  });

  it('misses no endpoint that is made beside the service', async () => {
    const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 2));
    bench.realizer.delay = turn;
    await Promise.all([
      bench.model.createEndpoint({ name: 'e1', network: 'web', labels: { app: 'shop' } }),
      create({ selector: { app: 'shop' } }),
      bench.model.createEndpoint({ name: 'e2', network: 'web', labels: { app: 'shop' } }),
      connect('a', { app: 'shop' }),
    ]);
    expect(states().sort()).toEqual(['e1 1 gone', 'e2 1 gone', 'web.a 1 active']);
    expect(row().backends).toHaveLength(1);
  });

  it('is no second backend of an endpoint that is named', async () => {
    await connect('a', { app: 'shop' });
    await create({ selector: { app: 'shop' }, backends: [{ endpoint: 'web.a', weight: 4 }] });
    expect(states()).toEqual(['web.a 4 active']);
  });
});

describe('removal', () => {
  it('gives everything back', async () => {
    await connect('a');
    await create({ publish: ['8000'], backends: [{ endpoint: 'web.a' }] });
    await bench.model.removeService('shop');
    expect(bench.model.services()).toEqual([]);
    expect(bench.realizer.rows('service')).toEqual([]);
    expect(published()).toEqual([]);
    expect(await bench.store.list('services/')).toEqual([]);
    await create({ vip: '10.0.0.3', publish: ['8000'], backends: [{ endpoint: 'web.a' }] });
    expect(row()).toMatchObject({ number: 2, backends: [{ id: 2 }] });
    expect(events.map(({ type, action }) => `${type} ${action}`)).toEqual([
      'endpoint create',
      'endpoint join',
      'service create',
      'service remove',
      'service create',
    ]);
  });

  it('comes before that of the network', async () => {
    await create();
    expect(await failure(bench.model.removeNetwork('web'))).toMatchObject({
      code: 'in_use',
      message: "network 'web' has 1 service(s): 'shop'",
    });
    expect(await bench.model.pruneNetworks()).toEqual(['six']);
    await bench.model.removeService('shop');
    await bench.model.removeNetwork('web');
  });

  it('that fails leaves it as it was', async () => {
    await create({ publish: ['8000'] });
    const before = await snapshot(bench);
    bench.realizer.failingRemovals = 1;
    await failure(bench.model.removeService('shop'));
    expect(await snapshot(bench)).toBe(before);
    bench.store.failAfter = 1;
    await failure(bench.model.removeService('shop'));
    expect(await snapshot(bench)).toBe(before);
  });
});

describe('many', () => {
  const request = (i: number, over: Partial<ServiceCreate> = {}): ServiceCreate => ({
    name: `s${i}`,
    network: 'web',
    ports: ['80'],
    ...over,
  });
  const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

  it('are made in few transactions, in their order', async () => {
    await made(bench.model.createNetwork({ name: 'big', subnets: [{ cidr: '10.9.0.0/16' }] }));
    bench.store.transactions = 0;
    const requests = Array.from({ length: 1000 }, (_, i) => request(i, { network: 'big' }));
    const services = await made(bench.model.createServices(requests));
    expect(services.map(({ name }) => name)).toEqual(requests.map(({ name }) => name));
    expect(new Set(services.map(({ vip }) => vip)).size).toBe(1000);
    expect(bench.store.transactions).toBe(10);
  });

  it('are made or refused together, and the refusal says which', async () => {
    const before = await snapshot(bench);
    const usage = bench.model.usage();
    const requests = Array.from({ length: 150 }, (_, i) => request(i));
    expect(
      await failure(bench.model.createServices([...requests, request(150, { vip: '10.0.1.1' })])),
    ).toMatchObject({
      code: 'invalid_argument',
      field: '[150].vip',
      message: expect.stringContaining("'s150'"),
    });
    expect(await failure(bench.model.createServices([request(1), request(1)]))).toMatchObject({
      code: 'conflict',
      field: '[1].name',
    });
    expect(await failure(bench.model.createServices([request(1, { ports: ['x'] })]))).toMatchObject({
      field: '[0].ports',
    });
    expect(await snapshot(bench)).toBe(before);
    expect(bench.model.usage()).toEqual(usage);
    expect(await planned(bench.model.createServices(requests, true))).toMatchObject({ dryRun: true });
    expect(await snapshot(bench)).toBe(before);
  });

  it('are taken back where one of them cannot be had', async () => {
    const before = await snapshot(bench);
    bench.realizer.delay = turn;
    bench.realizer.failing = { kind: 'service', times: 1 };
    await failure(bench.model.createServices(Array.from({ length: 150 }, (_, i) => request(i))));
    expect(await snapshot(bench)).toBe(before);
    expect(bench.model.usage()).toContainEqual({ table: 'services', used: 0, capacity: 65535 });
    bench.store.failAfter = 2;
    await failure(bench.model.createServices(Array.from({ length: 150 }, (_, i) => request(i))));
    expect(await snapshot(bench)).toBe(before);
  });
});

it('has no endpoint that went while it was chosen', async () => {
  await made(bench.model.createEndpoint({ name: 'e', network: 'web', labels: { app: 'shop' } }));
  bench.realizer.delay = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
  await Promise.all([bench.model.removeEndpoint('e'), create({ selector: { app: 'shop' } })]);
  await expect
    .poll(() => bench.model.usage())
    .toContainEqual({ table: 'backends', used: 0, capacity: 131071 });
  expect(states()).toEqual([]);
  expect(await bench.store.list('selected/')).toEqual([]);
});

it('forgets what outlived its service or endpoint', async () => {
  await connect('a');
  await create();
  const service = bench.model.service('shop').id;
  const endpoint = bench.model.endpoint('web.a').id;
  for (const [i, [one, other]] of [
    ['f'.repeat(64), endpoint],
    [service, 'f'.repeat(64)],
  ].entries()) {
    const record = { service: one as string, endpoint: other as string, id: i + 1, weight: 1 };
    await bench.store.put(`selected/${one}/${other}`, record);
  }
  const again = await restarted();
  expect(await again.store.list('selected/')).toEqual([]);
  expect(again.model.service('shop').backends).toEqual([]);
});

it('is as it was after a restart', async () => {
  await connect('a');
  await create({
    network: 'web',
    publish: ['8000'],
    backends: [{ endpoint: 'web.a' }],
    allow: ['192.0.2.0/24'],
  });
  bench.clock.advance(1);
  await create({ name: 'two', network: 'six', selector: { app: 'x' } });
  const before = await snapshot(bench);
  const again = await restarted();
  expect(await snapshot(again)).toBe(before);
  expect(
    await failure(again.model.createService({ name: 'x', network: 'web', ports: ['80'], vip: '10.0.0.3' })),
  ).toMatchObject({ code: 'address_taken' });
});
