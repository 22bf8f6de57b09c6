// SPDX-License-Identifier: Apache-2.0
/** Services on Docker's networks: where they get addresses, and how they give way to Docker. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServiceRow } from '../../../src/cnm/rows.js';
import type { ChangeEvent, DeclaredBackend, Service, ServiceIntent } from '../../../src/cnm/types.js';
import { type Bench, failure, made, startModel } from '../support/model.js';
import { dockerEndpoint, dockerNetwork, ours } from './dockers.js';
import { id } from './fake-engine.js';

let bench: Bench;
let events: ChangeEvent[];
beforeEach(async () => {
  bench = await startModel();
  events = [];
  bench.model.onChange((event) => events.push(event));
});

const backend = (
  name: string,
  endpoints: string[],
  over: Partial<DeclaredBackend> = {},
): DeclaredBackend => ({
  container: { id: id(name), name },
  endpoints: endpoints.map(id),
  weight: 1,
  state: 'active',
  healthy: null,
  ...over,
});
const intent = (backends: DeclaredBackend[], over: Partial<ServiceIntent> = {}): ServiceIntent => ({
  name: 'shop',
  ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
  algorithm: 'random',
  affinity: null,
  publish: [],
  allow: [],
  declaredBy: { id: id('one'), name: 'one' },
  backends,
  ...over,
});
const shop = (): Service => bench.model.service('shop');
const row = (): ServiceRow => bench.realizer.rows('service')[0] as ServiceRow;
/** A running container's endpoint. */
const up = async (name: string, network: string, ipv4: string): Promise<void> => {
  await dockerEndpoint(bench.model, name, network, ipv4);
  await bench.model.remote.join(id(name), `/var/run/docker/netns/${name}`);
};

describe('with addresses of Docker', () => {
  beforeEach(() => dockerNetwork(bench.model, 'net', '10.64.0.0/29'));

  it('have the highest one that is free, and backends that come and go', async () => {
    await up('ep1', 'net', '10.64.0.2');
    expect(await bench.model.declareServices([intent([backend('one', ['ep1'])])])).toEqual([]);
    expect(shop()).toMatchObject({ network: ours('net'), vip: '10.64.0.6' });
    expect(row()).toMatchObject({
      vip4: '10.64.0.6',
      backends: [{ id: 1, name: 'one', weight: 1, state: 'active' }],
    });
    // The plugin hears of it before the Engine's events do.
    await bench.model.remote.leave(id('ep1'));
    expect(row().backends).toEqual([]);
    await bench.model.remote.removeEndpoint(id('ep1'));
    await bench.model.declareServices([intent([backend('one', [], { state: 'gone' })])]);
    expect(shop()).toMatchObject({ network: ours('net'), vip: '10.64.0.6', backends: [{ endpoint: null }] });
    await up('ep2', 'net', '10.64.0.2');
    await bench.model.declareServices([intent([backend('one', ['ep2'])])]);
    expect(row().backends).toMatchObject([{ id: 2, name: 'one' }]);
  });

  it('give way to a container that Docker gives the address to', async () => {
    await up('ep1', 'net', '10.64.0.2');
    await bench.model.declareServices([
      intent([backend('one', ['ep1'])], { publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }] }),
    ]);
    await up('ep6', 'net', '10.64.0.6');
    expect(shop().vip).toBe('10.64.0.5');
    expect(row().vip4).toBe('10.64.0.5');
    expect(bench.realizer.rows('publish')).toMatchObject([{ service: true, ipv4: '10.64.0.5' }]);
    expect(events.filter(({ attributes }) => attributes.vip)).toMatchObject([
      { type: 'service', action: 'update', name: 'shop', attributes: { vip: '10.64.0.5' } },
    ]);
    const { store, host, clock } = bench;
    const again = await startModel({ store, host, clock });
    expect(again.model.service('shop').vip).toBe('10.64.0.5');
  });

  it('never keep Docker from an address, whatever the kernel says, or how few there are', async () => {
    await up('ep1', 'net', '10.64.0.2');
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    await up('first', 'net', '10.64.0.1');
    for (const last of [3, 4]) await up(`ep${last}`, 'net', `10.64.0.${last}`);
    bench.realizer.failing = { kind: 'service', times: 1 };
    await up('ep6', 'net', '10.64.0.6');
    expect(shop().vip).toBe('10.64.0.5');
    await up('ep5', 'net', '10.64.0.5');
    expect(shop().vip).toBeNull();
    expect(bench.realizer.rows('service')).toEqual([]);
    expect(await bench.model.declareServices([intent([backend('one', ['ep1'])])])).toMatchObject([
      { service: 'shop', about: 'network', message: expect.stringContaining('no free address') },
    ]);
    await bench.model.remote.removeEndpoint(id('ep4'));
    expect(await bench.model.declareServices([intent([backend('one', ['ep1'])])])).toEqual([]);
    expect(shop().vip).toBe('10.64.0.4');
  });

  it('made by command take endpoints of containers, too', async () => {
    await up('ep1', 'net', '10.64.0.2');
    const service = await made(
      bench.model.createService({
        name: 'shop',
        network: ours('net'),
        ports: ['80'],
        backends: [{ endpoint: ours('ep1') }],
      }),
    );
    expect(service).toMatchObject({ vip: '10.64.0.6', backends: [{ state: 'active' }] });
    await bench.model.remote.removeEndpoint(id('ep1'));
    expect(shop().backends).toEqual([]);
    // Docker is not kept from removing its network.
    await bench.model.remote.removeNetwork(id('net'));
    expect(bench.model.services()).toEqual([]);
    expect(bench.realizer.rows('service')).toEqual([]);
  });

  it('that are declared wait without a network for another one', async () => {
    await up('ep1', 'net', '10.64.0.2');
    await bench.model.declareServices([
      intent([backend('one', ['ep1'])], { publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }] }),
    ]);
    await bench.model.remote.removeNetwork(id('net'));
    expect(shop()).toMatchObject({ network: null, vip: null });
    expect(bench.realizer.owners.size).toBe(0);
    await dockerNetwork(bench.model, 'other', '10.65.0.0/24');
    await up('ep2', 'other', '10.65.0.2');
    await bench.model.declareServices([
      intent([backend('one', ['ep2'])], { publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }] }),
    ]);
    expect(shop()).toMatchObject({ network: ours('other'), vip: '10.65.0.254' });
    expect(bench.realizer.rows('publish')).toMatchObject([{ ipv4: '10.65.0.254', hostPort: 8000 }]);
  });
});

