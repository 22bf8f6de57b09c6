// SPDX-License-Identifier: Apache-2.0
/** What Docker does not know any more; through the API and the command line. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startApi, type TestApi } from '../api/support.js';
import { sluice } from '../cli/support.js';
import { made } from '../support/model.js';
import { FakeEngine, id } from './fake-engine.js';
import { type Followed, follow } from './followed.js';

let fake: FakeEngine;
let t: Followed;
let api: TestApi;
const cli = (...argv: string[]) => sluice({ SLUICE_SOCKET: api.socket }, ...argv);

beforeEach(async () => {
  fake = new FakeEngine();
  await fake.start();
  t = await follow(fake);
  await t.connected();
  api = await startApi({ cnm: t.model, docker: t.engine });
  for (const name of ['known', 'lost']) {
    const labels = { 'sluice.docker.network': id(name) };
    await made(t.model.createNetwork({ name, labels }));
  }
  await made(t.model.createNetwork({ name: 'own' }));
  fake.networks.set('known', { id: id('known'), name: 'known' });
  for (const name of ['live', 'starting', 'dead']) {
    const labels = { 'sluice.docker.endpoint': id(name) };
    await made(t.model.createEndpoint({ name, network: name === 'dead' ? 'lost' : 'known', labels }));
  }
  await made(t.model.createEndpoint({ name: 'mine', network: 'own' }));
  const on = (endpoint: string) => ({
    known: { networkId: id('known'), endpointId: id(endpoint), ip: '10.0.0.2' },
  });
  fake.run('live-one', { networks: on('live') });
  fake.add('starting-one', { state: 'created', networks: on('starting') });
  await t.until(() => expect(t.engine.containers.ofDockerEndpoint(id('live'))).not.toBeNull());
});
afterEach(async () => {
  await api.close();
  await t.stop();
  await fake.end();
});

const NAMES = ['endpoint dead', 'network lost'];
const orphans = async (): Promise<string[]> =>
  (await t.engine.orphans()).map(({ kind, name }) => `${kind} ${name}`);

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
    out: 'would remove endpoint dead\nwould remove network lost\nNothing is removed without --force.\n',
    err: '',
  });
  expect((await cli('docker', 'prune', '--dry-run')).out).toContain('would remove endpoint dead');
  expect((await cli('docker', 'prune', '--dry-run', '--force')).code).toBe(2);
  expect(await api.call('POST', '/docker/prune?dryRun=true')).toMatchObject({
    status: 200,
    body: { dryRun: true, orphans: [{ name: 'dead', dockerId: id('dead') }, { name: 'lost' }] },
  });
  expect(t.model.endpoints()).toHaveLength(4);
  expect(await cli('docker', 'prune', '--force')).toEqual({
    code: 0,
    out: 'endpoint dead\nnetwork lost\n',
    err: '',
  });
  expect(t.model.endpoints().map(({ name }) => name)).toEqual(['live', 'starting', 'mine']);
  expect(t.model.networks().map(({ name }) => name)).toEqual(['known', 'own']);
  expect(await cli('docker', 'prune', '--force', '--format', 'json')).toMatchObject({
    code: 0,
    out: '{\n  "removed": [],\n  "failed": []\n}\n',
  });
});

it('are taken out of the sandboxes that were made for them', async () => {
  const netns = '/var/run/docker/netns/0123456789ab';
  t.host.namespaces.set(netns, []);
  await made(t.model.createSandbox({ name: 'of-docker', netns }));
  await made(t.model.createSandbox({ name: 'of-mine' }));
  await made(t.model.join('dead', 'of-docker'));
  t.clock.advance(61_000);
  await t.engine.prune();
  expect(t.model.sandboxes().map(({ name }) => name)).toEqual(['of-mine']);
});

it('do not keep each other when one cannot be removed', async () => {
  t.clock.advance(61_000);
  await made(t.model.createEndpoint({ name: 'holds', network: 'lost' }));
  const { code, out, err } = await cli('docker', 'prune', '--force');
  expect([code, out]).toEqual([1, 'endpoint dead\n']);
  expect(err).toContain('network lost is left');
});

it('are not to be told without the Engine', async () => {
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  const { code, err } = await cli('docker', 'prune', '--force');
  expect(code).toBe(1);
  expect(err).toContain(`no Docker Engine answers at unix://${fake.socket}`);
  expect((await api.call('GET', '/docker/orphans')).status).toBe(503);
});

it('shows the containers of endpoints', async () => {
  const { body } = await api.call('GET', '/endpoints');
  expect(body.map((e: { name: string; container?: object }) => [e.name, e.container])).toEqual([
    ['live', { id: id('live-one'), name: 'live-one' }],
    ['starting', undefined],
    ['dead', undefined],
    ['mine', undefined],
  ]);
  expect((await api.call('GET', '/endpoints/live')).body.container.name).toBe('live-one');
  expect((await cli('endpoint', 'ls')).out).toMatch(/CONTAINER[^\n]*\n\S+ +live .* live-one /);
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
  expect((await api.call('GET', '/services')).body).toMatchObject([{ name: 'web', network: 'lost' }]);
  expect((await api.call('GET', '/services/web')).body.backends).toHaveLength(2);
  expect((await api.call('GET', '/services/nix')).status).toBe(404);
  const [heading = '', row = ''] = (await cli('service', 'ls')).out.split('\n');
  expect(heading.split(/ {3,}/)).toEqual(['SERVICE ID', 'NAME', 'NETWORK', 'PORTS', 'PUBLISH', 'BACKENDS']);
  expect(row.split(/ {3,}/).slice(1)).toEqual([
    'web',
    'lost',
    '80->8080/tcp, 443/tcp',
    '8000/tcp',
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
  expect(out).toMatch(/^# Network known: no subnet$/m);
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
