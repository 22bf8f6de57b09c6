// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, test } from 'vitest';
import type { SandboxCreate } from '../../../src/cnm/types.js';
import { type Bench, failure, made, planned, snapshot, startModel } from '../support/model.js';

let bench: Bench;
beforeEach(async () => {
  bench = await startModel();
});
const create = (request: Partial<SandboxCreate> = {}) =>
  made(bench.model.createSandbox({ name: 'box', ...request }));
const files = () => bench.realizer.rows('sandbox-files')[0];

describe('a sandbox', () => {
  test('has a namespace of its own and the host’s resolver', async () => {
    expect(await create()).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{64}$/),
      name: 'box',
      netns: '/run/netns/box',
      owned: true,
      dns: [],
      dnsSearch: [],
      hostname: 'box',
      endpoints: [],
      origin: 'sluice',
      created: '2026-01-01T00:00:00.000Z',
    });
    expect([...bench.realizer.owners.values()]).toEqual([
      [
        { kind: 'netns', path: '/run/netns/box' },
        {
          kind: 'sandbox-files',
          name: 'box',
          resolvConf: 'nameserver 192.0.2.53\nsearch example.net\n',
          hosts: '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n',
          hostname: 'box\n',
        },
      ],
    ]);
  });

  test('has the resolver it was given', async () => {
    bench.host.resolv = 'nameserver 192.0.2.53\nsearch example.net\noptions ndots:2 edns0\n';
    const box = await create({
      dns: ['198.51.100.1', '2001:db8::53'],
      dnsSearch: ['a.example', 'b.example'],
      hostname: 'web.a.example',
    });
    expect(box).toMatchObject({ dns: ['198.51.100.1', '2001:db8::53'], hostname: 'web.a.example' });
    expect(files()?.resolvConf).toBe(
      'nameserver 198.51.100.1\nnameserver 2001:db8::53\nsearch a.example b.example\noptions ndots:2 edns0\n',
    );
    expect(files()?.hostname).toBe('web.a.example\n');
  });

  test('does not get what it cannot reach from the host’s resolver', async () => {
    bench.host.resolv = [
      '# generated',
      'nameserver 127.0.0.53',
      'nameserver ::1',
      'nameserver 2001:db8::53',
      'nameserver\t192.0.2.7 ',
      'domain old.example',
      'search new.example',
    ].join('\n');
    await create({ dnsSearch: ['.'] });
    expect(files()?.resolvConf).toBe('nameserver 192.0.2.7\n');
    bench.host.resolv = 'nameserver 127.0.0.53\n; comment\ndomain a.example\n';
    await create({ name: 'b' });
    const conf = bench.realizer.rows('sandbox-files')[1]?.resolvConf;
    expect(conf).toMatch(/^# .*--dns/);
    expect(conf).toContain('\nsearch a.example\n');
  });

  test('asks the resolver of ours first, and the others while it is dead', async () => {
    bench = await startModel({ resolver: true });
    bench.host.resolv = 'nameserver 127.0.0.53\nnameserver 192.0.2.7\nsearch a.example\noptions rotate\n';
    await create();
    expect(files()?.resolvConf).toBe(
      'nameserver 127.0.0.11\nnameserver 192.0.2.7\nsearch a.example\noptions rotate\n',
    );
    await create({ name: 'own', dns: ['198.51.100.1'] });
    expect(bench.realizer.rows('sandbox-files')[1]?.resolvConf).toContain(
      'nameserver 127.0.0.11\nnameserver 198.51.100.1\n',
    );
    bench.host.resolv = 'nameserver 127.0.0.53\n';
    await create({ name: 'alone' });
    expect(bench.realizer.rows('sandbox-files')[2]?.resolvConf).toBe('nameserver 127.0.0.11\n');
  });

  test("asks nobody of the host's on internal networks alone", async () => {
    bench = await startModel({ resolver: true });
    await bench.model.createNetwork({ name: 'vault', internal: true });
    await bench.model.createNetwork({ name: 'web' });
    await create();
    const servers = () => files()?.resolvConf.match(/^nameserver .*$/gm);
    await bench.model.connect('box', { network: 'vault' });
    expect(servers()).toEqual(['nameserver 127.0.0.11']);
    await bench.model.connect('box', { network: 'web' });
    expect(servers()).toEqual(['nameserver 127.0.0.11', 'nameserver 192.0.2.53']);
    await bench.model.disconnect('web', 'box');
    expect(servers()).toEqual(['nameserver 127.0.0.11']);
  });

  test('whose name is no host name is called by its id', async () => {
    const box = await create({ name: 'a..b' });
    expect(box.hostname).toBe(box.id.slice(0, 12));
  });

  test('adopts a namespace, which stays when it goes', async () => {
    bench.host.namespaces.set('/run/netns/theirs', ['eth0']);
    const box = await create({ netns: '/run/netns/theirs' });
    expect(box).toMatchObject({ netns: '/run/netns/theirs', owned: false });
    expect(bench.realizer.rows('netns')).toEqual([]);
    expect(files()?.name).toBe('box');
  });

  test('can be the host’s own namespace, whose files are left alone', async () => {
    const box = await create({ netns: '/proc/1/ns/net' });
    expect(box.owned).toBe(false);
    expect(bench.realizer.owners.size).toBe(0);
    const error = await failure(create({ name: 'b', netns: '/proc/1/ns/net', hostname: 'x' }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'hostname' });
  });
});

