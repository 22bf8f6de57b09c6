// SPDX-License-Identifier: Apache-2.0
/** Conntrack, status, events, services, version. */
import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { run } from '../../../src/cli/run.js';
import { ownVersion } from '../../../src/cli/version.js';
import { flow, STATUS } from '../api/support.js';
import { sluice, startCli, type TestCli } from './support.js';

let t: TestCli;
beforeEach(async () => {
  t = await startCli();
});
afterEach(() => t.close());

it('lists flows', async () => {
  await t.ok('network create net');
  await t.ok('endpoint create e --network net');
  expect(await t.ok('conntrack ls')).toMatch(/^PROTO +DIRECTION +SOURCE[^\n]+IDLE\n$/);
  t.conntrack.flowsHeld = [
    flow({ endpoint: t.model.endpoint('e').id }),
    flow({
      protocol: 'udp',
      source: '10.64.0.2',
      translatedSource: '192.0.2.1',
      translatedDestination: '192.0.2.1',
      translatedDestinationPort: 8080,
    }),
  ];
  const [, first, second] = (await t.ok('conntrack ls')).split('\n');
  expect(first?.split(/ {2,}/)).toEqual([
    'tcp',
    'inbound',
    '198.51.100.7:40000',
    '192.0.2.1:8080',
    'to 10.64.0.2:80',
    'e',
    '-',
    'established',
    'proven',
    '61s',
    '0s',
  ]);
  expect(second).toContain('from 192.0.2.1:40000 ');
  expect(await t.json('conntrack ls -o json')).toHaveLength(2);
  expect(await t.json('conntrack ls -o json --protocol udp')).toHaveLength(1);
  await t.ok('conntrack ls --endpoint e --address 192.0.2.1 --port 80');
  expect(t.conntrack.asked.at(-1)).toEqual({
    endpoint: t.model.endpoint('e').id,
    address: '192.0.2.1',
    port: 80,
  });
});

it.each([
  ['conntrack ls --service s', 1, "no service is called 's'"],
  ['conntrack ls --port eighty', 1, "'port' is not a whole number"],
  ['conntrack ls --address here', 1, "'here' is not an IP address"],
  ['conntrack flush --endpoint nix', 1, "no endpoint is called 'nix'"],
  ['conntrack ls --protocol sctp', 2, 'Allowed choices are tcp, udp, icmp'],
])('refuses %s', async (line, exit, words) => {
  const { code, err } = await t.cli(line);
  expect(code).toBe(exit);
  expect(err).toContain(words);
});

it('flushes and counts flows', async () => {
  t.conntrack.flowsHeld = [flow(), flow({ protocol: 'udp' })];
  expect(await t.ok('conntrack flush --protocol udp --dry-run')).toBe('1 flow would be forgotten\n');
  expect(await t.ok('conntrack flush --protocol udp')).toBe('1 flow forgotten\n');
  expect(await t.json('conntrack flush -o json')).toEqual({ flows: 1 });
  expect(await t.ok('conntrack flush')).toBe('0 flows forgotten\n');
  expect(await t.ok('conntrack stats')).toMatch(/^tcp +9 +4 +2 +1$/m);
  expect(await t.json('conntrack stats -o json')).toMatchObject({ sourcePorts: { picked: 2 } });
});

it('shows a breaking stream as what it is', async () => {
  t.conntrack.flowsHeld = Array.from({ length: 5000 }, (_, i) => flow({ sourcePort: i }));
  t.conntrack.failAfter = 4000;
  const { code, err } = await t.cli('conntrack ls');
  expect([code, err]).toEqual([
    3,
    'sluice: the daemon went away before it had answered (see whether it runs, and with ls what was done)\n',
  ]);
});

it('shows the status', async () => {
  const { id } = JSON.parse(await t.ok('network create net --format json'));
  t.status.report = {
    ...STATUS,
    problems: [
      { owner: { kind: 'network', id }, row: 'bridge', key: 'slb1', state: 'error', error: 'EBUSY' },
      { owner: { kind: 'node', id: 'node' }, row: 'uplink', key: 'eth0', state: 'pending', error: null },
    ],
  };
  const text = await t.ok('status');
  for (const line of [
    /^Node: +testing \(192\.0\.2\.1\)$/m,
    /^Kernel: +6\.18\.0$/m,
    /^Up: +1h2m5s$/m,
    /^Uplinks: +eth0 \(192\.0\.2\.1\), tun0 \(no Ethernet\)$/m,
    /^Objects: +1 networks, 0 sandboxes, 0 endpoints$/m,
    /^Names: +resolver in 2 sandboxes, 7 queries, 3 forwarded, 1 failed$/m,
    /^Docker: +not followed$/m,
    /^bridge slb1 +network net +error +EBUSY$/m,
    /^uplink eth0 +node +pending +-$/m,
    /^bpf_wq +no +bpf_timer$/m,
    /^eth0 +uplink_ingress +tcx$/m,
    /^flows4 +5 +1000 +0\.5 %$/m,
    /^SPOOFED_MAC +3 +180$/m,
  ]) {
    expect(text).toMatch(line);
  }
  expect(await t.json('status -o json')).toMatchObject({ node: 'testing', objects: { networks: 1 } });
});

it('leaves out of the status what there is none of', async () => {
  t.status.report = {
    ...STATUS,
    features: [],
    attachModes: [],
    uplinks: [],
    tables: [],
    drops: {},
    address: null,
  };
  const text = await t.ok('status');
  expect(text).toMatch(/^Node: +testing$/m);
  expect(text).toMatch(/^Uplinks: +none$/m);
  expect(text).not.toMatch(/FEATURE|HOOK|TABLE|DROPPED|NOT DONE/);
});

it.each([[], ['--format', 'json']])(
  'prints events as they happen, until the daemon ends (%s)',
  async (...flags) => {
    let text = '';
    const stdout = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    let err = '';
    const stderr = new Writable({
      write(chunk, _encoding, done) {
        err += String(chunk);
        done();
      },
    });
    const running = run(['events', ...flags], { stdout, stderr, env: { SLUICE_SOCKET: t.socket } });
    await vi.waitFor(async () => {
      await t.ok(`network create n${Date.now()}`);
      expect(text).toContain('network');
    });
    const [line = ''] = text.split('\n');
    if (flags.length > 0) expect(JSON.parse(line)).toMatchObject({ type: 'network', action: 'create' });
    else expect(line).toMatch(/^\d{4}-\d\d-\d\dT\S+Z network create n\d+ driver=bridge$/);
    await t.listener.close();
    expect(await running).toBe(3);
    expect(err).toContain('the daemon ended the stream');
  },
);

it('knows its version, and that of the daemon if there is one', async () => {
  expect(await t.ok('version')).toBe(`sluice  ${ownVersion()}\ndaemon  0.1.0\n`);
  expect(await t.json('version -o json')).toEqual({ client: ownVersion(), daemon: '0.1.0' });
  expect(await t.ok('--version')).toBe(`sluice ${ownVersion()}\n`);
  const alone = await sluice({ SLUICE_SOCKET: '/nix/s.sock' }, 'version');
  expect([alone.code, alone.err]).toEqual([0, '']);
  expect(alone.out).toContain('not reachable at /nix/s.sock');
});
