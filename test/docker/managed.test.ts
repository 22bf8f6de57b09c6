// SPDX-License-Identifier: Apache-2.0
/** Sluice as a managed plugin, which Docker starts and ends itself and a Swarm takes too. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointObject, NetworkObject } from '../../src/api/schemas/objects.js';
import { DockerBed, IMAGE } from '../support/dockerbed.js';
import { must, run, until } from '../support/process.js';
import { EXT1, HOST, type Testbed } from '../support/testbed.js';

const BUILD = join(import.meta.dirname, '../../packaging/docker-plugin/build.sh');
const NAME = 'sluice:latest';

let docker: DockerBed;
let bed: Testbed;

beforeAll(async () => {
  docker = await DockerBed.start(['--iptables=false', '--ip6tables=false', '--bridge=none']);
  bed = docker.bed;
  // The managed one has its place, down to the state and the sockets.
  await bed.killDaemon('SIGTERM');
  const directory = join(bed.directory, 'managed');
  must(null, [BUILD, directory]);
  docker.ok('plugin', 'create', NAME, directory);
  docker.ok(
    ...['plugin', 'set', NAME, `run.source=${bed.directory}`, `state.source=${bed.directory}/state`],
    `args=--socket /host/run/sluice.sock --bpffs ${bed.bpffs} --no-metrics`,
  );
  docker.ok('plugin', 'enable', NAME);
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const seen = (port: number): string => bed.curl(bed.ext1, `http://${HOST}:${port}/cgi-bin/ip`).out;
const endpoints = () => bed.list<EndpointObject[]>('endpoint', 'ls');
const networks = () => bed.list<NetworkObject[]>('network', 'ls');

describe('a managed plugin', () => {
  it('is the driver, and answers the command line', async () => {
    expect(existsSync(docker.plugin)).toBe(false);
    docker.ok('network', 'create', '-d', NAME, '--ipam-driver', NAME, 'web');
    docker.web('c1', '--network', 'web', '-p', '40080:80');
    docker.idle('c2', '--network', 'web');
    expect(seen(40080)).toBe(EXT1);
    expect(docker.docker('exec', 'c2', 'ping', '-c', '1', '-W', '10', 'c1').code).toBe(0);
    expect(docker.docker('exec', 'c2', 'ping', '-c', '1', '-W', '10', EXT1).code).toBe(0);
    expect(bed.curl(bed.host, `http://127.0.0.1:40080/cgi-bin/ip`).out).not.toBe('');
    await until(
      () => endpoints().every(({ container }) => container !== undefined),
      'the Engine is followed',
    );
    const reserved = run(bed.host, ['cat', '/proc/sys/net/ipv4/ip_local_reserved_ports']).out;
    expect(reserved.trim()).toBe('40080');
  });

  it('may end and start under its containers', () => {
    const before = endpoints().map(({ container: _, ...rest }) => rest);
    docker.ok('plugin', 'disable', '-f', NAME);
    expect(bed.cli('endpoint', 'ls').code).not.toBe(0);
    expect(seen(40080)).toBe(EXT1);
    docker.ok('plugin', 'enable', NAME);
    expect(seen(40080)).toBe(EXT1);
    expect(endpoints().map(({ container: _, ...rest }) => rest)).toEqual(before);
    docker.ok('rm', '-f', 'c1', 'c2');
    docker.ok('network', 'rm', 'web');
    expect([...endpoints(), ...networks()]).toEqual([]);
  });
});

describe('in a swarm', () => {
  it('has services on its networks, with their options, addresses and ports', async () => {
    docker.ok('plugin', 'disable', '-f', NAME);
    docker.ok(
      ...['plugin', 'set', NAME],
      `args=--socket /host/run/sluice.sock --bpffs ${bed.bpffs} --no-metrics --docker-scope global`,
    );
    docker.ok('plugin', 'enable', NAME);
    docker.ok('swarm', 'init', '--advertise-addr', HOST);
    docker.ok(
      ...['network', 'create', '-d', NAME, '--ipam-driver', NAME, '--subnet', '10.77.0.0/24', '--attachable'],
      ...['-o', 'mtu=1400', 'span'],
    );
    docker.ok(
      ...['service', 'create', '--detach', '--no-resolve-image', '--name', 'front', '--network', 'span'],
      ...[
        '--endpoint-mode',
        'dnsrr',
        '--publish',
        'mode=host,published=8097,target=80',
        '--stop-signal',
        'KILL',
      ],
      ...[IMAGE, 'httpd', '-f', '-p', '80', '-h', '/www'],
    );
    await until(() => seen(8097) === EXT1, 'the service serves', 30_000);
    docker.idle('beside', '--network', 'span');
    expect(docker.docker('exec', 'beside', 'ping', '-c', '1', '-W', '10', 'front').code).toBe(0);
    expect(docker.ok('exec', 'beside', 'ip', 'link', 'show', 'eth0')).toContain('mtu 1400');
    expect(networks()).toMatchObject([{ subnets: [{ cidr: '10.77.0.0/24', gateway: '10.77.0.1' }] }]);
  }, 90_000);

  it('comes back with Docker, and goes without a trace', async () => {
    docker.ok('rm', '-f', 'beside');
    await docker.stopDockerd();
    await docker.startDockerd();
    await until(() => seen(8097) === EXT1, 'the service serves again', 40_000);
    // What the manager has said again is what it had said before.
    docker.ok('service', 'update', '--detach', '--force', 'front');
    await until(() => endpoints().length === 1 && seen(8097) === EXT1, 'another task serves', 30_000);
    docker.ok('service', 'rm', 'front');
    await until(() => networks().length === 0, 'the node has let go', 30_000);
    await until(() => docker.docker('network', 'rm', 'span').code === 0, 'the network can go', 20_000);
    expect(endpoints()).toEqual([]);
    // Nobody holds its addresses.
    bed.ok('network', 'create', '--subnet', '10.77.0.0/24', 'free');
    bed.ok('network', 'rm', 'free');
    docker.ok('swarm', 'leave', '--force');
    docker.ok('plugin', 'disable', '-f', NAME);
    docker.ok('plugin', 'rm', NAME);
  }, 120_000);
});
