// SPDX-License-Identifier: Apache-2.0
/** The commands that move a network of Docker's. */
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command, word } from '../../../src/docker/engine/adopt/shell.js';
import type { Adoption } from '../../../src/docker/engine/adopt/types.js';
import { failure } from '../support/model.js';
import { FakeEngine, id } from './fake-engine.js';
import { type Followed, follow } from './followed.js';

let fake: FakeEngine;
let t: Followed;
beforeEach(async () => {
  fake = new FakeEngine();
  await fake.start();
  t = await follow(fake);
  await t.connected();
});
afterEach(async () => {
  await t.stop();
  await fake.end();
});

function network(over: object = {}): void {
  fake.networks.set('front', {
    id: id('front'),
    name: 'front',
    IPAM: {
      Driver: 'default',
      Config: [{ Subnet: '10.9.0.0/24', Gateway: '10.9.0.1', IPRange: '10.9.0.128/25' }],
    },
    ...over,
  });
}
const on = (ip: string, aliases: string[] = []) => ({
  front: { networkId: id('front'), endpointId: id(`ep${ip}`), ip, aliases },
});
const adopt = (keepAddresses = false): Promise<Adoption> => t.engine.adoption('front', { keepAddresses });
const lines = (steps: Adoption['steps']): string[] => steps.flatMap(({ commands }) => commands);

it('moves containers that publish nothing while they run', async () => {
  network({
    Internal: true,
    EnableIPv6: true,
    Options: {
      'com.docker.network.driver.mtu': '1400',
      'com.docker.network.bridge.enable_icc': 'false',
      'com.docker.network.bridge.name': 'br-front',
      'com.example.else': 'x',
    },
    Labels: { note: "it's" },
  });
  fake.add('app', { networks: on('10.9.0.130', ['db', id('app').slice(0, 12)]) });
  const plan = await adopt();
  expect(lines(plan.steps)).toEqual([
    'docker network create -d sluice --ipam-driver sluice --internal --ipv6 ' +
      '-o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.enable_icc=false ' +
      "--label 'note=it'\\''s' front-sluice",
    'docker network connect --alias db front-sluice app',
    'docker network disconnect front app',
    'docker network rm front',
  ]);
  expect(lines(plan.back)).toEqual([
    'docker network create -d bridge --internal --ipv6 --subnet 10.9.0.0/24 --gateway 10.9.0.1 ' +
      '--ip-range 10.9.0.128/25 -o com.docker.network.driver.mtu=1400 ' +
      '-o com.docker.network.bridge.enable_icc=false -o com.docker.network.bridge.name=br-front ' +
      "-o com.example.else=x --label 'note=it'\\''s' front",
    'docker network connect --alias db front app',
    'docker network disconnect front-sluice app',
    'docker network rm front-sluice',
  ]);
  expect(plan.warnings.join('\n')).toContain('option com.example.else=x of the network is not carried over');
});

it('makes containers that publish ports anew, as they were', async () => {
  network();
  fake.images.set('sha256:image', {
    Config: { Env: ['PATH=/bin'], Cmd: ['serve'], Labels: { from: 'image' }, Entrypoint: ['/init'] },
  });
  fake.add('web', {
    networks: { ...on('10.9.0.131'), other: { networkId: id('other'), endpointId: id('x'), ip: '10.8.0.2' } },
    labels: { from: 'image', own: '1' },
    config: {
      Image: 'nginx:1',
      Hostname: id('web').slice(0, 12),
      Env: ['PATH=/bin', 'MOTTO=a b'],
      Entrypoint: ['/init', '-v'],
      Cmd: ['serve'],
      Tty: true,
      StopTimeout: 30,
      Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5e9, Retries: 2 },
    },
    hostConfig: {
      PortBindings: {
        '80/tcp': [
          { HostIp: '', HostPort: '8080' },
          { HostIp: '::1', HostPort: '8080' },
        ],
        '53/udp': [{ HostIp: '', HostPort: '0' }],
      },
      Binds: ['/srv:/srv:ro,z'],
      RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 },
      Memory: 67108864,
      MemorySwap: 134217728,
      NanoCpus: 1.5e9,
      CapAdd: ['NET_ADMIN'],
      ShmSize: 67108864,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
      Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }],
      Links: ['/db:/web/db'],
      AutoRemove: true,
      NetworkMode: 'front',
    },
    mounts: [
      { Type: 'bind', Source: '/srv', Destination: '/srv', RW: false },
      { Type: 'volume', Name: 'anonymous', Destination: '/data', RW: true },
    ],
  });
  const plan = await adopt();
  expect(plan.containers).toMatchObject([
    { name: 'web', move: 'recreate', ports: ['8080:80', '[::1]:8080:80', '53/udp'] },
  ]);
  expect(lines(plan.steps).slice(1)).toEqual([
    'docker stop web',
    'docker rename web web-before-sluice',
    "docker run --detach --name web --network front-sluice --tty --env 'MOTTO=a b' --label own=1 " +
      '--stop-timeout 30 --health-cmd true --health-interval 5s --health-retries 2 ' +
      '--restart on-failure:3 --memory 67108864 --cpus 1.5 --rm --volume /srv:/srv:ro,z ' +
      '--cap-add NET_ADMIN --ulimit nofile=1:2 --log-driver json-file --log-opt max-size=1m --publish 8080:80 ' +
      "--publish '[::1]:8080:80' --publish 53/udp --mount type=volume,source=anonymous,target=/data " +
      '--entrypoint /init nginx:1 -v serve',
    'docker network connect other web',
    'docker rm web-before-sluice',
    'docker network rm front',
  ]);
  const warnings = plan.warnings.join('\n');
  expect(warnings).toContain('web: HostConfig.Links is not in the command');
  expect(warnings).toContain('web was run with --rm');
  expect(warnings).toContain('docker port');
});