describe('with addresses of our management', () => {
  beforeEach(async () => {
    const { id: pool } = await bench.model.leases.requestPool({
      space: 'SluiceLocal',
      cidr: '10.66.0.0/29',
      range: null,
      ipv6: false,
    });
    expect(await bench.model.leases.requestAddress(pool, '10.66.0.1', 'gateway')).toBe('10.66.0.1/29');
    await dockerNetwork(bench.model, 'net', '10.66.0.0/29');
  });
  const pool = () => bench.model.leases.held()[0]?.pool.id as string;
  const lease = (asked: string | null = null) => bench.model.leases.requestAddress(pool(), asked, 'host');

  it('have one that Docker does not get', async () => {
    await lease('10.66.0.2');
    await up('ep1', 'net', '10.66.0.2');
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    expect(shop().vip).toBe('10.66.0.6');
    expect(await failure(lease('10.66.0.6'))).toMatchObject({
      code: 'address_taken',
      message: "10.66.0.6 belongs to service 'shop'",
    });
    expect([await lease(), await lease(), await lease()]).toEqual([
      '10.66.0.3/29',
      '10.66.0.4/29',
      '10.66.0.5/29',
    ]);
    expect((await failure(lease())).code).toBe('pool_exhausted');
    const { store, host, clock } = bench;
    bench = await startModel({ store, host, clock });
    expect((await failure(lease())).code).toBe('pool_exhausted');
    await bench.model.declareServices([]);
    expect(await lease()).toBe('10.66.0.6/29');
  });

  it('get none that Docker has reserved, though no container has it yet', async () => {
    await up('ep1', 'net', '10.66.0.2');
    await lease('10.66.0.6');
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    expect(shop().vip).toBe('10.66.0.5');
    expect(
      await failure(
        bench.model.createService({ name: 'x', network: ours('net'), ports: ['80'], vip: '10.66.0.6' }),
      ),
    ).toMatchObject({ code: 'address_taken', field: 'vip' });
  });
});

