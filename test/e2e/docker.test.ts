// SPDX-License-Identifier: Apache-2.0
/** A real dockerd, without rules and bridges of its own, with Sluice as its network and IPAM driver. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerBed } from '../support/dockerbed.js';
import { json, must, run, until } from '../support/process.js';
import { EXT1, EXT2, EXT3, HOST, HOST_6, HOST2, type Testbed } from '../support/testbed.js';

const ECHO = '/cgi-bin/ip';
const PLAIN = ['--iptables=false', '--ip6tables=false', '--bridge=none'];

interface EndpointView {
  name: string;
  network: string;
  sandbox: string | null;
  ipv4: string;
  ipv6: string | null;
  mac: string;
  state: string;
  error: string | null;
  origin: string;
  container?: { name: string };
  hostInterface: string | null;
  ports: { hostIp: string; hostPort: number; hostPortEnd: number; port: number; protocol: string }[];
}

let docker: DockerBed;
let bed: Testbed;

beforeAll(async () => {
  docker = await DockerBed.start(PLAIN, ['--pool', '10.90.0.0/16,24', '--pool', 'fd90::/48,64']);
  bed = docker.bed;
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const endpoints = (): EndpointView[] => bed.list<EndpointView[]>('endpoint', 'ls');
const links = (): string[] =>
  json<{ ifname: string }[]>(bed.host, ['ip', '-j', 'link']).map(({ ifname }) => ifname);
const seen = (url: string, ns = bed.ext1): string => bed.curl(ns, `${url}${ECHO}`).out;
const of = (ip: string): EndpointView | undefined => endpoints().find(({ ipv4 }) => ipv4 === ip);

describe('networks', () => {
  it('of Docker are networks of Sluice, with addresses of its pools', () => {
    const id = docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'web');
    const [network] = JSON.parse(bed.ok('network', 'inspect', `docker-${id.slice(0, 12)}`));
    expect(network).toMatchObject({
      id,
      driver: 'bridge',
      origin: 'docker',
      subnets: [{ cidr: '10.90.0.0/24', gateway: '10.90.0.1' }],
    });
    expect(bed.cli('network', 'rm', id).err).toMatch(/is Docker's \(use docker network rm, or --force/);
    expect(bed.cli('network', 'prune').code).toBe(0);
    expect(docker.ok('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'web')).toBe(
      '10.90.0.0/24',
    );
  });

  it('have the addresses of Docker’s own IPAM as well, and its options', () => {
    docker.ok(
      ...['network', 'create', '-d', 'sluice', '--subnet', '10.91.0.0/24', '--gateway', '10.91.0.254'],
      ...['-o', 'com.docker.network.driver.mtu=1400', '-o', 'com.docker.network.bridge.name=web2', 'builtin'],
    );
    const [link] = json<{ mtu: number }[]>(bed.host, ['ip', '-j', 'link', 'show', 'web2']);
    expect(link?.mtu).toBe(1400);
    docker.idle('mtu', '--network', 'builtin');
    expect(docker.settings('mtu', 'builtin').ip).toBe('10.91.0.1');
    expect(docker.ok('exec', 'mtu', 'ip', 'link', 'show', 'eth0')).toContain('mtu 1400');
    expect(docker.ok('exec', 'mtu', 'ip', 'route')).toContain('default via 10.91.0.254');
    docker.ok('rm', '-f', 'mtu');
    docker.ok('network', 'rm', 'builtin');
    expect(links()).not.toContain('web2');
  });
});

describe('published ports', () => {
  it('answer a client outside, whose address the server sees, in every form of -p', async () => {
    docker.web(
      ...([
        'c1',
        '--network',
        'web',
        '-p',
        '8080:80',
        '-p',
        '5353:53/udp',
        '-p',
        '7000-7002:7000-7002',
      ] as const),
      ...['-p', '127.0.0.1:9443:80', '-p', `${HOST2}:8088:80`, '-p', '80', '-p', '8100-8110:80'],
    );
    const { ip } = docker.settings('c1', 'web');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    expect(seen(`http://${HOST}:8080`, bed.ext2)).toBe(EXT2);
    expect(seen(`http://${HOST}:8100`)).toBe(EXT1);
    expect(seen('http://127.0.0.1:9443', bed.host)).not.toBe('');
    expect(seen(`http://${HOST}:9443`)).toBe('');
    expect(seen(`http://${HOST2}:8088`, bed.ext3)).toBe(EXT3);
    expect(seen(`http://${HOST}:8088`)).toBe('');
    expect(seen(`http://${HOST}:8080`, bed.host)).not.toBe('');

    const udp = await docker.serve('c1', 'udp', '53', '4');
    expect(bed.udp(bed.ext1, HOST, 5353)).toContain(EXT1);
    await udp.stop('SIGKILL');
    const high = await docker.serve('c1', 'web', '7001');
    expect(bed.curl(bed.ext1, `http://${HOST}:7001/`).out).toBe(EXT1);
    await high.stop('SIGKILL');

    const ports = of(ip)?.ports ?? [];
    const ephemeral = ports.find(({ port, hostPort }) => port === 80 && hostPort >= 49153);
    expect(seen(`http://${HOST}:${ephemeral?.hostPort}`)).toBe(EXT1);
    expect(ports).toContainEqual(expect.objectContaining({ port: 7000, portEnd: 7002, hostPort: 7000 }));
  });

  it('need no process, no rule and no second interface', () => {
    expect(docker.run('pgrep', '-f', 'docker-proxy').code).toBe(1);
    expect(docker.ok('network', 'ls', '--format', '{{.Name}}')).not.toContain('gwbridge');
    expect(docker.ok('exec', 'c1', 'ip', '-o', 'link')).not.toContain('eth1');
    expect(run(bed.host, ['iptables-save']).out).not.toMatch(/^-A/m);
  });

  it('that are taken are refused on docker’s command line, by whoever holds them', async () => {
    const why = docker.refused(
      'run',
      '--name',
      'c2',
      '--network',
      'web',
      '-p',
      '8080:80',
      'box',
      'sleep',
      '1',
    );
    expect(why).toMatch(/host port 8080\/tcp is published by endpoint 'docker-[0-9a-f]{12}'; choose another/);
    docker.ok('rm', 'c2');
    const server = await bed.web(bed.host, 8200);
    const held = docker.refused(
      'run',
      '--name',
      'c2',
      '--network',
      'web',
      '-p',
      '8200:80',
      'box',
      'sleep',
      '1',
    );
    expect(held).toMatch(/host port 8200\/tcp is held by a process of this host/);
    docker.ok('rm', 'c2');
    await server.stop('SIGKILL');
  });
});

describe('what the user asks for', () => {
  it('is what a container has: --ip and --mac-address, --internal, --ipv6', () => {
    docker.ok(
      'network',
      'create',
      '-d',
      'sluice',
      '--subnet',
      '10.92.0.0/24',
      '--ipam-driver',
      'sluice',
      'own',
    );
    docker.web(
      'own1',
      '--network',
      'own',
      '--ip',
      '10.92.0.77',
      '--mac-address',
      '02:aa:bb:cc:dd:01',
      '-p',
      '8300:80',
    );
    expect(docker.settings('own1', 'own')).toMatchObject({ ip: '10.92.0.77', mac: '02:aa:bb:cc:dd:01' });
    expect(docker.ok('exec', 'own1', 'ip', 'link', 'show', 'eth0')).toContain('02:aa:bb:cc:dd:01');
    expect(of('10.92.0.77')).toMatchObject({ mac: '02:aa:bb:cc:dd:01', state: 'joined' });
    expect(seen(`http://${HOST}:8300`)).toBe(EXT1);
    const taken = docker.refused(
      'run',
      '--network',
      'own',
      '--ip',
      '10.92.0.77',
      '--name',
      'own2',
      'box',
      'sleep',
      '1',
    );
    expect(taken).toMatch(/10\.92\.0\.77 belongs to endpoint 'docker-[0-9a-f]{12}'/);
    docker.ok('rm', '-f', 'own1', 'own2');
    docker.ok('network', 'rm', 'own');

    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', '--internal', 'closed');
    docker.web('in1', '--network', 'closed', '-p', '8301:80');
    docker.idle('in2', '--network', 'closed');
    expect(docker.ok('exec', 'in1', 'ip', 'route')).not.toContain('default');
    expect(docker.docker('exec', 'in2', 'ping', '-c', '1', '-W', '10', 'in1').code).toBe(0);
    expect(docker.docker('exec', 'in2', 'ping', '-c', '1', '-W', '1', EXT1).code).not.toBe(0);
    expect(seen(`http://${HOST}:8301`)).toBe('');
    docker.ok('rm', '-f', 'in1', 'in2');
    docker.ok('network', 'rm', 'closed');

    docker.ok(
      'network',
      'create',
      '-d',
      'sluice',
      '--ipv6',
      '--subnet',
      'fd92::/64',
      '--ipam-driver',
      'sluice',
      'six',
    );
    docker.web('six1', '--network', 'six', '-p', '8302:80');
    const { ip6 } = docker.settings('six1', 'six');
    expect(ip6).toBe('fd92::2');
    expect(seen(`http://[${HOST_6}]:8302`)).toBe('2001:db8:50::2');
    expect(seen(`http://${HOST}:8302`)).toBe(EXT1);
    docker.ok('rm', '-f', 'six1');
    docker.ok('network', 'rm', 'six');
  });

  it('is refused by name where it cannot be', () => {
    expect(docker.refused('network', 'create', '-d', 'sluice', '-o', 'colour=red', 'x')).toMatch(
      /'colour' is not an option of a bridge network; the options are mtu/,
    );
    expect(docker.refused('network', 'create', '-d', 'sluice', '-o', 'driver=token-ring', 'x')).toMatch(
      /'token-ring'/,
    );
    const overlap = docker.refused(
      ...['network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', '--subnet', '10.90.0.0/25', 'x'],
    );
    expect(overlap).toMatch(/overlaps/);
    docker.ok(
      'network',
      'create',
      '-d',
      'sluice',
      '--ipam-driver',
      'sluice',
      '--subnet',
      '10.93.0.0/30',
      'tiny',
    );
    docker.idle('t1', '--network', 'tiny');
    const full = docker.refused('run', '--name', 't2', '--network', 'tiny', 'box', 'sleep', '1');
    expect(full).toMatch(/10\.93\.0\.0\/30 has no free address left/);
    docker.ok('rm', '-f', 't1', 't2');
    docker.ok('network', 'rm', 'tiny');
  });
});

describe('several networks', () => {
  it('of a live container: connect, disconnect, and its ports follow the way out', () => {
    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'another');
    docker.web('multi', '--network', 'web', '-p', '8400:80');
    docker.idle('peer', '--network', 'another');
    docker.ok('network', 'connect', 'another', 'multi');
    const [web, another] = [docker.settings('multi', 'web').ip, docker.settings('multi', 'another').ip];
    expect(of(web)?.sandbox).toBe(of(another)?.sandbox);
    expect(seen(`http://${HOST}:8400`)).toBe(EXT1);
    expect(docker.docker('exec', 'peer', 'ping', '-c', '1', '-W', '10', 'multi').code).toBe(0);
    // The way out is by the network first in the alphabet.
    expect(of(another)?.ports).toHaveLength(1);
    expect(of(web)?.ports).toHaveLength(0);
    docker.ok('network', 'disconnect', 'another', 'multi');
    expect(of(another)).toBeUndefined();
    expect(of(web)?.ports).toHaveLength(1);
    expect(seen(`http://${HOST}:8400`)).toBe(EXT1);
    docker.ok('network', 'disconnect', 'web', 'multi');
    expect(of(web)).toBeUndefined();
    docker.ok('rm', '-f', 'multi', 'peer');
    docker.ok('network', 'rm', 'another');
  });

  it('that two containers publish the same port on are refused', () => {
    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'other');
    docker.web('one', '--network', 'web', '-p', '8401:80');
    const why = docker.refused(
      'run',
      '--name',
      'two',
      '--network',
      'other',
      '-p',
      '8401:80',
      'box',
      'sleep',
      '1',
    );
    expect(why).toMatch(/host port 8401\/tcp is published by endpoint/);
    expect(seen(`http://${HOST}:8401`)).toBe(EXT1);
    docker.ok('rm', '-f', 'one', 'two');
    docker.ok('network', 'rm', 'other');
  });

  it('take many containers at a time, and let them go at a time', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `many${i}`);
    const before = endpoints().length;
    const starts = names.map((name) =>
      docker.background(
        'run',
        '-d',
        '--name',
        name,
        '--network',
        'web',
        '-p',
        '82',
        'box',
        'sleep',
        '1000000',
      ),
    );
    for (const start of starts) expect(await start.end()).toBe(0);
    const all = endpoints();
    expect(all).toHaveLength(before + names.length);
    expect(new Set(all.map(({ ipv4 }) => ipv4)).size).toBe(all.length);
    const removals = names.map((name) => docker.background('rm', '-f', name));
    for (const removal of removals) expect(await removal.end()).toBe(0);
    expect(endpoints()).toHaveLength(before);
  });

  it('have the names of their containers', () => {
    docker.idle('asker', '--network', 'web');
    expect(docker.ok('exec', 'asker', 'nslookup', 'c1')).toContain(docker.settings('c1', 'web').ip);
    expect(docker.docker('exec', 'asker', 'ping', '-c', '1', '-W', '10', 'c1').code).toBe(0);
    docker.ok('rm', '-f', 'asker');
  });
});

describe('what Docker knows since version 28', () => {
  const since28 = (): boolean => Number.parseInt(docker.ok('version', '-f', '{{.Server.Version}}'), 10) >= 28;

  it('a network without IPv4 is refused, and leaves no pool', () => {
    const why = docker.refused(
      ...['network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', '--ipv4=false', '--ipv6'],
      ...['--subnet', 'fd94::/64', 'x'],
    );
    expect(why).toMatch(since28() ? /a network without IPv4 is not supported/ : /unknown flag: --ipv4/);
    docker.ok(
      ...['network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', '--ipv6'],
      ...['--subnet', 'fd94::/63', 'wider'],
    );
    docker.ok('network', 'rm', 'wider');
  });

  it('ports follow the network of the highest --gw-priority', () => {
    if (!since28()) {
      expect(docker.refused('network', 'connect', '--gw-priority', '1', 'web', 'x')).toMatch(/unknown flag/);
      return;
    }
    docker.ok('network', 'create', '-d', 'sluice', '--ipam-driver', 'sluice', 'another');
    docker.web('multi', '--network', 'name=web,gw-priority=1', '-p', '8410:80');
    docker.ok('network', 'connect', 'another', 'multi');
    const [web, another] = [docker.settings('multi', 'web').ip, docker.settings('multi', 'another').ip];
    expect([of(web)?.ports.length, of(another)?.ports.length]).toEqual([1, 0]);
    expect(seen(`http://${HOST}:8410`)).toBe(EXT1);
    docker.ok('network', 'disconnect', 'another', 'multi');
    docker.ok('network', 'connect', '--gw-priority', '2', 'another', 'multi');
    const moved = docker.settings('multi', 'another').ip;
    expect([of(web)?.ports.length, of(moved)?.ports.length]).toEqual([0, 1]);
    expect(seen(`http://${HOST}:8410`)).toBe(EXT1);
    docker.ok('rm', '-f', 'multi');
    docker.ok('network', 'rm', 'another');
  });
});

describe('restarts', () => {
  const SERVERS = join(import.meta.dirname, '../support/servers.py');

  it('of Sluice, by kill -9, stop neither old connections nor new ones', async () => {
    docker.idle('live', '--network', 'web', '-p', '8500:81');
    const stream = await docker.serve('live', 'stream', '81');
    const follow = bed.background(bed.ext1, ['/usr/bin/python3', SERVERS, 'follow', HOST, '8500', '8']);
    await follow.says(/ready/);
    const before = endpoints();
    await bed.killDaemon('SIGKILL');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    await bed.startDaemon();
    expect(endpoints()).toEqual(before);
    expect(bed.list<{ pending: unknown[] }>('status')).toBeTruthy();
    await follow.end();
    expect(Number(/longest pause (\d+) ms/.exec(follow.out)?.[1])).toBeLessThan(1000);
    await stream.stop('SIGKILL');
    docker.ok('restart', '-t', '0', 'live');
    docker.ok('rm', '-f', 'live');
  });

  it('of Sluice delay what Docker asks for meanwhile, no more', async () => {
    await bed.killDaemon('SIGKILL');
    const starting = docker.background(
      'run',
      '-d',
      '--name',
      'late',
      '--network',
      'web',
      'box',
      'sleep',
      '1000000',
    );
    await bed.startDaemon();
    expect(await starting.end()).toBe(0);
    docker.ok('rm', '-f', 'late');
  });

  it('of Docker: its containers come back with their ports', async () => {
    docker.ok('update', '--restart', 'always', 'c1');
    await docker.stopDockerd('SIGTERM');
    expect(endpoints()).toEqual([]);
    await docker.startDockerd();
    await until(() => seen(`http://${HOST}:8080`) === EXT1, 'c1 serves again');
    await docker.stopDockerd('SIGKILL');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    await docker.startDockerd();
    await until(() => seen(`http://${HOST}:8080`) === EXT1, 'c1 serves once more');
    await until(() => endpoints().length === 1, 'what Docker left behind is gone');
    await docker.stopDockerd('SIGTERM');
    await docker.startDockerd('--live-restore');
    await until(() => seen(`http://${HOST}:8080`) === EXT1, 'c1 serves');
    const named = () => until(() => endpoints()[0]?.container !== undefined, 'the Engine has named it');
    await named();
    const [before] = endpoints();
    await docker.stopDockerd('SIGTERM');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    await bed.killDaemon('SIGKILL');
    await bed.startDaemon();
    await docker.startDockerd('--live-restore');
    expect(seen(`http://${HOST}:8080`)).toBe(EXT1);
    await named();
    expect(endpoints()).toEqual([before]);
  });

  it('that cost an endpoint its pair: it is shown as lost, not repaired, and makes room', async () => {
    docker.web('lost', '--network', 'web', '-p', '8600:80');
    const { ip } = docker.settings('lost', 'web');
    const { hostInterface } = of(ip) as EndpointView;
    must(bed.host, ['ip', 'link', 'del', hostInterface as string]);
    await until(() => of(ip)?.state === 'error', 'it is shown');
    expect(of(ip)?.error).toMatch(/is gone, with the container/);
    await bed.killDaemon('SIGKILL');
    await bed.startDaemon();
    expect(of(ip)?.state).toBe('error');
    expect(links()).not.toContain(hostInterface);
    expect(links().filter((name) => name.startsWith('slp'))).toEqual([]);
    docker.web('found', '--network', 'web', '-p', '8600:80');
    expect(of(ip)).toBeUndefined();
    expect(seen(`http://${HOST}:8600`)).toBe(EXT1);
    docker.ok('rm', '-f', 'lost', 'found');
  });
});

describe('the end', () => {
  it('leaves nothing', async () => {
    docker.ok('rm', '-f', 'c1');
    docker.ok('network', 'rm', 'web');
    expect(endpoints()).toEqual([]);
    expect(bed.list<unknown[]>('network', 'ls')).toEqual([]);
    expect(bed.list<unknown[]>('sandbox', 'ls')).toEqual([]);
    expect(links().filter((name) => /^sl[bvp]/.test(name) && name !== 'slr0')).toEqual([]);
    await bed.killDaemon('SIGTERM');
    expect(existsSync(join(bed.directory, 'plugins/sluice.sock'))).toBe(false);
    const down = docker.refused('network', 'create', '-d', 'sluice', 'x');
    expect(down).toMatch(/sluice/);
    await bed.startDaemon();
  });
});
