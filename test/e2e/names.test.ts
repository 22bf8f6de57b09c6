// SPDX-License-Identifier: Apache-2.0
/** Names in Docker's containers: services by our resolver, everything else by Docker's own behind it. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import type { Status } from '../../src/api/schemas/status.js';
import { DockerBed } from '../support/dockerbed.js';
import { until } from '../support/process.js';
import { EXT1 } from '../support/testbed.js';

const DNS = join(import.meta.dirname, '../support/dns.py');
const UPSTREAM = '203.0.113.9';

let docker: DockerBed;
beforeAll(async () => {
  docker = await DockerBed.start([
    '--iptables=false',
    '--ip6tables=false',
    '--bridge=none',
    ...['--dns', EXT1],
  ]);
  await docker.moveDaemon();
  const { bed } = docker;
  const server = bed.background(bed.ext1, ['/usr/bin/python3', DNS, join(bed.directory, 'asked'), EXT1]);
  await server.says(/ready/);
  docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'web');
  docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'apart');
  const labels = ['--label', 'sluice.service=front', '--label', 'sluice.port=80'];
  docker.web('one', '--network', 'web', ...labels);
  docker.web('two', '--network', 'web', ...labels);
  docker.idle('asker', '--network', 'web', '--network-alias', 'someone');
  docker.idle('stranger', '--network', 'apart');
  await until(() => {
    const [service] = services();
    return service?.backends.filter(({ state }) => state === 'active').length === 2;
  }, 'the service has its backends');
  await until(
    () => resolver()?.waiting === 0 && resolver()?.sandboxes === 4,
    'every container has a resolver',
  );
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const services = (): ServiceObject[] =>
  JSON.parse(docker.bed.ok('service', 'ls', '--format', 'json')) as ServiceObject[];
const resolver = (): Status['resolver'] => docker.bed.list<Status>('status').resolver;
/** The answers to a container's question, in their order. */
const lookUp = (container: string, name: string): string[] =>
  docker
    .within(container, 'dig', '+short', '+tries=1', '+time=6', '@127.0.0.11', name)
    .out.split('\n')
    .filter((line) => /^[\d.]+$/.test(line));
const ip = (container: string, network = 'web'): string => docker.settings(container, network).ip;

it('knows services, and their tasks in turns', () => {
  const tasks = [ip('one'), ip('two')].sort();
  const first = lookUp('asker', 'tasks.front');
  expect([...first].sort()).toEqual(tasks);
  expect(lookUp('asker', 'tasks.front')).toEqual([...first].reverse());
  const [service] = services();
  for (const name of ['front', 'front.web']) {
    expect(lookUp('asker', name).sort()).toEqual(service?.vip ? [service.vip] : tasks);
  }
  expect(docker.ok('exec', 'asker', 'nslookup', 'tasks.front')).toContain(ip('one'));
});

it('leaves the names of containers to Docker', () => {
  for (const name of ['one', 'one.web']) expect(lookUp('asker', name)).toEqual([ip('one')]);
  expect(lookUp('one', 'someone')).toEqual([ip('asker')]);
  expect(docker.ok('exec', 'asker', 'nslookup', 'two')).toContain(ip('two'));
  const { out } = docker.within('asker', 'dig', '+short', '@127.0.0.11', '-x', ip('one'));
  expect(out).toBe('one.web.\n');
});

it('leaves the world to Docker, by UDP and TCP', () => {
  expect(lookUp('asker', 'www.example')).toEqual([UPSTREAM]);
  expect(docker.within('asker', 'dig', '+short', '+tcp', '@127.0.0.11', 'tcp.example').out).toBe(
    `${UPSTREAM}\n`,
  );
  expect(docker.within('asker', 'dig', '+short', '@127.0.0.11', 'many.example').out.split('\n')).toHaveLength(
    101,
  );
});

it('tells no other network of services', () => {
  for (const name of ['front', 'tasks.front', 'front.web']) {
    for (const address of lookUp('stranger', name)) expect(address).toBe(UPSTREAM);
  }
});

it("serves as Docker's while the daemon is dead, and anew when it is back", async () => {
  await docker.bed.killDaemon();
  // the last beat counts for a while
  await until(() => lookUp('asker', 'one')[0] === ip('one'), "Docker's resolver serves", 10_000);
  expect(lookUp('asker', 'world.example')).toEqual([UPSTREAM]);
  await docker.bed.startDaemon();
  await until(() => lookUp('asker', 'tasks.front').length === 2, 'ours serves again');
  expect(lookUp('asker', 'one')).toEqual([ip('one')]);
});

it('follows containers that come, start again and go', async () => {
  docker.idle('late', '--network', 'web');
  await until(() => lookUp('late', 'tasks.front').length === 2, 'the new one has its resolver');
  docker.ok('restart', '-t', '0', 'late');
  await until(() => lookUp('late', 'tasks.front').length === 2, 'it has it after a restart');
  docker.ok('rm', '-f', 'two', 'late');
  await until(() => lookUp('asker', 'tasks.front').join() === ip('one'), 'the other is left');
  await until(() => resolver()?.sandboxes === 3 && resolver()?.waiting === 0, 'three are left');
});
