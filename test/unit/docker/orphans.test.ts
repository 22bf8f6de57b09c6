// SPDX-License-Identifier: Apache-2.0
/** What Docker does not know any more; through the API and the command line. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApi, type TestApi } from '../api/support.js';
import { sluice } from '../cli/support.js';
import { made } from '../support/model.js';
import { dockerEndpoint, dockerNetwork, ours } from './dockers.js';
import { FakeEngine, id } from './fake-engine.js';
import { type Followed, follow } from './followed.js';

let fake: FakeEngine;
let t: Followed;
let api: TestApi;
const cli = (...argv: string[]) => sluice({ SLUICE_SOCKET: api.socket }, ...argv);
const subnet = (name: string) => ({ known: '10.70.0.0/24', lost: '10.71.0.0/24' })[name] as string;
const config = (name: string) => ({ IPAM: { Driver: 'sluice', Config: [{ Subnet: subnet(name) }] } });

beforeEach(async () => {
  fake = new FakeEngine();
  await fake.start();
  t = await follow(fake);
  await t.connected();
  api = await startApi({ cnm: t.model, docker: t.engine });
  for (const name of ['known', 'lost']) await dockerNetwork(t.model, name, subnet(name));
  await made(t.model.createNetwork({ name: 'own' }));
  fake.networks.set('known', { id: id('known'), name: 'known', ...config('known') });
  await dockerEndpoint(t.model, 'live', 'known', '10.70.0.2');
  await dockerEndpoint(t.model, 'starting', 'known', '10.70.0.3');
  await dockerEndpoint(t.model, 'dead', 'lost', '10.71.0.2');
  await made(t.model.createEndpoint({ name: 'mine', network: 'own' }));
  const on = (endpoint: string, ip: string) => ({
    known: { networkId: id('known'), endpointId: id(endpoint), ip },
  });
  fake.run('live-one', { networks: on('live', '10.70.0.2') });
  fake.add('starting-one', { state: 'created', networks: on('starting', '10.70.0.3') });
  await t.until(() => expect(t.engine.containers.ofEndpoint({ id: id('live') })).not.toBeNull());
});
afterEach(async () => {
  await api.close();
  await t.stop();
  await fake.end();
});

const NAMES = [`endpoint ${ours('dead')}`, `network ${ours('lost')}`];
const orphans = async (): Promise<string[]> =>
  (await t.engine.orphans()).map(({ kind, name }) => `${kind} ${name}`);
/** Time passes, beyond the patience with what is asked just then: nothing must be. */
const later = async (ms: number): Promise<void> => {
  const lists = () => fake.asked.filter((path) => path.endsWith('/networks')).length;
  const before = lists();
  t.clock.advance(60_001);
  await t.until(() => expect(lists()).toBeGreaterThan(before));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.clock.advance(ms - 60_001);
};
const endpoints = (): string[] => t.model.endpoints().map(({ name }) => name);
/** Both are there again. */
const reconnect = async (): Promise<void> => {
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  await fake.start();
  await t.connected();
};

it('are found a minute after they were made, and not while their container starts', async () => {
  expect(await orphans()).toEqual([]);
  t.clock.advance(60_000);
  expect(await orphans()).toEqual([]);
  t.clock.advance(1);
  expect(await orphans()).toEqual(NAMES);
});

it('are shown, and removed only when told to', async () => {
  t.clock.advance(61_000);
  expect(await cli('docker', 'prune')).toEqual({
    code: 0,
    out: `would remove ${NAMES[0]}\nwould remove ${NAMES[1]}\nNothing is removed without --force.\n`,
    err: '',
  });
  expect((await cli('docker', 'prune', '--dry-run')).out).toContain(`would remove ${NAMES[0]}`);
  expect((await cli('docker', 'prune', '--dry-run', '--force')).code).toBe(2);
  expect(await api.call('POST', '/docker/prune?dryRun=true')).toMatchObject({
    status: 200,
    body: { dryRun: true, orphans: [{ id: id('dead') }, { id: id('lost') }] },
  });
  expect(t.model.endpoints()).toHaveLength(4);
  expect(await cli('docker', 'prune', '--force')).toEqual({
    code: 0,
    out: `${NAMES[0]}\n${NAMES[1]}\n`,
    err: '',
  });
  expect(endpoints()).toEqual([ours('live'), ours('starting'), 'mine']);
  expect(t.model.networks().map(({ name }) => name)).toEqual([ours('known'), 'own']);
  expect(await cli('docker', 'prune', '--force', '--format', 'json')).toMatchObject({
    code: 0,
    out: '{\n  "removed": [],\n  "failed": []\n}\n',
  });
});

