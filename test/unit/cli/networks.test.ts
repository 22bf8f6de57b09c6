// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it } from 'vitest';
import { snapshot } from '../support/model.js';
import { startCli, type TestCli } from './support.js';

let t: TestCli;
beforeEach(async () => {
  t = await startCli();
});
afterEach(() => t.close());

it('creates with every flag, and prints the id', async () => {
  const out = await t.ok(
    'network create -d bridge --subnet 10.1.0.0/16 --gateway 10.1.0.9 --ip-range 10.1.4.0/24 ' +
      '-o mtu=1400 -o com.docker.network.bridge.name=br-x=y --opt masquerade=false --label a=b --label c front',
  );
  const [network] = t.model.networks();
  expect(out).toBe(`${network?.id}\n`);
  expect(network).toMatchObject({
    name: 'front',
    subnets: [{ cidr: '10.1.0.0/16', gateway: '10.1.0.9', ipRange: '10.1.4.0/24' }],
    options: { mtu: '1400', 'com.docker.network.bridge.name': 'br-x=y', masquerade: 'false' },
    labels: { a: 'b', c: '' },
  });
});

it('warns on stderr of a subnet inside what the host routes', async () => {
  t.host.cidrs = ['10.0.0.0/8'];
  const { out, err, code } = await t.cli('network create --subnet 10.98.0.0/24 vpn');
  expect([code, out]).toEqual([0, `${t.model.network('vpn').id}\n`]);
  expect(err).toMatch(/^sluice: warning: subnet 10\.98\.0\.0\/24 lies in 10\.0\.0\.0\/8[^\n]*\n$/);
});

it.each([
  ['--ipv6 -o mtu=1000', 'invalid_argument', '1000 is too small for IPv6'],
  ['--internal -d host', 'invalid_argument', 'internal'],
  ['--ipam-driver weird', 'unsupported', 'weird'],
  ['-d bogus', 'invalid_argument', 'bogus'],
  ['-d overlay', 'unsupported', 'overlay'],
  ['--gateway 10.1.0.1', 'invalid_argument', 'subnet'],
  ['--ip-range 10.1.0.0/24', 'invalid_argument', 'subnet'],
  ['--subnet 10.1.0.0/24 --subnet 10.2.0.0/24', 'invalid_argument', 'one subnet per'],
  ['--subnet fd00::/64 --subnet fd01::/64', 'invalid_argument', 'one subnet per'],
  ['--subnet 10.1.0.0/24 --subnet fd00::/64 --gateway fd01::1', 'invalid_argument', 'fd00::/64'],
  ['-o icc=perhaps', 'invalid_argument', 'icc'],
  ['-o colour=red', 'invalid_argument', 'colour'],
])('passes on what the daemon says to %s', async (flags, code, words) => {
  const { code: exit, out, err } = await t.cli(`network create n ${flags}`);
  expect([exit, out]).toEqual([1, '']);
  expect(err).toMatch(/^sluice: [^\n]+ \([^\n]+\)\n$/);
  expect(err).toContain(words);
  const json = await t.cli(`network create n ${flags} --format json`);
  expect(JSON.parse(json.err)).toMatchObject({ code });
  expect(t.model.networks()).toEqual([]);
});

it('pairs gateways and ranges with the subnet of their family', async () => {
  const dual = '--subnet fd00::/64 --subnet 10.1.0.0/24 --gateway 10.1.0.3 --ip-range 10.1.0.128/25';
  await t.ok(`network create n ${dual} --internal`);
  expect(t.model.network('n')).toMatchObject({
    ipv6: true,
    internal: true,
    subnets: [
      { cidr: '10.1.0.0/24', gateway: '10.1.0.3', ipRange: '10.1.0.128/25' },
      { cidr: 'fd00::/64', gateway: 'fd00::1', ipRange: null },
    ],
  });
  await t.ok('network create m --ipv6 --subnet 10.2.0.0/24 -o icc=false -o max-flows=9');
  expect(t.model.network('m')).toMatchObject({ ipv6: true, options: { icc: 'false', 'max-flows': '9' } });
  expect(await t.ok('network ls')).toMatch(/10\.1\.0\.0\/24, fd00::\/64 +10\.1\.0\.3, fd00::1 /);
  const twice = await t.cli('network create n --subnet 10.1.0.0/24 --gateway 10.1.0.1 --gateway 10.1.0.2');
  expect(twice.code).toBe(2);
  expect(twice.err).toContain('--gateway 10.1.0.2: there is one already');
});

