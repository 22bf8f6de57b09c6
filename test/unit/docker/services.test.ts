// SPDX-License-Identifier: Apache-2.0
/** Labels of containers as services, and what becomes of their backends. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Service } from '../../../src/cnm/types.js';
import { readLabels } from '../../../src/docker/engine/labels.js';
import { dockerEndpoint, dockerNetwork, ours } from './dockers.js';
import { type FakeContainer, FakeEngine, id } from './fake-engine.js';
import { type Followed, follow } from './followed.js';

let fake: FakeEngine;
let t: Followed;
beforeEach(async () => {
  fake = new FakeEngine();
  await fake.start();
  t = await follow(fake);
  await t.connected();
});
afterEach(async () => {
  await t.stop();
  await fake.end();
});

const WEB = { 'sluice.service': 'web', 'sluice.port': '80:8080' };
const web = (): Service => t.model.service('web');
const backendsAre = (...states: string[]): Promise<void> =>
  t.until(() => expect(t.backends('web')).toEqual(states));
/** Once the Engine's events so far have been taken in. */
const settled = async (): Promise<void> => {
  const seen = t.engine.counts.events.get('rename') ?? 0;
  fake.event(fake.containers.get(id('marker')) ?? fake.add('marker', { state: 'exited' }), 'rename');
  await t.until(() => expect(t.engine.counts.events.get('rename')).toBe(seen + 1));
  await new Promise((resolve) => setTimeout(resolve, 20));
};

it('makes a service of labels, and ends it with its last container', async () => {
  const one = fake.run('one', {
    labels: {
      ...WEB,
      'sluice.weight': '5',
      'sluice.publish': '8000',
      'sluice.algorithm': 'maglev',
      'sluice.affinity': '',
      'sluice.allow': '192.0.2.0/24, 2001:db8::1',
    },
  });
  await backendsAre('one active');
  expect(web()).toMatchObject({
    name: 'web',
    network: null,
    vip: null,
    ports: [{ port: 80, backendPort: 8080, protocol: 'tcp' }],
    publish: [{ hostPort: 8000, port: 80, protocol: 'tcp' }],
    algorithm: 'maglev',
    affinity: 10_800,
    allow: ['192.0.2.0/24', '2001:db8::1/128'],
    declaredBy: { id: one.id, name: 'one' },
    backends: [{ endpoint: null, weight: 5, state: 'active', healthy: null }],
  });
  expect(t.model.service(web().id.slice(0, 8)).name).toBe('web');
  fake.run('two', { labels: WEB });
  await backendsAre('one active', 'two active');
  fake.destroy(one);
  await backendsAre('two active');
  fake.destroy(fake.containers.get(id('two')) as FakeContainer);
  await t.until(() => expect(t.model.services()).toEqual([]));
  expect(
    t.events.filter(({ type }) => type === 'service').map(({ action, attributes }) => [action, attributes]),
  ).toEqual([
    ['create', { ports: '80:8080/tcp' }],
    ['update', { container: 'one', backend: 'active' }],
    ['update', { container: 'two', backend: 'active' }],
    ['update', { ports: '80:8080/tcp' }],
    ['update', { container: 'one', backend: 'gone' }],
    ['remove', {}],
    ['update', { container: 'two', backend: 'gone' }],
  ]);
});

it('takes a backend in when its check passes, and out of new flows when it fails', async () => {
  const one = fake.run('one', { labels: WEB, health: 'starting' });
  await backendsAre('one starting');
  expect(web().backends[0]?.healthy).toBe(false);
  fake.health(one, 'healthy');
  await backendsAre('one active');
  expect(web().backends[0]?.healthy).toBe(true);
  fake.health(one, 'unhealthy');
  await backendsAre('one draining');
  fake.health(one, 'healthy');
  await backendsAre('one active');
});