it('are taken out of the sandboxes that were made for them', async () => {
  await made(t.model.createSandbox({ name: 'of-mine' }));
  await t.model.remote.join(id('dead'), '/var/run/docker/netns/0123456789ab');
  expect(t.model.sandboxes()).toHaveLength(2);
  t.clock.advance(61_000);
  await t.engine.prune();
  expect(t.model.sandboxes().map(({ name }) => name)).toEqual(['of-mine']);
});

it('do not keep each other when one cannot be removed', async () => {
  t.clock.advance(61_000);
  t.store.failAfter = 0;
  const { code, out, err } = await cli('docker', 'prune', '--force');
  expect([code, out]).toEqual([1, `${NAMES[1]}\n`]);
  expect(err).toContain(`${NAMES[0]} is left`);
});

describe('of addresses', () => {
  const space = 'SluiceLocal';
  const pool = async (name: string): Promise<string> => {
    const { id: poolId } = await t.model.leases.requestPool({
      space,
      cidr: subnet(name),
      range: null,
      ipv6: false,
    });
    await t.model.leases.requestAddress(poolId, null, 'gateway');
    return poolId;
  };
  const take = (poolId: string, ...addresses: string[]) =>
    Promise.all(addresses.map((address) => t.model.leases.requestAddress(poolId, address, 'host')));
  const held = (): string[] => t.model.leases.held().flatMap(({ leases }) => leases.map((l) => l.address));

  it('are those of nobody, in pools that one network has', async () => {
    await t.model.remote.removeNetwork(id('known'));
    const poolId = await pool('known');
    await dockerNetwork(t.model, 'known', subnet('known'));
    await dockerEndpoint(t.model, 'live', 'known', '10.70.0.2');
    const { IPAM } = config('known');
    const [{ Subnet } = { Subnet: '' }] = IPAM.Config;
    const Config = [{ Subnet, Gateway: '10.70.0.1', AuxiliaryAddresses: { router: '10.70.0.9' } }];
    fake.networks.set('known', { id: id('known'), name: 'known', IPAM: { ...IPAM, Config } });
    await take(poolId, '10.70.0.2', '10.70.0.3', '10.70.0.9', '10.70.0.50');
    await later(75_000);
    // Asked for again since: younger, however old its neighbours are.
    await t.model.leases.releaseAddress(poolId, '10.70.0.50');
    await take(poolId, '10.70.0.50', '10.70.0.60');
    t.clock.advance(40_000);
    expect(await orphans()).toEqual(NAMES);
    await later(61_000);
    expect(await orphans()).toEqual([NAMES[0], 'address 10.70.0.50', 'address 10.70.0.60', NAMES[1]]);
    await t.engine.prune();
    expect(held()).toEqual(['10.70.0.1', '10.70.0.2', '10.70.0.3', '10.70.0.9']);
  });

  it('are not those of pools that two networks seem to have, or one of a swarm', async () => {
    const poolId = await t.model.leases.requestPool({
      space,
      cidr: '10.80.0.0/24',
      range: null,
      ipv6: false,
    });
    await take(poolId.id, '10.80.0.7');
    const IPAM = { Config: [{ Subnet: '10.80.0.0/24' }] };
    fake.networks.set('a', { id: id('a'), name: 'a', Driver: 'bridge', IPAM });
    fake.networks.set('b', { id: id('b'), name: 'b', Driver: 'bridge', IPAM });
    t.clock.advance(61_000);
    expect(await orphans()).toEqual(NAMES);
    fake.networks.delete('b');
    expect(await orphans()).toEqual([NAMES[0], 'address 10.80.0.7', NAMES[1]]);
    fake.networks.set('a', { id: id('a'), name: 'a', Scope: 'swarm', IPAM });
    expect(await orphans()).toEqual(NAMES);
  });

  it('go with their pool, which no network has, in any number of holders', async () => {
    const { id: poolId } = await t.model.leases.requestPool({
      space,
      cidr: '10.80.0.0/24',
      range: null,
      ipv6: false,
    });
    await take(poolId, '10.80.0.7');
    expect(await orphans()).toEqual([]);
    t.clock.advance(61_000);
    expect(await orphans()).toEqual([...NAMES, 'pool 10.80.0.0/24']);
    expect((await cli('docker', 'prune', '--force')).out).toContain('pool 10.80.0.0/24');
    expect(t.model.leases.held()).toEqual([]);
    expect(await t.store.list('leases/')).toEqual([]);
  });

  it('stay where they were asked for again after Docker was', async () => {
    const { id: poolId } = await t.model.leases.requestPool({
      space,
      cidr: '10.80.0.0/24',
      range: null,
      ipv6: false,
    });
    await take(poolId, '10.80.0.7');
    const [before] = t.model.leases.held();
    await t.model.leases.releaseAddress(poolId, '10.80.0.7');
    await take(poolId, '10.80.0.7');
    await t.model.leases.requestPool({ space, cidr: '10.80.0.0/24', range: null, ipv6: false });
    if (!before?.leases[0]) throw new Error('no pool');
    await t.model.leases.reclaimAddress(before.leases[0]);
    await t.model.leases.reclaimPool(before.pool);
    expect(held()).toEqual(['10.80.0.7']);
  });
});

