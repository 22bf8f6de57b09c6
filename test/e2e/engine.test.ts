// SPDX-License-Identifier: Apache-2.0
/** The daemon follows a real Docker Engine: containers, health, stops, restarts of the Engine, and what adoption prints. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AdoptionObject } from '../../src/api/schemas/docker.js';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import type { Status } from '../../src/api/schemas/status.js';
import { type Dockerd, IMAGE, start } from '../support/dockerd.js';
import { run, until } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

let docker: Dockerd;
let bed: Testbed;
beforeAll(async () => {
  docker = await start();
  bed = await Testbed.start({ daemonFlags: ['--docker-host', `unix://${docker.socket}`] });
  await until(() => engine()?.connected === true, 'the Engine is followed');
  docker.run('network', 'create', '--subnet', '10.91.0.0/24', '--label', 'team=web', 'front');
}, 60_000);
afterAll(async () => {
  await bed?.stop();
  await docker?.stop();
}, 60_000);

const sluice = <T>(...args: string[]): T => JSON.parse(bed.ok(...args, '--format', 'json')) as T;
const engine = (): Status['docker'] => sluice<Status>('status').docker;
const backends = (): string[] =>
  sluice<ServiceObject[]>('service', 'ls')
    .flatMap((service) => service.backends)
    .map(({ container, state, healthy }) => `${container.name} ${state} ${healthy}`);
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
  docker.run(
    ...['run', '-d', '--name', 'checked', '--network', 'front', ...LABELS],
    ...['--health-cmd', 'test -e /ok', '--health-interval', '500ms', '--health-retries', '1'],
    ...['--health-start-period', '30s', IMAGE, ...IDLE],
  );
  await backendsAre('checked starting false');
  docker.run('exec', 'checked', 'touch', '/ok');
  await backendsAre('checked active true');
  docker.run('exec', 'checked', 'rm', '/ok');
  await backendsAre('checked draining false');
  docker.run('rename', 'checked', 'renamed');
  await backendsAre('renamed draining false');
  docker.run('rm', '-f', 'renamed');
  await until(() => sluice<ServiceObject[]>('service', 'ls').length === 0, 'the service is gone');
});

it('drains while a container stops, and tells whose labels disagree', async () => {
  docker.run('run', '-d', '--name', 'slow', '--network', 'front', ...LABELS, IMAGE, ...SLOW);
  await backendsAre('slow active null');
  docker.run(
    ...['run', '-d', '--name', 'other', '--network', 'front', '--label', 'sluice.service=web'],
    ...['--label', 'sluice.port=81', IMAGE, ...IDLE],
  );
  await until(() => engine()?.problems.length === 1, 'the conflict is told');
  expect(engine()?.problems[0]).toMatchObject({ container: { name: 'other' }, label: 'sluice.port' });
  expect(backends()).toEqual(['slow active null']);
  docker.run('rm', '-f', 'other');
  // Asked in the background, since `docker stop` waits for the container.
  const stopping = run(null, [
    'sh',
    '-c',
    `exec /usr/bin/docker -H unix://${docker.socket} stop slow >/dev/null 2>&1 &`,
  ]);
  expect(stopping.code).toBe(0);
  await backendsAre('slow draining null');
  await backendsAre('slow gone null');
  docker.run('rm', '-f', 'slow');
});

it('finds after a break what it has missed', async () => {
  docker.run('run', '-d', '--name', 'one', '--network', 'front', ...LABELS, IMAGE, ...IDLE);
  docker.run('run', '-d', '--name', 'two', '--network', 'front', ...LABELS, IMAGE, ...IDLE);
  await backendsAre('one active null', 'two active null');
  // dockerd ends its containers with itself; they do not come back by themselves.
  await docker.restart();
  docker.run('start', 'two');
  await backendsAre('one gone null', 'two active null');
  expect(engine()?.connected).toBe(true);
  docker.run('rm', '-f', 'one', 'two');
  await until(() => sluice<ServiceObject[]>('service', 'ls').length === 0, 'the service is gone');
});

it('leaves alone what is too young to be an orphan', async () => {
  bed.ok('network', 'create', 'left', '--label', 'sluice.docker.network=0123');
  bed.ok('endpoint', 'create', 'left-ep', '--network', 'left', '--label', 'sluice.docker.endpoint=4567');
  bed.ok('network', 'create', 'mine');
  // What is younger than a minute may be of a container that only just starts.
  expect(bed.ok('docker', 'prune')).toBe('');
});

it('prints what moves a network, and the printed commands are ones that Docker takes', async () => {
  docker.run(
    ...['run', '-d', '--name', 'plain', '--network', 'front', '--network-alias', 'db', IMAGE, ...IDLE],
  );
  docker.run(
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
      .replaceAll(/^docker /gm, `/usr/bin/docker -H unix://${docker.socket} `);
  const script = (steps: AdoptionObject['steps']) => run(null, ['sh', '-eu'], commands(steps));
  const before = JSON.parse(docker.run('inspect', 'public'))[0];
  const forth = script(plan.steps.slice(0, -1));
  expect([forth.code, forth.err]).toEqual([0, '']);
  const after = JSON.parse(docker.run('inspect', 'public'))[0];
  expect(Object.keys(after.NetworkSettings.Networks)).toEqual(['front-sluice']);
  for (const member of ['Env', 'Cmd', 'Image', 'Labels'])
    expect(after.Config[member]).toEqual(before.Config[member]);
  for (const member of ['PortBindings', 'RestartPolicy', 'Memory']) {
    expect(after.HostConfig[member]).toEqual(before.HostConfig[member]);
  }
  expect(after.Mounts[0]).toMatchObject({ Name: before.Mounts[0].Name, Destination: '/data' });
  const plain = JSON.parse(docker.run('inspect', 'plain'))[0].NetworkSettings.Networks;
  expect(Object.keys(plain)).toEqual(['front-sluice']);
  expect(plain['front-sluice'].Aliases).toContain('db');

  // The way back, from the step before the old network is removed.
  const back = script(plan.back.slice(1));
  expect([back.code, back.err]).toEqual([0, '']);
  const again = JSON.parse(docker.run('inspect', 'public'))[0];
  expect([again.Id, again.State.Running]).toEqual([before.Id, true]);
  expect(Object.keys(again.NetworkSettings.Networks)).toEqual(['front']);
  expect(docker.try('network', 'inspect', 'front-sluice').code).not.toBe(0);
  expect(bed.cli('docker', 'adopt', 'front', '--apply')).toMatchObject({
    code: 1,
    err: expect.stringContaining('does not move networks by itself'),
  });
});