it('drains on a stop, and lets go when the container dies', async () => {
  const one = fake.run('one', { labels: WEB });
  await backendsAre('one active');
  fake.event(one, 'kill', { signal: '15' });
  await backendsAre('one draining');
  fake.die(one);
  await backendsAre('one gone');
  // The service stays while the container may start again.
  fake.restart(one);
  await backendsAre('one active');
});

it('drains on the signal that the container stops by, and on no other', async () => {
  const nginx = fake.run('nginx', { labels: WEB, stopSignal: 'SIGQUIT' });
  await backendsAre('nginx active');
  for (const signal of ['1', '15', '10']) fake.event(nginx, 'kill', { signal });
  await settled();
  expect(t.backends('web')).toEqual(['nginx active']);
  fake.event(nginx, 'kill', { signal: '3' });
  await backendsAre('nginx draining');
});

it.each([
  [null, 10],
  [40, 40],
  [0, 0],
])('takes it in again where it goes on after a stop timeout of %s', async (stopTimeout, seconds) => {
  const one = fake.run('one', { labels: WEB, stopTimeout });
  await backendsAre('one active');
  fake.event(one, 'kill', { signal: '15' });
  await backendsAre('one draining');
  t.clock.advance(seconds * 1000 + 2900);
  await settled();
  expect(t.backends('web')).toEqual(['one draining']);
  t.clock.advance(200);
  await backendsAre('one active');
});

it('drains for ever where the container may take for ever, and while it is paused', async () => {
  const one = fake.run('one', { labels: WEB, stopTimeout: -1 });
  const two = fake.run('two', { labels: WEB });
  await backendsAre('one active', 'two active');
  fake.event(one, 'kill', { signal: '15' });
  two.state = 'paused';
  fake.event(two, 'pause');
  await backendsAre('one draining', 'two draining');
  t.clock.advance(3_600_000);
  two.state = 'running';
  fake.event(two, 'unpause');
  await backendsAre('one draining', 'two active');
});

it('puts right by its listing what it missed', async () => {
  const healthy = (name: string): FakeContainer => fake.run(name, { labels: WEB, health: 'healthy' });
  const [one, two, three] = [healthy('one'), healthy('two'), healthy('three')];
  await backendsAre('one active', 'two active', 'three active');
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  // As long as nobody knows better, all stay.
  expect(t.backends('web')).toEqual(['one active', 'two active', 'three active']);
  fake.containers.delete(one.id);
  two.health = 'unhealthy';
  three.name = 'drei';
  fake.add('four', { labels: WEB });
  await fake.start();
  await t.connected();
  await backendsAre('two draining', 'drei active', 'four active');
});

it('keeps services over a restart, while the Engine is away', async () => {
  fake.run('one', { labels: WEB });
  await backendsAre('one active');
  const before = web();
  await fake.stop();
  t = await t.restarted();
  expect(t.model.services()).toEqual([before]);
  await t.until(() => expect(t.engine.status().error).not.toBeNull());
  expect(t.model.services()).toEqual([before]);
  await fake.start();
  await t.connected();
  fake.run('two', { labels: WEB });
  await backendsAre('one active', 'two active');
  expect(web().id).toBe(before.id);
});

it('writes nothing where nothing has changed', async () => {
  const one = fake.run('one', { labels: WEB });
  await backendsAre('one active');
  await settled();
  const writes = t.store.transactions;
  fake.event(one, 'unpause');
  t.clock.advance(60_000);
  await settled();
  expect(t.store.transactions).toBe(writes);
});

it('tries again where the store failed', async () => {
  t.store.failAfter = 1;
  fake.run('one', { labels: WEB });
  await settled();
  await t.until(() => expect(t.store.failures).toBeLessThan(1));
  await t.until(() => {
    t.clock.advance(1000);
    expect(t.backends('web')).toEqual(['one active']);
  });
});

