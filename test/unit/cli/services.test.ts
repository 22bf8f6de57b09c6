// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startCli, type TestCli } from './support.js';

let t: TestCli;
beforeEach(async () => {
  t = await startCli();
  await t.ok('network create net --subnet 10.9.0.0/24 --subnet fd00:9::/64');
  await t.ok('sandbox create box');
  await t.ok('connect net box --label app=shop');
});
afterEach(() => t.close());

it('creates services with every flag', async () => {
  const id = await t.ok(
    'service create shop --network net --port 80:8080,443 --port 53/udp --vip 10.9.0.80 --vip fd00:9::80 ' +
      '--algorithm maglev --affinity --publish 8000:80 -p 8443:443 --idle-timeout 5m --allow 192.0.2.0/24 ' +
      '--allow 2001:db8::1 --selector app=x --selector tier=y --backend net.box=3 --health http ' +
      '--health-port 81 --health-path /up --health-interval 500ms --health-timeout 2s --health-retries 2',
  );
  expect(t.model.services()).toMatchObject([
    {
      id: id.trim(),
      name: 'shop',
      network: 'net',
      vip: '10.9.0.80',
      vip6: 'fd00:9::80',
      ports: [
        { port: 80, backendPort: 8080, protocol: 'tcp' },
        { port: 443, backendPort: 443, protocol: 'tcp' },
        { port: 53, backendPort: 53, protocol: 'udp' },
      ],
      algorithm: 'maglev',
      affinity: 10_800,
      idleTimeout: 300,
      publish: [
        { hostPort: 8000, port: 80, protocol: 'tcp' },
        { hostPort: 8443, port: 443, protocol: 'tcp' },
      ],
      allow: ['192.0.2.0/24', '2001:db8::1/128'],
      selector: { app: 'x', tier: 'y' },
      health: { kind: 'http', port: 81, path: '/up', interval: 0.5, timeout: 2, retries: 2 },
      backends: [{ endpoint: 'net.box', weight: 3, state: 'starting' }],
    },
  ]);
  expect(await t.ok('service ls')).toMatch(
    /^SERVICE ID +NAME +NETWORK +ADDRESS +PORTS +PUBLISH +BACKENDS\n[0-9a-f]{12} +shop +net +10\.9\.0\.80, fd00:9::80 +80->8080\/tcp, 443\/tcp, 53\/udp +8000->80\/tcp, 8443->443\/tcp +1 starting\n$/,
  );
  expect(await t.json('service inspect shop')).toMatchObject([{ name: 'shop' }]);
});

it.each([
  ['--affinity x', ['x', 10_800]],
  ['--affinity 60 x', ['x', 60]],
  ['--affinity=2h x', ['x', 7200]],
  ['x --affinity', ['x', 10_800]],
  ['x --affinity 1h30m', ['x', 5400]],
  ['x', ['x', null]],
])('reads an affinity with and without a time: %s', async (words, [name, affinity]) => {
  await t.ok(`service create --network net --port 80 ${words}`);
  expect(t.model.service(name as string).affinity).toBe(affinity);
});

it('makes names without an address', async () => {
  await t.ok('service create names --network net --mode dnsrr --selector app=shop');
  expect(await t.ok('service ls')).toMatch(/names +net +dnsrr +- +- +1 active\n$/);
});

it('adds, sets and removes backends', async () => {
  await t.ok('service create shop --network net --port 80');
  const backend = () => t.model.service('shop').backends[0];
  await t.ok('service add-backend shop net.box --weight 7');
  expect(backend()).toMatchObject({ weight: 7, state: 'active' });
  await t.ok('service set-backend shop net.box --drain');
  expect(backend()).toMatchObject({ weight: 7, state: 'draining' });
  await t.ok('service set-backend shop net.box --drain=false --weight 2');
  expect(backend()).toMatchObject({ weight: 2, state: 'active' });
  await t.ok('service set-backend --drain shop net.box');
  expect(backend()?.state).toBe('draining');
  expect(await t.json('service set-backend shop net.box --drain false --format json')).toMatchObject({
    backends: [{ state: 'active' }],
  });
  const before = await snapshot(t);
  expect(await t.ok('service rm-backend shop net.box --dry-run')).toMatch(/^KIND +WANTED\nservice /);
  expect(await snapshot(t)).toBe(before);
  await t.ok('service rm-backend shop net.box');
  expect(backend()).toBeUndefined();
  expect(await t.ok('service rm shop')).toBe('shop\n');
  expect(t.model.services()).toEqual([]);
});

it('creates all that a file names', async () => {
  const file = join(t.directory, 'services.json');
  writeFileSync(
    file,
    JSON.stringify(['a', 'b'].map((name) => ({ name, network: 'net', ports: ['80'], affinity: true }))),
  );
  const ids = (await t.ok(`service create -f ${file}`)).trim().split('\n');
  expect(t.model.services().map(({ id }) => id)).toEqual(ids);
  expect((await t.cli(`service create -f ${file}`)).err).toBe(
    "sluice: service 'a': a service 'a' exists already (choose another name, or remove that service)\n",
  );
  writeFileSync(file, '{}');
  expect(await t.cli(`service create --file ${file}`)).toMatchObject({
    code: 1,
    err: expect.stringContaining('holds no array'),
  });
  writeFileSync(file, '[');
  expect((await t.cli(`service create --file ${file}`)).err).toContain('is not JSON');
  expect((await t.cli('service create --file /nix/x')).err).toContain('/nix/x cannot be read');
});

it.each([
  ['service create', "missing required argument 'NAME'"],
  ['service create x', "required option '--network <NETWORK>' not specified"],
  ['service create x --network net --port 80 --vip 10.9.0.5 --vip 10.9.0.6', 'there is one already'],
  ['service create x --network net --port 80 --health-port 80', '--health-port without --health'],
  ['service create x --network net --port 80 --idle-timeout soon', 'not a time'],
  ['service create x --network net --port 80 --affinity=500ms', 'not a time'],
  ['service create x -f y', '--file says everything'],
  ['service add-backend x y --weight heavy', 'not a whole number'],
  ['service set-backend x y', 'nothing is to be set'],
  ['service set-backend x y --drain=maybe', 'neither true nor false'],
])('%s is wrong usage', async (line, message) => {
  const { code, err } = await t.cli(line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});

it('passes on what the daemon says', async () => {
  expect(await t.cli('service create x --network net --port 80 --vip 10.8.0.1')).toMatchObject({
    code: 1,
    err: "sluice: 10.8.0.1 is outside of the network's subnet 10.9.0.0/24 (give an address of 10.9.0.0/24, or none for an automatic one)\n",
  });
});