describe('is refused', () => {
  const cases: [string, Partial<SandboxCreate>, string, string, RegExp][] = [
    ['a bad name', { name: '../x' }, 'invalid_argument', 'name', /not a name/],
    ['a name in use', { name: 'first' }, 'conflict', 'name', /'first' exists/],
    ['a namespace that is there', { name: 'there' }, 'conflict', 'name', /\/run\/netns\/there exists/],
    ['a file that is there', { name: 'file' }, 'conflict', 'name', /\/run\/netns\/file exists/],
    ['no namespace', { netns: '/run/netns/none' }, 'invalid_argument', 'netns', /is no network namespace/],
    ['a relative path', { netns: 'there' }, 'invalid_argument', 'netns', /is no network namespace/],
    [
      'the namespace of another sandbox',
      { netns: '/run/netns/first' },
      'conflict',
      'netns',
      /belongs to sandbox 'first'/,
    ],
    [
      'a DNS server that is none',
      { dns: ['192.0.2.1', 'dns.example'] },
      'invalid_argument',
      'dns[1]',
      /'dns.example'/,
    ],
    ['a search domain that is none', { dnsSearch: ['a b'] }, 'invalid_argument', 'dnsSearch[0]', /'a b'/],
    ['a host name that is none', { hostname: 'a b' }, 'invalid_argument', 'hostname', /'a b'/],
  ];
  test.each(cases)('%s', async (_, request, code, field, message) => {
    bench.host.namespaces.set('/run/netns/there', []).set('/run/netns/first', []);
    bench.host.paths.add('/run/netns/file');
    bench.host.namespaces.delete('/run/netns/first');
    await create({ name: 'first' });
    bench.host.namespaces.set('/run/netns/first', []);
    const before = await snapshot(bench);
    const error = await failure(create(request));
    expect(error).toMatchObject({ code, field });
    expect(error.message).toMatch(message);
    expect(error.hint).toBeTruthy();
    expect(await snapshot(bench)).toBe(before);
  });

  test('removal while endpoints are inside', async () => {
    await create();
    await made(bench.model.createNetwork({ name: 'web' }));
    await made(bench.model.connect('box', { network: 'web' }));
    const error = await failure(bench.model.removeSandbox('box'));
    expect(error).toMatchObject({ code: 'in_use', status: 409 });
    expect(error.message).toContain("'web.box'");
    await bench.model.leave('web.box');
    await bench.model.removeSandbox('box');
    expect(bench.model.sandboxes()).toEqual([]);
    expect(bench.realizer.rows('netns')).toEqual([]);
  });
});

test('a dry run shows the rows and changes nothing', async () => {
  const before = await snapshot(bench);
  const plan = await planned(bench.model.createSandbox({ name: 'box' }, true));
  expect(plan.rows.map(({ kind }) => kind)).toEqual(['netns', 'sandbox-files']);
  expect(await snapshot(bench)).toBe(before);
  await create();
  expect(await bench.model.removeSandbox('box', true)).toEqual({ dryRun: true, rows: [] });
  expect(bench.model.sandbox('box').name).toBe('box');
});