it('finds our endpoint of a container, whichever comes first', async () => {
  await dockerNetwork(t.model, 'net', '10.64.0.0/24');
  const networks = { net: { networkId: id('net'), endpointId: id('ep1'), ip: '10.64.0.2' } };
  fake.run('one', { labels: WEB, networks });
  await backendsAre('one active');
  expect(web()).toMatchObject({ network: null, backends: [{ endpoint: null }] });
  await dockerEndpoint(t.model, 'ep1', 'net', '10.64.0.2');
  await t.until(() =>
    expect(web()).toMatchObject({ network: ours('net'), backends: [{ endpoint: ours('ep1') }] }),
  );
  expect(t.engine.containers.ofEndpoint({ id: id('ep1') })).toMatchObject({ name: 'one', network: 'net' });
});

describe('containers that disagree', () => {
  const other = { ...WEB, 'sluice.port': '80:9090' };

  it('are told, and the first one holds while it runs', async () => {
    const one = fake.run('one', { labels: WEB });
    await backendsAre('one active');
    const two = fake.run('two', { labels: other });
    await t.until(() =>
      expect(t.engine.status().problems).toMatchObject([
        { container: { name: 'two' }, service: 'web', label: 'sluice.port' },
      ]),
    );
    expect(t.backends('web')).toEqual(['one active']);
    expect(t.events.filter(({ type }) => type === 'container')).toMatchObject([
      { action: 'error', id: two.id, name: 'two', attributes: { label: 'sluice.port', service: 'web' } },
    ]);
    // Once, however often it is looked at.
    fake.event(two, 'unpause');
    await settled();
    expect(t.events.filter(({ type }) => type === 'container')).toHaveLength(1);

    fake.die(one);
    await backendsAre('two active');
    expect(web().ports).toEqual([{ port: 80, backendPort: 9090, protocol: 'tcp' }]);
    expect(t.engine.status().problems).toMatchObject([{ container: { name: 'one' } }]);
    fake.restart(one);
    await settled();
    expect(t.backends('web')).toEqual(['two active']);
  });

  it('leave a restart of the daemon with the same holder', async () => {
    const one = fake.run('one', { labels: WEB });
    await backendsAre('one active');
    fake.run('two', { labels: other });
    fake.die(one);
    await backendsAre('two active');
    fake.restart(one);
    t = await t.restarted();
    await t.connected();
    await settled();
    expect(t.backends('web')).toEqual(['two active']);
  });

  it('do not by what they leave out, or write in another order', async () => {
    fake.run('one', { labels: { ...WEB, 'sluice.port': '80:8080,443', 'sluice.algorithm': 'maglev' } });
    fake.run('two', { labels: { ...WEB, 'sluice.port': ' 443/tcp , 80:8080/TCP', 'sluice.weight': '9' } });
    await backendsAre('one active', 'two active');
    expect(web().algorithm).toBe('maglev');
    expect(t.engine.status().problems).toEqual([]);
  });
});

it('tells bad labels with their container, and changes nothing', async () => {
  fake.run('one', { labels: WEB });
  await backendsAre('one active');
  fake.run('bad', { labels: { ...WEB, 'sluice.weight': 'heavy', 'sluice.allow': '10.0.0.1/8' } });
  fake.run('lonely', { labels: { 'sluice.port': '80' } });
  await t.until(() => expect(t.engine.status().problems).toHaveLength(3));
  expect(
    t.engine.status().problems.map(({ container, label, message }) => [container.name, label, message]),
  ).toEqual([
    ['bad', 'sluice.allow', "allowed source '10.0.0.1/8' has bits behind its prefix (write 10.0.0.0/8)"],
    ['bad', 'sluice.weight', expect.stringContaining("'heavy' is not a weight")],
    ['lonely', 'sluice.port', 'without sluice.service it says nothing'],
  ]);
  expect(t.backends('web')).toEqual(['one active']);
  fake.destroy(fake.containers.get(id('bad')) as FakeContainer);
  await t.until(() => expect(t.engine.status().problems).toHaveLength(1));
});