it('lists as a table, as JSON, and ids alone', async () => {
  expect(await t.ok('network ls')).toBe('NETWORK ID   NAME   DRIVER   SUBNET   GATEWAY   INTERFACE\n');
  expect(await t.json('network ls -o json')).toEqual([]);
  await t.ok('network create front');
  await t.ok('network create -d host up');
  const [front, up] = t.model.networks();
  const lines = (await t.ok('network ls')).split('\n');
  expect(lines[0]).toMatch(/^NETWORK ID {5}NAME {4}DRIVER/);
  expect(lines[1]).toMatch(new RegExp(`^${front?.id.slice(0, 12)}   front   bridge   10\\.64\\.0\\.0/24`));
  expect(lines[2]).toMatch(/up {6}host {5}- {14}-/);
  expect(lines[1]?.indexOf('bridge')).toBe(lines[2]?.indexOf('host'));
  expect(await t.json('network ls --format json')).toEqual([front, up]);
  expect(await t.ok('network ls -q')).toBe(`${front?.id.slice(0, 12)}\n${up?.id.slice(0, 12)}\n`);
  expect(await t.ok('network ls -q --no-trunc')).toBe(`${front?.id}\n${up?.id}\n`);
  expect(await t.ok('network ls --no-trunc')).toContain(`${front?.id}   front`);
});

it('inspects several, and goes on after one that is not there', async () => {
  await t.ok('network create a');
  await t.ok('network create b');
  const [a, b] = t.model.networks();
  expect(await t.json(`network inspect b ${a?.id.slice(0, 9)}`)).toEqual([b, a]);
  const { code, out, err } = await t.cli('network inspect a nix b nada');
  expect(code).toBe(1);
  expect(JSON.parse(out)).toEqual([a, b]);
  expect(err.trimEnd().split('\n')).toEqual([
    "sluice: no network is called 'nix' (sluice network ls shows what there is)",
    "sluice: no network is called 'nada' (sluice network ls shows what there is)",
  ]);
});

it('removes several, and goes on after one that it cannot', async () => {
  for (const name of ['a', 'b', 'c']) await t.ok(`network create ${name}`);
  await t.ok('endpoint create e --network b');
  const { code, out, err } = await t.cli('network rm a b nix c');
  expect(code).toBe(1);
  expect(out).toBe('a\nc\n');
  expect(err.trimEnd().split('\n')).toHaveLength(2);
  expect(err).toContain("'e'");
  expect(await t.json('network ls -o json')).toMatchObject([{ name: 'b' }]);
  await t.ok('endpoint rm e');
  expect(await t.json('network rm b --format json')).toEqual(['b']);
});

it('prunes', async () => {
  for (const name of ['a', 'b']) await t.ok(`network create ${name}`);
  await t.ok('endpoint create e --network b');
  expect(await t.ok('network prune --dry-run')).toBe('would remove a\n');
  expect(await t.ok('network prune')).toBe('a\n');
  expect(await t.json('network prune --format json')).toEqual([]);
});

it('prints rows in a dry run, and changes nothing', async () => {
  await t.ok('network create there');
  const before = await snapshot(t);
  const table = await t.ok('network create --dry-run front');
  expect(table.split('\n')[0]).toMatch(/^KIND {2,}WANTED$/);
  expect(table).toMatch(/^bridge +link=slb[0-9a-f]+ mac=\S+ mtu=- addresses=10\.64\.1\.1\/24$/m);
  const rows = await t.json('network create --dry-run --format json front');
  expect(rows.map((row: { kind: string }) => row.kind)).toContain('dp-network');
  expect(await t.json('network rm there --dry-run --format json')).toEqual([]);
  expect(await snapshot(t)).toBe(before);
});
