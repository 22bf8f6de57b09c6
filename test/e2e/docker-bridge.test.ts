// SPDX-License-Identifier: Apache-2.0
/** Sluice beside Docker's own bridge, proxies and iptables rules, which drop what they do not know. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerBed } from '../support/dockerbed.js';
import { must, run } from '../support/process.js';
import { EXT1, HOST, type Testbed } from '../support/testbed.js';

let docker: DockerBed;
let bed: Testbed;

beforeAll(async () => {
  docker = await DockerBed.start([]);
  bed = docker.bed;
  must(bed.host, ['iptables', '-P', 'FORWARD', 'DROP']);
  docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'web');
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const seen = (url: string, ns = bed.ext1): string => bed.curl(ns, `${url}/cgi-bin/ip`).out;

describe('beside Docker’s bridge', () => {
  it('ports are published and containers reach one another and the world, whatever FORWARD says', () => {
    const before = run(bed.host, ['iptables-save']).out.replace(/^[#:].*$/gm, '');
    docker.web('c1', '--network', 'web', '-p', '8080:80');
    docker.idle('c2', '--network', 'web');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    expect(docker.docker('exec', 'c2', 'ping', '-c', '1', '-W', '10', 'c1').code).toBe(0);
    expect(docker.docker('exec', 'c2', 'ping', '-c', '1', '-W', '10', EXT1).code).toBe(0);
    expect(run(bed.host, ['iptables-save']).out.replace(/^[#:].*$/gm, '')).toBe(before);
    expect(docker.run('pgrep', '-f', 'docker-proxy').code).toBe(1);
  });

  it('each refuses the ports of the other', () => {
    docker.web('bridged', '-p', '8090:80');
    expect(seen(`http://${HOST}:8090`)).not.toBe('');
    const ours = docker.refused(
      'run',
      '--name',
      'x1',
      '--network',
      'web',
      '-p',
      '8090:80',
      'box',
      'sleep',
      '1',
    );
    expect(ours).toMatch(/host port 8090\/tcp is held by a process of this host/);
    const theirs = docker.refused('run', '--name', 'y1', '-p', '8080:80', 'box', 'sleep', '1');
    expect(theirs).toMatch(/address already in use/);
    docker.ok('rm', '-f', 'x1', 'y1');
  });

  it('a container on both has its ports by one of them', () => {
    docker.ok('network', 'connect', 'web', 'bridged');
    docker.ok('network', 'disconnect', 'bridge', 'bridged');
    expect(seen(`http://${HOST}:8090`)).toBe(EXT1);
    docker.ok('rm', '-f', 'bridged');
  });

  it('Docker’s own networks may have addresses of ours', () => {
    docker.ok('network', 'create', '-d', 'bridge', '--ipam-driver', 'sluice', 'theirs');
    docker.idle('t1', '--network', 'theirs');
    expect(docker.settings('t1', 'theirs').ip).toMatch(/^10\.64\./);
    docker.ok('rm', '-f', 't1');
    docker.ok('network', 'rm', 'theirs');
  });

  it('macvlan is on the physical network', () => {
    docker.ok(
      ...['network', 'create', '-d', 'sluice', '--subnet', '192.168.77.0/24', '--gateway', '192.168.77.3'],
      ...['-o', 'driver=macvlan', '-o', 'parent=up0', 'physical'],
    );
    docker.web('p1', '--network', 'physical', '--ip', '192.168.77.40');
    expect(docker.ok('exec', 'p1', 'ip', 'route')).toContain('default via 192.168.77.3');
    expect(seen('http://192.168.77.40')).toBe(EXT1);
    docker.ok('restart', 'p1');
    expect(seen('http://192.168.77.40')).toBe(EXT1);
    docker.ok('rm', '-f', 'p1');
    expect(bed.list<unknown[]>('endpoint', 'ls')).toHaveLength(2);
    docker.ok('network', 'rm', 'physical');
  });
});
