// SPDX-License-Identifier: Apache-2.0
/** Services of labelled containers of a real Docker: by name, by address, from outside, and while one of them stops. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import type { Status } from '../../src/api/schemas/status.js';
import { DockerBed, IMAGE } from '../support/dockerbed.js';
import { until } from '../support/process.js';
import { Conversation, type Load } from '../support/service-bed.js';
import { ask, type Said, SERVICES } from '../support/services.js';
import { EXT1, HOST } from '../support/testbed.js';

const LABELS = ['sluice.service=front', 'sluice.port=80:8080', 'sluice.publish=8000:80'];
const NAMES = ['one', 'two'];
/** Four seconds from the signal to the end. */
const SLOW = ['sh', '-c', 'trap "sleep 4; exit 0" TERM; while :; do sleep 0.1; done'];

const PYTHON = ['/usr/bin/python3', SERVICES];

let docker: DockerBed;
beforeAll(async () => {
  docker = await DockerBed.start(['--iptables=false', '--ip6tables=false', '--bridge=none']);
  await docker.moveDaemon();
  docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'web');
  for (const name of NAMES) {
    const labels = LABELS.flatMap((label) => ['--label', label]);
    docker.ok('run', '-d', '--name', name, '--network', 'web', ...labels, IMAGE, ...SLOW);
    await serve(name);
  }
  docker.idle('asker', '--network', 'web');
  await until(() => states().join() === 'one active,two active', 'both are backends');
  await until(() => {
    const { waiting, sandboxes } = docker.bed.list<Status>('status').resolver ?? {};
    return waiting === 0 && sandboxes === 3;
  }, 'every container has a resolver');
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const serve = (name: string): Promise<void> =>
  docker.beside(name, ...PYTHON, 'serve', name, '8080').says(/ready/);
const services = (): ServiceObject[] =>
  JSON.parse(docker.bed.ok('service', 'ls', '--format', 'json')) as ServiceObject[];
const states = (): string[] =>
  services()
    .flatMap(({ backends }) => backends)
    .map(({ container, state }) => `${container?.name} ${state}`)
    .sort();
const vip = (): string => services()[0]?.vip as string;

it('answers in containers by the address that its name leads to', () => {
  expect(docker.ok('exec', 'asker', 'nslookup', 'front')).toMatch(
    new RegExp(`^Name:\\s+front\nAddress: ${vip()}$`, 'm'),
  );
  const { ip } = docker.settings('asker', 'web');
  const { out } = docker.within('asker', ...PYTHON, 'tcp', vip(), '80', '60');
  const said = JSON.parse(out) as Said;
  expect(said).toMatchObject({ clients: [ip], peers: [`${vip()} 80`] });
  expect(new Set(said.names)).toEqual(new Set(NAMES));
});

it('answers outside at the port that a label publishes', () => {
  const said = ask(docker.bed.ext1, 'tcp', HOST, 8000, 60);
  expect(said).toMatchObject({ clients: [EXT1], peers: [`${HOST} 8000`] });
  expect(new Set(said.names)).toEqual(new Set(NAMES));
});

it('loses no request while a container is stopped, which ends what it has begun', async () => {
  const { bed } = docker;
  const loads = [
    new Conversation(docker.beside('asker', ...PYTHON, 'load', vip(), '80')),
    new Conversation(bed.background(bed.ext1, [...PYTHON, 'load', HOST, '8000'])),
  ];
  const met = async (): Promise<string[]> => {
    const said = await Promise.all(loads.map((load) => load.next()));
    const all = said.map((line) => JSON.parse(line) as Load);
    expect(all.map(({ errors }) => errors)).toEqual([{}, {}]);
    return all.map(({ names }) => Object.keys(names).sort().join());
  };
  await until(async () => (await met()).every((names) => names === 'one,two'), 'both loads meet both');
  let open: Conversation;
  do open = new Conversation(docker.beside('asker', ...PYTHON, 'talk', vip(), '80'));
  while ((await open.next()) !== 'one');

  const stopping = docker.background('stop', 'one');
  await until(() => states().join() === 'one draining,two active', 'it drains');
  await met();
  expect(await met()).toEqual(['two', 'two']);
  expect(await open.next()).toBe('one');
  expect(states()).toEqual(['one draining', 'two active']);
  expect(await stopping.end()).toBe(0);
  await until(() => states().join() === 'one gone,two active', 'it is gone');
  expect(await open.next()).toBe('ECONNABORTED');
  expect(await met()).toEqual(['two', 'two']);

  docker.ok('start', 'one');
  await serve('one');
  await until(() => states().join() === 'one active,two active', 'it is back');
  // without a HEALTHCHECK it is asked before it listens
  for (const load of loads) await load.next();
  await until(async () => (await met()).every((names) => names === 'one,two'), 'both loads meet both');
});
