// SPDX-License-Identifier: Apache-2.0
/** Sandboxes, endpoints, and what ties them together. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startCli, type TestCli } from './support.js';

let t: TestCli;
beforeEach(async () => {
  t = await startCli();
  await t.ok('network create net --subnet 10.9.0.0/24');
});
afterEach(() => t.close());

it('creates sandboxes with every flag', async () => {
  const id = await t.ok(
    'sandbox create web --dns 192.0.2.1 --dns 192.0.2.2 --dns-search a.test --hostname www',
  );
  expect(t.model.sandboxes()).toMatchObject([
    {
      id: id.trim(),
      name: 'web',
      dns: ['192.0.2.1', '192.0.2.2'],
      dnsSearch: ['a.test'],
      hostname: 'www',
    },
  ]);
  expect(await t.ok('sandbox ls')).toMatch(/SANDBOX ID.*\n[0-9a-f]{12} {3}web {4}\/run\/netns\/web {3}-\n$/);
  expect(await t.json('sandbox inspect web')).toMatchObject([{ name: 'web' }]);
  expect(await t.ok('sandbox rm web')).toBe('web\n');
});

it('makes the path of a namespace absolute', async () => {
  const { err } = await t.cli('sandbox create web --netns some/where');
  expect(err).toContain(`'${process.cwd()}/some/where' is no network namespace`);
});

it('takes an endpoint through its life', async () => {
  await t.ok('sandbox create web');
  const id = await t.ok(
    'endpoint create e --network net --ip 10.9.0.7 --mac 02:00:00:00:00:07 ' +
      '-p 127.0.0.1:8000-8010:80-90/udp --publish 8080:80 --alias www --label a=b',
  );
  expect(t.model.endpoint('e')).toMatchObject({
    id: id.trim(),
    ipv4: '10.9.0.7',
    mac: '02:00:00:00:00:07',
    aliases: ['www'],
    labels: { a: 'b' },
  });
  expect(await t.ok('endpoint join e web')).toBe('');
  const table = await t.ok('endpoint ls');
  expect(table).toMatch(
    /e {6}net {7}web {7}10\.9\.0\.7 {3}joined {3}127\.0\.0\.1:8000-8010->80-90\/udp, 0\.0\.0\.0:8080->80\/tcp\n/,
  );
  expect(await t.json('endpoint ls -o json')).toEqual(t.model.endpoints());
  expect(await t.ok('publish e 443:443 53:53/udp')).toBe('0.0.0.0:443->443/tcp\n0.0.0.0:53->53/udp\n');
  expect(await t.ok('publish e 81')).toMatch(/^0\.0\.0\.0:\d+->81\/tcp\n$/);
  expect(await t.ok('unpublish e 443:443')).toBe('');
  expect((await t.json('endpoint inspect e'))[0].ports).toHaveLength(4);
  expect((await t.json('publish e 82:82 --format json')).ports).toHaveLength(5);
  expect((await t.cli('endpoint rm e')).err).toMatch(/^sluice: .*web/);
  expect(await t.ok('endpoint leave e')).toBe('');
  expect(await t.json('endpoint join e web --format json')).toMatchObject({ state: 'joined' });
  expect(await t.json('endpoint leave e --format json')).toMatchObject({ state: 'created' });
  expect(await t.ok('endpoint rm e')).toBe('e\n');
});

it('connects and disconnects', async () => {
  await t.ok('sandbox create web');
  const id = await t.ok('connect net web --ip 10.9.0.9 -p 8080:80');
  expect(t.model.endpoint('net.web')).toMatchObject({ id: id.trim(), ipv4: '10.9.0.9', state: 'joined' });
  expect(await t.ok('disconnect net web')).toBe('');
  expect(await t.json('connect net web --name mine --format json')).toMatchObject({ name: 'mine' });
  const { code, err } = await t.cli('disconnect net nix');
  expect([code, err]).toEqual([
    1,
    "sluice: no sandbox is called 'nix' (sluice sandbox ls shows what there is)\n",
  ]);
});

it('takes addresses of both families, sources and SCTP', async () => {
  await t.ok('network create six --subnet 10.7.0.0/24 --subnet fd00:7::/64');
  await t.ok('sandbox create web');
  await t.ok(
    'connect six web --ip6 fd00:7::9 -p [::1]:80:80 -p 3868:3868/sctp --allow 10.0.0.0/8 --allow fd00::/8',
  );
  const allow = ['10.0.0.0/8', 'fd00::/8'];
  expect(t.model.endpoint('six.web')).toMatchObject({
    ipv6: 'fd00:7::9',
    ports: [
      { hostIp: '::1', hostPort: 80, allow },
      { protocol: 'sctp', hostPort: 3868, allow },
    ],
  });
  expect(await t.ok('publish six.web [::]:81:81 --allow 192.0.2.7')).toBe('[::]:81->81/tcp\n');
  expect(t.model.endpoint('six.web').ports[2]?.allow).toEqual(['192.0.2.7/32']);
  expect(await t.ok('endpoint ls')).toMatch(/10\.7\.0\.2, fd00:7::9 .*\[::1\]:80->80\/tcp, /);
  await t.ok('unpublish six.web [::]:81:81');
  expect(t.model.endpoint('six.web').ports).toHaveLength(2);
});

it('takes names that a path would misread', async () => {
  const { code, err } = await t.cli('endpoint inspect a/b?c#d');
  expect([code, err]).toEqual([
    1,
    "sluice: no endpoint is called 'a/b?c#d' (sluice endpoint ls shows what there is)\n",
  ]);
});

it.each([
  ['endpoint create x --network nix', "no network is called 'nix'"],
  ['endpoint create x --network net --ip 10.8.0.1', '10.8.0.1'],
  ['endpoint create x --network net -p 8080:80', '8080'],
  ['endpoint create x --network net -p 1-3:1-2', '1-3:1-2'],
  ['endpoint create x --network net -p 80/sctp', 'sctp'],
  ['endpoint create x --network net --ip6 fd00::2', "network 'net' has no IPv6"],
  ['endpoint create x --network net -p 80 --allow office', "allowed source 'office'"],
  ['publish e 81:81 --allow 10.0.0.1/8', 'write 10.0.0.0/8'],
  ['endpoint create e --network net', "'e' exists"],
  ['endpoint join e nix', "no sandbox is called 'nix'"],
  ['unpublish e 1:1', 'does not publish'],
])('says in one line why %s fails', async (line, words) => {
  await t.ok('endpoint create e --network net -p 8080:8080');
  const { code, out, err } = await t.cli(line);
  expect([code, out]).toEqual([1, '']);
  expect(err).toContain(words);
  expect(err.trimEnd().split('\n')).toHaveLength(1);
});

it('changes nothing in a dry run', async () => {
  await t.ok('sandbox create web');
  await t.ok('sandbox create db');
  await t.ok('connect net web -p 8080:80');
  await t.ok('endpoint create out --network net');
  const before = await snapshot(t);
  const kinds = async (line: string): Promise<string[]> =>
    (await t.json(`${line} --dry-run --format json`)).map(({ kind }: { kind: string }) => kind);
  expect(await kinds('sandbox create new')).toEqual(['netns', 'sandbox-files']);
  await kinds('sandbox rm db');
  await kinds('endpoint create new --network net');
  expect(await kinds('endpoint join out db')).toContain('port');
  await kinds('endpoint leave net.web');
  await kinds('endpoint rm out');
  expect(await kinds('connect net db')).toContain('dp-endpoint');
  await kinds('disconnect net web');
  expect(await kinds('publish net.web 81:81')).toContain('publish');
  await kinds('unpublish net.web 8080:80');
  expect(await t.ok('publish net.web 81:81 --dry-run')).toMatch(/^publish +.*hostPort=81/m);
  expect(await snapshot(t)).toBe(before);
});