describe('declarations', () => {
  beforeEach(async () => {
    await dockerNetwork(bench.model, 'net', '10.64.0.0/24');
    await dockerNetwork(bench.model, 'two', '10.65.0.0/24');
    await up('ep1', 'net', '10.64.0.2');
    await up('two1', 'two', '10.65.0.2');
  });

  it('change rows as they change', async () => {
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    const first = row();
    await bench.model.declareServices([
      intent([backend('one', ['ep1'], { weight: 0, state: 'active' })], {
        algorithm: 'maglev',
        affinity: 60,
        allow: ['192.0.2.0/24'],
        publish: [{ hostPort: 80, port: 80, protocol: 'tcp' }],
      }),
    ]);
    expect(row()).toEqual({
      ...first,
      algorithm: 'maglev',
      affinity: 60,
      allow: ['192.0.2.0/24'],
      backends: [{ ...first.backends[0], weight: 0, state: 'draining' }],
    });
    // The same host port leads elsewhere.
    await bench.model.declareServices([
      intent([backend('one', ['ep1'])], {
        ports: [{ port: 81, backendPort: 81, protocol: 'tcp' }],
        publish: [{ hostPort: 80, port: 81, protocol: 'tcp' }],
      }),
    ]);
    expect(bench.realizer.rows('publish')).toMatchObject([{ hostPort: 80, port: 81 }]);
    for (const state of ['starting', 'gone'] as const) {
      await bench.model.declareServices([intent([backend('one', ['ep1'], { state })])]);
      expect(row().backends).toEqual([]);
    }
    await bench.model.declareServices([]);
    expect(bench.realizer.rows('service')).toEqual([]);
    expect(bench.model.usage()).toContainEqual({ table: 'backends', used: 0, capacity: 131071 });
  });

  it('stay on the network that they are on', async () => {
    await bench.model.declareServices([intent([backend('one', ['two1', 'ep1'])])]);
    expect(shop()).toMatchObject({ network: ours('two'), backends: [{ endpoint: ours('two1') }] });
    await up('two2', 'net', '10.64.0.3');
    const both = [backend('one', ['ep1']), backend('other', ['two2', 'two1'])];
    await bench.model.declareServices([intent(both)]);
    expect(shop()).toMatchObject({
      network: ours('two'),
      backends: [{ endpoint: null }, { endpoint: ours('two1') }],
    });
    // Nobody is there any more.
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    expect(shop()).toMatchObject({ network: ours('net'), vip: '10.64.0.254' });
    expect(row()).toMatchObject({ vip4: '10.64.0.254', net: 1, backends: [{ name: 'one' }] });
  });

  it('that cannot be had in part are told, and the rest is had', async () => {
    await made(bench.model.createNetwork({ name: 'web' }));
    await made(bench.model.createSandbox({ name: 'box' }));
    await made(bench.model.connect('box', { network: 'web', ports: ['8000:80'] }));
    await made(bench.model.createService({ name: 'mine', network: 'web', ports: ['80'] }));
    const publish = [{ hostPort: 8000, port: 80, protocol: 'tcp' as const }];
    const declare = () =>
      bench.model.declareServices([
        intent([backend('one', ['ep1'])], { publish }),
        intent([backend('one', ['ep1'])], { name: 'mine' }),
      ]);
    expect(await declare()).toEqual([
      { service: 'mine', about: 'service', message: "a service 'mine' exists already" },
      {
        service: 'shop',
        about: 'publish',
        message: "host port 8000/tcp is published by endpoint 'web.box'",
      },
    ]);
    expect(bench.model.service('mine').declaredBy).toBeNull();
    expect(shop()).toMatchObject({ vip: '10.64.0.254', publish });
    expect(bench.realizer.rows('publish').filter(({ service }) => service)).toEqual([]);
    await bench.model.unpublish('web.box', ['8000:80']);
    expect(await declare()).toHaveLength(1);
    expect(bench.realizer.rows('publish')).toMatchObject([{ service: true, hostPort: 8000 }]);
  });

  it('are not to be changed by command', async () => {
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    for (const run of [
      bench.model.removeService('shop'),
      bench.model.addBackend('shop', { endpoint: ours('ep1') }),
      bench.model.removeBackend('shop', ours('ep1')),
      bench.model.setBackend('shop', ours('ep1'), { weight: 3 }),
    ]) {
      expect(await failure(run)).toMatchObject({
        code: 'forbidden',
        message: "service 'shop' is what the labels of container 'one' say",
      });
    }
  });

  it('that an earlier version stored get addresses with the next one', async () => {
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    const [entry] = await bench.store.list('services/');
    const { name, created, declaredBy, id: serviceId } = shop();
    await bench.store.put(entry?.key as string, {
      id: serviceId,
      name,
      ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
      algorithm: 'random',
      affinity: null,
      publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }],
      allow: [],
      declaredBy: { ...declaredBy } as { id: string; name: string },
      backends: [
        {
          endpoint: id('ep1'),
          container: { id: id('one'), name: 'one' },
          weight: 1,
          state: 'active',
          healthy: null,
        },
      ],
      created,
    });
    await bench.store.put('schema', 2);
    const { store, host, clock } = bench;
    bench = await startModel({ store, host, clock });
    expect(shop()).toMatchObject({
      id: serviceId,
      network: null,
      vip: null,
      publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }],
      backends: [{ endpoint: ours('ep1'), container: { name: 'one' }, state: 'active' }],
    });
    await bench.model.declareServices([intent([backend('one', ['ep1'])])]);
    expect(shop()).toMatchObject({ network: ours('net'), vip: '10.64.0.254' });
    expect(row().backends).toMatchObject([{ name: 'one', state: 'active' }]);
  });
});