describe('labels', () => {
  const read = (labels: Record<string, string>) => readLabels({ ...WEB, ...labels });

  it('are none of ours', () => {
    expect(readLabels({ 'com.example': 'x', sluice: 'y' })).toEqual({
      declaration: null,
      problems: [],
    });
  });

  it('that are unknown are told, and harm nothing', () => {
    const { declaration, problems } = read({ 'sluice.wieght': '4' });
    expect(declaration).toMatchObject({ service: 'web', weight: 1 });
    expect(problems).toMatchObject([{ label: 'sluice.wieght' }]);
  });

  it.each([
    ['80', [[80, 80, 'tcp']]],
    ['80:8080/udp', [[80, 8080, 'udp']]],
    [
      '53/udp,53/tcp',
      [
        [53, 53, 'udp'],
        [53, 53, 'tcp'],
      ],
    ],
  ])('name ports: %s', (text, ports) => {
    expect(
      read({ 'sluice.port': text }).declaration?.settings.ports.map(({ port, backendPort, protocol }) => [
        port,
        backendPort,
        protocol,
      ]),
    ).toEqual(ports);
  });

  it.each([
    ['8000', '80:8080', [[8000, 80]]],
    [
      '80,443',
      '80:8080,443',
      [
        [80, 80],
        [443, 443],
      ],
    ],
    ['8443:443', '80:8080,443', [[8443, 443]]],
    ['53:53/udp', '53/udp,53/tcp', [[53, 53]]],
  ])('publish %s of %s', (publish, port, wanted) => {
    expect(
      read({ 'sluice.port': port, 'sluice.publish': publish }).declaration?.settings.publish.map((p) => [
        p.hostPort,
        p.port,
      ]),
    ).toEqual(wanted);
  });

  it.each([
    ['', 10_800],
    ['true', 10_800],
    ['off', null],
    ['90', 90],
    ['30m', 1800],
  ])('keep clients for "%s"', (text, seconds) => {
    expect(read({ 'sluice.affinity': text }).declaration?.settings.affinity).toBe(seconds);
  });

  it.each([
    ['sluice.service', 'a/b', 'is not a name'],
    ['sluice.port', '', 'names no port'],
    ['sluice.port', '0', 'not a port number'],
    ['sluice.port', '80:70000', 'not a port number'],
    ['sluice.port', '80/icmp', 'not a protocol'],
    ['sluice.port', 'http', 'not a port of a service'],
    ['sluice.port', '80,80:8080', 'names 80/tcp twice'],
    ['sluice.port', Array.from({ length: 33 }, (_, i) => i + 1).join(','), '33 ports, 32 at most'],
    ['sluice.publish', '8443:443', 'publishes no port of the service'],
    ['sluice.publish', '80/udp', 'publishes no port of the service'],
    ['sluice.weight', '1001', 'not a weight'],
    ['sluice.weight', '-1', 'not a weight'],
    ['sluice.algorithm', 'rr', 'not an algorithm'],
    ['sluice.affinity', '8d', 'not a time of affinity'],
    ['sluice.affinity', '0', 'not a time of affinity'],
    ['sluice.allow', 'all', 'not a range of addresses'],
  ])('%s=%s counts for nothing', (label, value, why) => {
    const { declaration, problems } = read({ [label]: value });
    expect(declaration).toBeNull();
    expect(problems).toMatchObject([{ label, message: expect.stringContaining(why) }]);
  });

  it('miss the port', () => {
    expect(readLabels({ 'sluice.service': 'web' }).problems).toMatchObject([{ label: 'sluice.port' }]);
    expect(read({ 'sluice.publish': '1', 'sluice.port': '80,443' }).problems).toMatchObject([
      { label: 'sluice.publish', message: expect.stringContaining('several ports') },
    ]);
  });
});