it('leaves the containers of Compose to Compose', async () => {
  network();
  const labels = {
    'com.docker.compose.project': 'shop',
    'com.docker.compose.project.config_files': '/srv/shop/compose.yaml',
  };
  const ports = { PortBindings: { '80/tcp': [{ HostPort: '80' }] } };
  fake.add('shop-web-1', { networks: on('10.9.0.132'), labels, hostConfig: ports });
  fake.add('shop-db-1', { networks: on('10.9.0.133'), labels });
  const plan = await adopt();
  expect(plan.containers.map(({ move, project }) => [move, project])).toEqual([
    ['compose', 'shop'],
    ['compose', 'shop'],
  ]);
  const compose = plan.steps.find(({ what }) => what.includes('Compose'));
  expect(compose?.what).toContain('/srv/shop/compose.yaml');
  expect(compose?.what).toContain('shop-db-1, shop-web-1');
  expect(compose?.commands).toEqual(['docker compose -p shop -f /srv/shop/compose.yaml up -d']);
});

it('keeps addresses by putting the new network in the place of the old', async () => {
  network();
  fake.add('app', { networks: on('10.9.0.130', ['db']) });
  const plan = await adopt(true);
  expect(plan.target).toBe('front');
  expect(lines(plan.steps)).toEqual([
    'docker network disconnect --force front app',
    'docker network rm front',
    'docker network create -d sluice --ipam-driver sluice --subnet 10.9.0.0/24 --gateway 10.9.0.1 --ip-range 10.9.0.128/25 front',
    'docker network connect --alias db --ip 10.9.0.130 front app',
  ]);
  expect(lines(plan.back)).toEqual([
    'docker network disconnect --force front app',
    'docker network rm front',
    'docker network create -d bridge --subnet 10.9.0.0/24 --gateway 10.9.0.1 --ip-range 10.9.0.128/25 front',
    'docker network connect --alias db --ip 10.9.0.130 front app',
  ]);
});

it.each([
  ['not_found', null, false],
  ['conflict', { Driver: 'sluice' }, false],
  ['unsupported', { Driver: 'macvlan' }, false],
  ['unsupported', { Driver: 'overlay', Scope: 'swarm' }, false],
  ['unsupported', { name: 'bridge' }, true],
])('refuses: %s %j', async (code, over, keepAddresses) => {
  if (over) network(over);
  const ref = over && 'name' in over ? 'bridge' : 'front';
  expect((await failure(t.engine.adoption(ref, { keepAddresses }))).code).toBe(code);
});

it('moves the containers of the default bridge, and leaves it where it is', async () => {
  network({ name: 'bridge', Options: { 'com.docker.network.bridge.default_bridge': 'true' } });
  fake.add('app', { networks: { bridge: { networkId: id('front'), endpointId: id('ep'), ip: '10.9.0.2' } } });
  const plan = await t.engine.adoption('bridge', { keepAddresses: false });
  expect(lines([...plan.steps, ...plan.back]).join('\n')).not.toMatch(
    /network (rm|create \S+ bridge) bridge$/m,
  );
  expect(plan.target).toBe('bridge-sluice');
});

it('cannot tell without the Engine', async () => {
  await fake.stop();
  await t.until(() => expect(t.engine.status().connected).toBe(false));
  expect(await failure(adopt())).toMatchObject({ code: 'unavailable' });
});

describe('a shell', () => {
  it.each(['plain-1.2_3:/@%+=,', "it's", '', '$HOME `id` "x"', 'a\nb', '*', '[::1]:80:80', 'ü'])(
    'reads %j as one word',
    (text) => {
      const { stdout } = spawnSync('sh', ['-c', `printf '%s|' ${word(text)}`], { encoding: 'utf8' });
      expect(stdout).toBe(`${text}|`);
    },
  );
  it('reads a command as it was meant', () => expect(command('docker', 'rm', 'a b')).toBe("docker rm 'a b'"));
});
