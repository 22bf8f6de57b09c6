// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import { CnmModel } from '../../../src/cnm/model.js';
import type { Json } from '../../../src/store/store.js';
import { ManualClock } from '../support/clock.js';
import {
  type Bench,
  FakeHost,
  FakeRealizer,
  FaultyStore,
  failure,
  made,
  snapshot,
  startModel,
} from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
  const { model, host, clock } = bench;
  // Objects are listed in the order of their creation.
  model.onChange(() => clock.advance(1));
  host.namespaces.set('/run/netns/theirs', ['eth0']);
  for (const name of ['web', 'db']) await made(model.createNetwork({ name, labels: { x: name } }));
  await made(model.createNetwork({ name: 'h', driver: 'host' }));
  await made(model.createSandbox({ name: 'a', dns: ['192.0.2.1'] }));
  await made(model.createSandbox({ name: 'b', netns: '/run/netns/theirs' }));
  await made(model.createSandbox({ name: 'self', netns: '/proc/1/ns/net' }));
  await made(model.connect('a', { network: 'db', ports: ['8080:80', '9000-9009:90-99/udp', '81'] }));
  await made(model.connect('a', { network: 'web' }));
  await made(model.connect('b', { network: 'web', ports: ['127.0.0.1:8080:80/udp'] }));
  await made(model.connect('self', { network: 'h' }));
  await made(model.createEndpoint({ name: 'e', network: 'web', ports: ['7070:70'], aliases: ['x'] }));
});

const restart = () => startModel({ store: bench.store, host: bench.host });

test('restores every object, and plans the same rows', async () => {
  const again = await restart();
  expect(JSON.parse(await snapshot(again))).toEqual(JSON.parse(await snapshot(bench)));
});

test('knows what is taken', async () => {
  const { model, realizer } = await restart();
  const refused = async (run: Promise<unknown>, code: string) => expect((await failure(run)).code).toBe(code);
  await refused(model.createNetwork({ name: 'web' }), 'conflict');
  await refused(model.createNetwork({ name: 'h2', driver: 'host' }), 'conflict');
  await refused(model.createNetwork({ name: 'x', subnets: [{ cidr: '10.64.1.0/24' }] }), 'overlap');
  await refused(model.createSandbox({ name: 'x', netns: '/run/netns/theirs' }), 'conflict');
  await refused(model.createEndpoint({ name: 'e', network: 'db' }), 'conflict');
  await refused(model.createEndpoint({ name: 'x', network: 'db', ipv4: '10.64.1.2' }), 'address_taken');
  await refused(
    model.createEndpoint({ name: 'x', network: 'web', mac: '02:42:0a:40:00:02' }),
    'address_taken',
  );
  await refused(model.publish('e', ['9005:5/udp']), 'port_taken');
  expect(await made(model.createEndpoint({ name: 'x', network: 'web', ports: ['82'] }))).toMatchObject({
    ipv4: '10.64.0.5',
    ports: [{ hostPort: 49154 }],
  });
  await made(model.createSandbox({ name: 'c' }));
  await made(model.join('x', 'c'));
  const slots = realizer.rows('dp-endpoint').map(({ slot, generation }) => `${slot}/${generation}`);
  expect(slots.sort()).toEqual(['1/1', '2/2', '3/3', '4/5']);
});

test('generations go on behind those of endpoints that are gone', async () => {
  await bench.model.disconnect('web', 'a');
  await bench.model.disconnect('web', 'b');
  const { model, realizer } = await restart();
  await made(model.connect('b', { network: 'web' }));
  expect(realizer.rows('dp-endpoint').map(({ generation }) => generation)).toEqual([1, 5]);
});

test('generations in use are never given again, whatever became of the counter', async () => {
  await bench.store.delete('generation');
  const { model, realizer } = await restart();
  await made(model.createSandbox({ name: 'c' }));
  await made(model.join('e', 'c'));
  expect(Math.max(...realizer.rows('dp-endpoint').map(({ generation }) => generation))).toBe(5);
});

test('the default route stays where it was, and everything can be removed', async () => {
  const { model, realizer, store } = await restart();
  expect(model.sandbox('a').endpoints).toEqual(['db.a', 'web.a']);
  expect(realizer.rows('port').map((row) => row.gateways)).toEqual([['10.64.1.1'], [], ['10.64.0.1']]);
  for (const { name } of model.endpoints()) {
    if (model.endpoint(name).sandbox) await made(model.leave(name));
    await model.removeEndpoint(name);
  }
  for (const { name } of model.sandboxes()) await model.removeSandbox(name);
  await model.pruneNetworks();
  expect(realizer.owners.size).toBe(0);
  expect((await store.list('')).map(({ key }) => key)).toEqual(['generation', 'schema']);
});

