// SPDX-License-Identifier: Apache-2.0
/** Following an Engine: connecting, breaks, what is missed, what is cut. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Lines } from '../../../src/docker/engine/lines.js';
import { readContainer, readContainers, readEvent, signalNumber } from '../../../src/docker/engine/shapes.js';
import { FakeEngine, id } from './fake-engine.js';
import { type Followed, follow } from './followed.js';

let fake: FakeEngine;
let t: Followed;
beforeEach(() => {
  fake = new FakeEngine();
});
afterEach(async () => {
  await t?.stop();
  await fake.end();
});

const names = (): string[] => t.engine.picture.map(({ name, state }) => `${name} ${state}`).sort();

it('is content without an Engine, and finds it when it comes', async () => {
  t = await follow(fake);
  await t.until(() => expect(t.engine.status().error).toBe('there is no such socket'));
  expect(t.engine.status()).toMatchObject({ connected: false, version: null, containers: 0, problems: [] });
  fake.add('web');
  await fake.start();
  await t.connected();
  expect(t.engine.status()).toMatchObject({
    connected: true,
    version: '20.10.24',
    api: '1.41',
    error: null,
    containers: 1,
    running: 1,
  });
  expect(t.events).toMatchObject([{ type: 'engine', action: 'up', name: 'Docker 20.10.24' }]);
  expect(fake.asked[0]).toBe('/version');
  expect(fake.asked.slice(1).every((path) => path.startsWith('/v1.41/'))).toBe(true);
});

it('waits longer and longer between two tries', async () => {
  t = await follow(fake);
  const tried = (): number => t.clock.now();
  const pauses: number[] = [];
  await t.until(() => expect(t.engine.status().error).not.toBeNull());
  // The Engine answers from now on, each time with what makes us give up.
  fake.version = { Version: '1.12', ApiVersion: '1.24' };
  await fake.start();
  let last = tried();
  let seen = 0;
  while (pauses.length < 9) {
    t.clock.advance(50);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (fake.asked.length === seen) continue;
    // The try itself has to end before its pause begins.
    await t.until(() => expect(t.engine.status().error).toContain('1.24'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    seen = fake.asked.length;
    pauses.push(tried() - last);
    last = tried();
    if (pauses.length > 6) t.clock.advance(14_000);
  }
  for (const [i, pause] of pauses.slice(1, 6).entries())
    expect(pause).toBeGreaterThan((pauses[i] as number) * 1.5);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(15_100);
});

it.each([
  [{ ApiVersion: '1.24' }, 'it speaks version 1.24 of the API, 1.39 is needed'],
  [{ ApiVersion: '1.99', MinAPIVersion: '1.90' }, 'it speaks only versions from 1.90 of the API'],
  [{ Version: 'x' }, "the Engine's answer lacks 'ApiVersion'"],
])('says why it cannot speak with %j', async (version, why) => {
  fake.version = version;
  await fake.start();
  t = await follow(fake);
  await t.until(() => expect(t.engine.status().error).toContain(why));
});

it('speaks no newer version than it knows', async () => {
  fake.version = { Version: '99', ApiVersion: '1.99', MinAPIVersion: '1.44' };
  await fake.start();
  t = await follow(fake);
  await t.connected();
  expect(t.engine.status().api).toBe('1.51');
});

it.each([1, 7, 64, Number.POSITIVE_INFINITY])('reads events in pieces of %s bytes', async (pieces) => {
  fake.pieces = pieces;
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const web = fake.run('wéb-容器', { labels: { note: 'ünïcode ✓ "quoted" \n newline' } });
  await t.until(() => expect(names()).toEqual(['wéb-容器 running']));
  fake.die(web);
  await t.until(() => expect(names()).toEqual(['wéb-容器 exited']));
  fake.destroy(web);
  await t.until(() => expect(names()).toEqual([]));
});

it('follows renames, networks and stops', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const web = fake.run('web');
  await t.until(() => expect(names()).toEqual(['web running']));
  web.name = 'www';
  fake.event(web, 'rename', { oldName: '/web' });
  await t.until(() => expect(names()).toEqual(['www running']));
  web.networks = { net: { networkId: id('net'), endpointId: id('ep'), ip: '10.0.0.2' } };
  fake.send({
    Type: 'network',
    Action: 'connect',
    Actor: { ID: id('net'), Attributes: { container: web.id, name: 'net', type: 'sluice' } },
  });
  await t.until(() =>
    expect(t.engine.containers.ofEndpoint({ id: id('ep') })).toMatchObject({ id: web.id, name: 'www' }),
  );
  fake.die(web);
  await t.until(() => expect(t.engine.containers.ofEndpoint({ id: id('ep') })).toBeNull());
});

it('lists again after a break, and keeps what it knew meanwhile', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const [a, b] = [fake.run('a'), fake.run('b')];
  await t.until(() => expect(names()).toEqual(['a running', 'b running']));
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  expect(names()).toEqual(['a running', 'b running']);
  fake.containers.delete(a.id);
  b.state = 'exited';
  fake.add('c');
  await fake.start();
  await t.connected();
  expect(names()).toEqual(['b exited', 'c running']);
  expect(t.engine.counts).toMatchObject({ connections: 2, missed: 3 });
  expect(t.events.filter(({ type }) => type === 'engine').map(({ action }) => action)).toEqual([
    'up',
    'down',
    'up',
  ]);
});

it('puts right what no event told, once a minute', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const web = fake.run('web');
  await t.until(() => expect(names()).toEqual(['web running']));
  const listings = (): number => fake.asked.filter((path) => path.includes('containers/json')).length;
  const before = listings();
  t.clock.advance(60_000);
  await t.until(() => expect(listings()).toBe(before + 1));
  expect(t.engine.counts.missed).toBe(0);
  web.name = 'moved';
  await t.until(() => {
    // the minute begins when the listing before it has been read, which nothing tells
    t.clock.advance(60_000);
    expect(names()).toEqual(['moved running']);
  });
  expect(t.engine.counts.missed).toBe(1);
});

it('does not list through a connection that is over', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  for (let i = 0; i < 3; i++) {
    await fake.stop();
    await t.until(() => expect(t.engine.status().connected).toBe(false));
    await fake.start();
    await t.connected();
  }
  const listings = (): number => fake.asked.filter((path) => path.includes('containers/json')).length;
  const before = listings();
  t.clock.advance(60_000);
  await t.until(() => expect(listings()).toBe(before + 1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(listings()).toBe(before + 1);
});

it('does not let an older look undo an event', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const web = fake.run('web');
  await t.until(() => expect(names()).toEqual(['web running']));
  let open = (): void => {};
  fake.gate = new Promise((resolve) => {
    open = resolve;
  });
  // The look that this asks for is answered only after the container is gone.
  fake.event(web, 'unpause');
  await t.until(() => expect(fake.asked.at(-1)).toContain(web.id));
  fake.destroy(web);
  await t.until(() => expect(names()).toEqual([]));
  open();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(names()).toEqual([]);
});

it('does not believe an event of an earlier run', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  const web = fake.run('web');
  await t.until(() => expect(names()).toEqual(['web running']));
  fake.time = web.startedAt - 5;
  fake.event(web, 'die', { exitCode: '1' });
  fake.event(web, 'kill', { signal: '15' });
  await t.until(() => expect(t.engine.counts.events.get('kill')).toBe(1));
  expect(names()).toEqual(['web running']);
  expect(t.engine.picture[0]?.stopping).toBeNull();
});

it('stops at once, in the middle of everything', async () => {
  await fake.start();
  t = await follow(fake);
  await t.connected();
  fake.gate = new Promise(() => {});
  fake.run('web');
  await t.until(() => expect(fake.asked.at(-1)).toContain(id('web')));
  const began = Date.now();
  await t.engine.stop();
  expect(Date.now() - began).toBeLessThan(1000);
});

it('joins lines that are cut anywhere', () => {
  const text = Buffer.from('{"a":"é✓"}\n\n{"b":2}\r\n{"c":3');
  for (let size = 1; size <= text.length; size++) {
    const lines = new Lines();
    const found: string[] = [];
    for (let at = 0; at < text.length; at += size) found.push(...lines.push(text.subarray(at, at + size)));
    expect(found).toEqual(['{"a":"é✓"}', '{"b":2}']);
    expect(lines.push(Buffer.from('}\n'))).toEqual(['{"c":3}']);
  }
  expect(() => new Lines().push(Buffer.alloc(9 << 20))).toThrow('a line of more than');
});

it('reads what Engines leave out or put otherwise', () => {
  expect(
    readContainers([{ Id: 'x', Names: null, Labels: null, Status: 'Up (health: starting)' }]),
  ).toMatchObject([{ id: 'x', name: '', labels: {}, health: 'starting', networks: [] }]);
  expect(
    readContainer({ Id: 'x', Name: '/x', State: { StartedAt: '2026-01-01T00:00:00.123456789Z' } }),
  ).toMatchObject({ startedAt: Date.UTC(2026, 0, 1) + 123.456789, stopTimeout: null, stopSignal: 15 });
  expect(readEvent({ Type: 'image', Action: 'pull' })).toBeNull();
  expect(
    readEvent({ Type: 'container', Action: 'health_status: healthy', Actor: { ID: 'x' }, time: 5 }),
  ).toMatchObject({ action: 'health_status', detail: 'healthy', attributes: {}, time: 5000 });
  expect(() => readContainers({})).toThrow('no list');
  expect(['SIGQUIT', 'quit', '3', '', 'SIGRTMIN+3', 'NONSENSE'].map(signalNumber)).toEqual([
    3, 3, 3, 15, 37, 15,
  ]);
});