describe('after a connection', () => {
  beforeEach(async () => {
    await dockerEndpoint(t.model, 'left', 'known', '10.70.0.4');
  });

  it('go where they are certain: old enough, on a network that this Engine has', async () => {
    t.clock.advance(121_000);
    await reconnect();
    await t.until(() => expect(endpoints()).not.toContain(ours('left')));
    expect([...t.engine.reaped]).toEqual([['endpoint', 1]]);
    expect(endpoints()).toEqual([ours('live'), ours('starting'), ours('dead'), 'mine']);
    expect(t.model.networks().map(({ name }) => name)).toContain(ours('lost'));
    expect(await orphans()).toEqual(NAMES);
  });

  it('go a while later where they were too young', async () => {
    await reconnect();
    t.clock.advance(30_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(endpoints()).toContain(ours('left'));
    t.clock.advance(91_000);
    await t.until(() => expect(endpoints()).not.toContain(ours('left')));
  });

  it('stay where the Engine is another one, or cannot list everything', async () => {
    t.clock.advance(121_000);
    const asked = fake.asked.length;
    fake.networks.set('known', { id: id('of another'), name: 'known', ...config('known') });
    await reconnect();
    const looked = () =>
      fake.asked.slice(asked).some((path) => path.endsWith(`/networks/${id('of another')}`));
    await t.until(() => expect(looked()).toBe(true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(endpoints()).toContain(ours('left'));
    expect([...t.engine.reaped]).toEqual([]);
    expect(await orphans()).toContain(`endpoint ${ours('left')}`);
  });
});

it('are not to be told without the Engine', async () => {
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  const { code, err } = await cli('docker', 'prune', '--force');
  expect(code).toBe(1);
  expect(err).toContain(`no Docker Engine answers at unix://${fake.socket}`);
  expect((await api.call('GET', '/docker/orphans')).status).toBe(503);
});

it('shows what Docker calls networks and containers', async () => {
  const { body } = await api.call('GET', '/endpoints');
  expect(body.map((e: { name: string; container?: object }) => [e.name, e.container])).toEqual([
    [ours('live'), { id: id('live-one'), name: 'live-one', network: 'known' }],
    [ours('starting'), undefined],
    [ours('dead'), undefined],
    ['mine', undefined],
  ]);
  expect((await api.call('GET', `/endpoints/${ours('live')}`)).body.container.name).toBe('live-one');
  expect((await cli('endpoint', 'ls')).out).toMatch(
    /CONTAINER +DOCKER NETWORK[^\n]*\n\S+ +docker-\w+ .* live-one +known /,
  );
  expect((await api.call('GET', '/networks')).body[0]).not.toHaveProperty('dockerName');
  fake.send({ Type: 'network', Action: 'create', Actor: { ID: id('known'), Attributes: { name: 'known' } } });
  await t.until(() => expect(t.engine.networks.of({ id: id('known') })).toBe('known'));
  const networks = (await api.call('GET', '/networks')).body as { name: string; dockerName?: string }[];
  expect(networks.map(({ name, dockerName }) => [name, dockerName])).toEqual([
    [ours('known'), 'known'],
    [ours('lost'), undefined],
    ['own', undefined],
  ]);
  expect((await cli('network', 'ls')).out).toMatch(/DOCKER NAME[^\n]*\n\S+ +docker-\w+ +known /);
  expect(JSON.parse((await cli('network', 'inspect', ours('known'))).out)).toMatchObject([
    { dockerName: 'known' },
  ]);
});

it('shows services, the Engine, and what is wrong with labels', async () => {
  const labels = { 'sluice.service': 'web', 'sluice.port': '80:8080,443', 'sluice.publish': '8000:80' };
  const networks = { known: { networkId: id('known'), endpointId: id('dead'), ip: '10.0.0.3' } };
  fake.run('web-one', { labels, networks });
  fake.run('web-two', { labels, health: 'starting' });
  fake.run('web-bad', { labels: { 'sluice.service': 'web', 'sluice.port': 'http' } });
  await t.until(() => {
    expect(t.backends('web')).toEqual(['web-one active', 'web-two starting']);
    expect(t.engine.status().problems).toHaveLength(1);
  });
  expect((await api.call('GET', '/services')).body).toMatchObject([{ name: 'web', network: ours('lost') }]);
  expect((await api.call('GET', '/services/web')).body.backends).toHaveLength(2);
  expect((await api.call('GET', '/services/nix')).status).toBe(404);
  const [heading = '', row = ''] = (await cli('service', 'ls')).out.split('\n');
  expect(heading.split(/ {3,}/)).toEqual([
    'SERVICE ID',
    'NAME',
    'NETWORK',
    'ADDRESS',
    'PORTS',
    'PUBLISH',
    'BACKENDS',
  ]);
  expect(row.split(/ {3,}/).slice(1)).toEqual([
    'web',
    ours('lost'),
    '10.71.0.254',
    '80->8080/tcp, 443/tcp',
    '8000->80/tcp',
    '1 active, 1 starting',
  ]);
  expect(JSON.parse((await cli('service', 'inspect', 'web')).out)).toMatchObject([{ name: 'web' }]);
  const status = (await cli('status')).out;
  expect(status).toMatch(/^Docker: +20\.10\.24 at unix:\S+ for \d+s, 4 of 4 containers run, 1 services$/m);
  expect(status).toMatch(/^web-bad +sluice\.port +'http' is not a port/m);
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  expect((await cli('status')).out).toMatch(/^Docker: +not connected to unix:/m);
});

it('prints an adoption as a script', async () => {
  fake.run('plain', { networks: { known: { networkId: id('known'), endpointId: id('p'), ip: '10.0.0.4' } } });
  const { code, out } = await cli('docker', 'adopt', 'known');
  expect(code).toBe(0);
  expect(out).toMatch(/^# Network known: 10\.70\.0\.0\/24$/m);
  expect(out).toMatch(/^docker network connect known-sluice plain$/m);
  expect(out).toMatch(/^# docker network connect known plain$/m);
  expect(JSON.parse((await cli('docker', 'adopt', 'known', '--format', 'json')).out)).toMatchObject({
    target: 'known-sluice',
  });
  expect(await cli('docker', 'adopt', 'known', '--apply')).toMatchObject({ code: 1, out: '' });
  expect((await cli('docker', 'adopt', 'known', '--apply', '--dry-run')).code).toBe(2);
  expect((await cli('docker', 'adopt', 'nix')).err).toContain("Docker has no network 'nix'");
  expect((await api.call('POST', '/docker/networks/known/adopt')).body.code).toBe('unsupported');
});

it('is a daemon without Docker, too', async () => {
  const alone = await startApi();
  try {
    expect((await alone.call('GET', '/docker/orphans')).body).toMatchObject({ code: 'unavailable' });
    expect((await alone.call('POST', '/docker/prune')).body).toMatchObject({ code: 'unavailable' });
  } finally {
    await alone.close();
  }
});
