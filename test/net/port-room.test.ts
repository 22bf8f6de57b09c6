// SPDX-License-Identifier: Apache-2.0
/** A range of published ports that is large: what it leaves to others, or why it is refused. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { type Container, EXT1, HOST, Testbed } from '../support/testbed.js';

const RANGE = '10000-60999:10000-60999/udp';

let bed: Testbed;
let one: Container;
let two: Container;

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'lan');
  one = bed.container('one', 'lan');
  two = bed.container('two', 'lan');
  await bed.web(bed.ext1, 8000);
  await bed.udpEcho(bed.ext1, 9000);
});
afterAll(() => bed.stop());

/** Each from a port that the kernel picks. */
function othersLive(): void {
  for (let i = 0; i < 10; i++) {
    expect(bed.curl(bed.host, `http://${EXT1}:8000/`).out).toBe(HOST);
    expect(bed.udp(bed.host, EXT1, 9000)).toContain(HOST);
    expect(bed.curl(two.ns, `http://${EXT1}:8000/`).out).toBe(HOST);
    expect(bed.udp(two.ns, EXT1, 9000)).toContain(HOST);
  }
}

it('is refused where nothing would be left to the host, with the sysctl that makes room', () => {
  const { code, err } = bed.cli('publish', `lan.${one.ns}`, RANGE);
  expect(code).toBe(1);
  expect(err).toContain('sysctl -w net.ipv4.ip_local_port_range="1024 65535"');
  expect(err.trim().split('\n')).toHaveLength(1);
  othersLive();
});

it('is refused where nothing would be left to containers, with the option that makes room', () => {
  must(bed.host, ['sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65535']);
  const { code, err } = bed.cli('publish', `lan.${one.ns}`, '30000-65535:30000-65535/udp');
  expect(code).toBe(1);
  expect(err).toContain('--masquerade-ports 1024-65535');
  othersLive();
});

it('is published once there is room, and everybody lives', async () => {
  await bed.killDaemon('SIGTERM');
  await bed.startDaemon(['--masquerade-ports', '1024-65535']);
  bed.ok('publish', `lan.${one.ns}`, '20000-60999:20000-60999/udp');
  othersLive();
  await bed.udpEcho(one.ns, 30_000);
  expect(bed.udp(bed.ext1, HOST, 30_000)).toContain(EXT1);
});
