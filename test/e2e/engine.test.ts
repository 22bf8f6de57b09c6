// SPDX-License-Identifier: Apache-2.0
/** The daemon follows a real Docker Engine: containers, health, stops, restarts of the Engine, and what adoption prints. */
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdoptionObject } from '../../src/api/schemas/docker.js';
import type { EndpointObject, NetworkObject, ServiceObject } from '../../src/api/schemas/objects.js';
import type { Status } from '../../src/api/schemas/status.js';
import { backdate } from '../support/backdate.js';
import { DockerBed, IMAGE } from '../support/dockerbed.js';
import { run, until } from '../support/process.js';
import { EXT1, HOST, type Testbed } from '../support/testbed.js';

let docker: DockerBed;
let bed: Testbed;
beforeAll(async () => {
  docker = await DockerBed.start(['--iptables=false', '--ip6tables=false', '--bridge=none']);
  bed = docker.bed;
  await until(() => engine()?.connected === true, 'the Engine is followed');
  docker.ok('network', 'create', '--subnet', '10.91.0.0/24', '--label', 'team=web', 'front');
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const sluice = <T>(...args: string[]): T => JSON.parse(bed.ok(...args, '--format', 'json')) as T;
const engine = (): Status['docker'] => sluice<Status>('status').docker;
/** Sorted: of containers of the same second the ids decide who is first. */
const backends = (): string[] =>
  sluice<ServiceObject[]>('service', 'ls')
    .flatMap((service) => service.backends)
    .map(({ container, state, healthy }) => `${container?.name} ${state} ${healthy}`)
    .sort();
const backendsAre = (...wanted: string[]): Promise<void> =>
  until(() => backends().join() === wanted.join(), `backends are ${wanted}, not ${backends()}`);

const LABELS = ['--label', 'sluice.service=web', '--label', 'sluice.port=80:8080'];
/** Runs until it is told to stop; a plain sleep would not hear it as process 1. */
const IDLE = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'];
/** As IDLE, and then a while longer. */
const SLOW = ['sh', '-c', 'trap "sleep 2; exit 0" TERM; while :; do sleep 0.1; done'];

it('knows the Engine and its version', () => {
  expect(engine()).toMatchObject({ connected: true, api: expect.stringMatching(/^1\.\d+$/), error: null });
  expect(bed.ok('status')).toMatch(/^Docker: +\d+\.\d+\S* at unix:\/\//m);
});

it('takes a backend in by its health, and out again', async () => {
  docker.ok(
    ...['run', '-d', '--name', 'checked', '--network', 'front', ...LABELS],
    ...['--health-cmd', 'test -e /ok', '--health-interval', '500ms', '--health-retries', '1'],
    ...['--health-start-period', '30s', IMAGE, ...IDLE],
  );
  await backendsAre('checked starting false');
  docker.ok('exec', 'checked', 'touch', '/ok');
  await backendsAre('checked active true');
  docker.ok('exec', 'checked', 'rm', '/ok');
  await backendsAre('checked draining false');
  docker.ok('rename', 'checked', 'renamed');
  await backendsAre('renamed draining false');
  docker.ok('rm', '-f', 'renamed');
  await until(() => sluice<ServiceObject[]>('service', 'ls').length === 0, 'the service is gone');
});

it('drains while a container stops, and tells whose labels disagree', async () => {
  docker.ok('run', '-d', '--name', 'slow', '--network', 'front', ...LABELS, IMAGE, ...SLOW);
  await backendsAre('slow active null');
  docker.ok(
    ...['run', '-d', '--name', 'other', '--network', 'front', '--label', 'sluice.service=web'],
    ...['--label', 'sluice.port=81', IMAGE, ...IDLE],
  );
  await until(() => engine()?.problems.length === 1, 'the conflict is told');
  expect(engine()?.problems[0]).toMatchObject({ container: { name: 'other' }, label: 'sluice.port' });
  expect(backends()).toEqual(['slow active null']);
  docker.ok('rm', '-f', 'other');
  const stopping = docker.background('stop', 'slow');
  await backendsAre('slow draining null');
  await backendsAre('slow gone null');
  expect(await stopping.end()).toBe(0);
  docker.ok('rm', '-f', 'slow');
});

it('finds after a break what it has missed', async () => {
  docker.ok('run', '-d', '--name', 'one', '--network', 'front', ...LABELS, IMAGE, ...IDLE);
  docker.ok('run', '-d', '--name', 'two', '--network', 'front', ...LABELS, IMAGE, ...IDLE);
  await backendsAre('one active null', 'two active null');
  // dockerd ends its containers with itself; they do not come back by themselves.
  await docker.stopDockerd();
  await docker.startDockerd();
  docker.ok('start', 'two');
  await backendsAre('one gone null', 'two active null');
  expect(engine()?.connected).toBe(true);
  docker.ok('rm', '-f', 'one', 'two');
  await until(() => sluice<ServiceObject[]>('service', 'ls').length === 0, 'the service is gone');
});

describe('on a network of Sluice', () => {
  const endpoints = () => sluice<EndpointObject[]>('endpoint', 'ls');
  const seen = () => bed.curl(bed.ext1, `http://${HOST}:8700/cgi-bin/ip`).out;
  const prune = (...flags: string[]) =>
    bed
      .ok('docker', 'prune', ...flags)
      .split('\n')
      .filter(Boolean);

  it('a container with labels is a backend with its endpoint, and has its name', async () => {
    docker.ok(
      ...['network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice'],
      ...['--subnet', '10.95.0.0/24', 'shop'],
    );
    docker.web('till', '--network', 'shop', '-p', '8700:80', ...LABELS);
    await backendsAre('till active null');
    expect(seen()).toBe(EXT1);
    const [endpoint] = endpoints();
    const [network] = sluice<NetworkObject[]>('network', 'ls');
    expect(endpoint).toMatchObject({
      ipv4: docker.settings('till', 'shop').ip,
      container: { name: 'till', network: 'shop' },
    });
    expect(network).toMatchObject({
      id: docker.ok('network', 'inspect', '-f', '{{.Id}}', 'shop'),
      dockerName: 'shop',
    });
    expect(sluice<ServiceObject[]>('service', 'ls')).toMatchObject([
      { name: 'web', network: network?.name, backends: [{ endpoint: endpoint?.name }] },
    ]);
    expect(bed.ok('endpoint', 'ls')).toMatch(/ till +shop /);
    expect(bed.ok('network', 'ls')).toMatch(/ shop +bridge /);
  });

  it('what Docker removes while nobody hears it goes when the daemon is back, and its port is free', async () => {
    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'quiet');
    docker.idle('stays', '--network', 'quiet');
    const { ip } = docker.settings('till', 'shop');
    await bed.killDaemon('SIGTERM');
    await deaf(docker.plugin, async () => {
      expect(await docker.background('rm', '-f', 'till').end()).toBe(0);
    });
    await bed.startDaemon();
    // Too young to be certain: neither is it taken away, nor offered.
    await until(() => engine()?.connected === true, 'the Engine is followed');
    expect(endpoints()).toHaveLength(2);
    expect(prune()).toEqual([]);

    await bed.killDaemon('SIGTERM');
    await backdate(bed, 600_000);
    await bed.startDaemon();
    await until(() => endpoints().length === 1, 'the orphan is gone');
    expect(endpoints()).toMatchObject([{ container: { name: 'stays' } }]);
    await until(() => sluice<ServiceObject[]>('service', 'ls').length === 0, 'the service is gone');
    docker.web('next', '--network', 'shop', '--ip', ip, '-p', '8700:80');
    expect(seen()).toBe(EXT1);
    docker.ok('rm', '-f', 'next');
  });

  it('what was of an Engine that has lost its networks is offered, and goes by prune alone', async () => {
    await docker.stopDockerd('SIGKILL');
    docker.forgetNetworks();
    await docker.startDockerd();
    docker.ok('rm', '-f', 'stays');
    await bed.killDaemon('SIGTERM');
    await backdate(bed, 600_000);
    await bed.startDaemon();
    await until(() => engine()?.connected === true, 'the Engine is followed');
    expect(sluice<NetworkObject[]>('network', 'ls')).toHaveLength(2);
    const offered = prune().filter((line) => line.startsWith('would remove '));
    expect(offered.map((line) => line.split(' ')[2]).sort()).toEqual(
      ['endpoint', 'network', 'network', 'pool', 'pool'].sort(),
    );
    expect(prune('--force').map((line) => `would remove ${line}`)).toEqual(offered);
    expect(endpoints()).toEqual([]);
    expect(sluice<NetworkObject[]>('network', 'ls')).toEqual([]);
    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'shop');
    expect(docker.ok('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'shop')).toBe(
      '10.64.0.0/24',
    );
    docker.ok('network', 'rm', 'shop');
    docker.ok('network', 'create', '--subnet', '10.91.0.0/24', '--label', 'team=web', 'front');
  });
});

/**
 * Somebody is at the plugin's socket who does nothing and says so: Docker goes on
 * as where nobody is, which it would wait a quarter of a minute for at each call.
 */
async function deaf(path: string, task: () => Promise<void>): Promise<void> {
  const server = createServer((_, response) => response.writeHead(500).end('deaf'));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await task();
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

it('prints what moves a network, and the printed commands are ones that Docker takes', async () => {
  docker.ok(
    ...['run', '-d', '--name', 'plain', '--network', 'front', '--network-alias', 'db', IMAGE, ...IDLE],
  );
  docker.ok(
    ...['run', '-d', '--name', 'public', '--network', 'front', '-p', '18080:80', '-e', "SAY=it's here"],
    ...['--restart', 'unless-stopped', '-v', '/data', '--memory', '64m', IMAGE, ...IDLE],
  );
  const plan = sluice<AdoptionObject>('docker', 'adopt', 'front');
  expect(plan).toMatchObject({
    target: 'front-sluice',
    network: { name: 'front', subnets: [{ subnet: '10.91.0.0/24' }], labels: { team: 'web' } },
    containers: [
      { name: 'plain', move: 'connect', ports: [] },
      { name: 'public', move: 'recreate', ports: ['18080:80'] },
    ],
  });
  // A bridge stands in for the driver, which this dockerd does not have.
  const commands = (steps: AdoptionObject['steps']): string =>
    steps
      .flatMap((step) => step.commands)
      .join('\n')
      .replaceAll('-d sluice --ipam-driver sluice', '-d bridge --subnet 10.93.0.0/24')
      .replaceAll(/^docker /gm, `${docker.client.join(' ')} `);
  const script = (steps: AdoptionObject['steps']) => run(null, ['sh', '-eu'], commands(steps));
  const before = JSON.parse(docker.ok('inspect', 'public'))[0];
  const forth = script(plan.steps.slice(0, -1));
  expect([forth.code, forth.err]).toEqual([0, '']);
  const after = JSON.parse(docker.ok('inspect', 'public'))[0];
  expect(Object.keys(after.NetworkSettings.Networks)).toEqual(['front-sluice']);
  for (const member of ['Env', 'Cmd', 'Image', 'Labels'])
    expect(after.Config[member]).toEqual(before.Config[member]);
  for (const member of ['PortBindings', 'RestartPolicy', 'Memory']) {
    expect(after.HostConfig[member]).toEqual(before.HostConfig[member]);
  }
  expect(after.Mounts[0]).toMatchObject({ Name: before.Mounts[0].Name, Destination: '/data' });
  const plain = JSON.parse(docker.ok('inspect', 'plain'))[0].NetworkSettings.Networks;
  expect(Object.keys(plain)).toEqual(['front-sluice']);
  expect(plain['front-sluice'].Aliases).toContain('db');

  // The way back, from the step before the old network is removed.
  const back = script(plan.back.slice(1));
  expect([back.code, back.err]).toEqual([0, '']);
  const again = JSON.parse(docker.ok('inspect', 'public'))[0];
  expect([again.Id, again.State.Running]).toEqual([before.Id, true]);
  expect(Object.keys(again.NetworkSettings.Networks)).toEqual(['front']);
  expect(docker.docker('network', 'inspect', 'front-sluice').code).not.toBe(0);
  expect(bed.cli('docker', 'adopt', 'front', '--apply')).toMatchObject({
    code: 1,
    err: expect.stringContaining('does not move networks by itself'),
  });
});