test('no operation before the start or after the stop', async () => {
  const model = new CnmModel({
    store: new FaultyStore(),
    realizer: new FakeRealizer(),
    host: new FakeHost(),
    clock: new ManualClock(),
    log: silentLog(),
    masqueradePorts: { first: 32768, last: 65535 },
  });
  expect((await failure(model.createNetwork({ name: 'x' }))).code).toBe('unavailable');
  await model.start();
  await model.createNetwork({ name: 'x' });
  await model.stop();
  expect((await failure(model.createNetwork({ name: 'y' }))).code).toBe('unavailable');
});

test('the stop waits for what is under way', async () => {
  let go = (): void => {};
  bench.realizer.delay = () => new Promise((resolve) => (go = resolve));
  const creation = bench.model.createNetwork({ name: 'late' });
  await new Promise((resolve) => setTimeout(resolve, 5));
  let stopped = false;
  const stop = bench.model.stop().then(() => (stopped = true));
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(stopped).toBe(false);
  go();
  await Promise.all([creation, stop]);
  expect(bench.model.network('late').name).toBe('late');
});

test('a pool that is none is refused at once', async () => {
  expect((await failure(startModel({ pools: ['10.0.0.0/8'] }))).field).toBe('pool');
});

describe('damaged intent is named by its key', () => {
  type Stored = Record<string, Json>;
  const cases: [string, string, (value: Stored) => unknown][] = [
    ['no object', 'networks/', () => 'text'],
    ['a missing field', 'networks/', ({ name: _, ...rest }) => rest],
    ['a wrong type', 'sandboxes/', (value) => ({ ...value, number: '1' })],
    ['an unknown network', 'endpoints/', (value) => ({ ...value, network: 'f'.repeat(64) })],
    [
      'a subnet that is none',
      'networks/',
      (value) => ({ ...value, subnets: [{ cidr: 'x', gateway: null, ipRange: null }] }),
    ],
    ['an address elsewhere', 'endpoints/', (value) => ({ ...value, ipv4: '192.0.2.1' })],
    ['an address that is none', 'endpoints/', (value) => ({ ...value, ipv4: 'x' })],
    [
      'a port that is none',
      'endpoints/',
      (value) => ({
        ...value,
        ports: [{ id: 1, hostIp: '', hostPort: 70000, hostPortEnd: 1, port: 1, portEnd: 1, protocol: 'tcp' }],
      }),
    ],
    [
      'an unknown sandbox',
      'endpoints/',
      (value) => ({ ...value, join: { sandbox: 'x', interface: 'eth0', generation: 1, slot: 1, member: 1 } }),
    ],
    ['the name of another', 'networks/', (value) => ({ ...value, name: 'web' })],
  ];
  test.each(cases)('%s', async (_, prefix, damage) => {
    const entries = await bench.store.list(prefix);
    const entry = entries.find(
      ({ value }) =>
        (value as Stored).name === (prefix === 'networks/' ? 'db' : prefix === 'sandboxes/' ? 'a' : 'e'),
    );
    if (!entry) throw new Error('not found');
    await bench.store.put(entry.key, damage(entry.value as Stored) as Json);
    const error = await failure(restart());
    expect(error.code).toBe('store');
    expect(error.message).toMatch(/'(networks|sandboxes|endpoints)\/[0-9a-f]{64}'/);
    expect(error.hint).toBeTruthy();
  });

  test.each([
    ['a slot twice', { slot: 1 }],
    ['a member place twice', { member: 1 }],
  ])('%s', async (_, part) => {
    const entry = (await bench.store.list('endpoints/')).find(
      ({ value }) => (value as Stored).name === 'web.b',
    );
    if (!entry) throw new Error('not found');
    const value = entry.value as Stored;
    await bench.store.put(entry.key, { ...value, join: { ...(value.join as Stored), ...part } });
    expect((await failure(restart())).code).toBe('store');
  });

  test('a generation that is none', async () => {
    await bench.store.put('generation', -1);
    expect((await failure(restart())).message).toContain("'generation'");
  });
});
