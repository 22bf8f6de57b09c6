// SPDX-License-Identifier: Apache-2.0
/** The example for Compose, as it is. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EndpointObject, NetworkObject } from '../../src/api/schemas/objects.js';
import { DockerBed, IMAGE } from '../support/dockerbed.js';
import { EXT1, HOST, type Testbed } from '../support/testbed.js';

const FILE = join(import.meta.dirname, '../../examples/compose/compose.yaml');

let docker: DockerBed;
let bed: Testbed;

beforeAll(async () => {
  docker = await DockerBed.start(['--iptables=false', '--ip6tables=false', '--bridge=none']);
  bed = docker.bed;
  // Where also a Docker with a root of its own finds it.
  copyFileSync(FILE, join(bed.directory, 'compose.yaml'));
}, 120_000);
afterAll(async () => docker?.stop(), 60_000);

const compose = (...args: string[]): string =>
  docker.compose(join(bed.directory, 'compose.yaml'), { IMAGE }, ...args);
const seen = (port: number): string => bed.curl(bed.ext1, `http://${HOST}:${port}/cgi-bin/ip`).out;
const endpoints = () => bed.list<EndpointObject[]>('endpoint', 'ls');
/** The container of the project whose name has this in it. */
const container = (part: string): string =>
  docker.ok('ps', '--format', '{{.Names}}', '--filter', `name=${part}`).split('\n')[0] as string;
const reaches = (from: string, to: string): boolean =>
  docker.docker('exec', container(from), 'ping', '-c', '1', '-W', '10', to).code === 0;

it('comes up, with its ports, names and addresses', () => {
  compose('up', '-d');
  expect(endpoints()).toHaveLength(6);
  expect([8080, 8100, 8101, 8102].map(seen)).toEqual([EXT1, EXT1, EXT1, EXT1]);
  expect(seen(9443)).toBe('');
  expect(bed.curl(bed.host, 'http://127.0.0.1:9443/cgi-bin/ip').out).not.toBe('');
  expect(reaches('front', 'work')).toBe(true);
  expect(reaches('worker', 'front')).toBe(true);
  expect(reaches('worker', EXT1)).toBe(true);
  expect(docker.ok('exec', container('store'), 'ip', 'addr')).toContain('10.95.0.10/24');
  expect(docker.ok('exec', container('store'), 'ip', 'link', 'show', 'eth0')).toContain('mtu 1400');
});

it('is scaled, and a port of the range is free for others', () => {
  compose('up', '-d', '--scale', 'worker=2');
  expect([8100, 8101, 8102].filter((port) => seen(port) === EXT1)).toHaveLength(2);
  compose('up', '-d', '--scale', 'worker=3');
  expect([8100, 8101, 8102].map(seen)).toEqual([EXT1, EXT1, EXT1]);
});

it('goes down without a trace', () => {
  compose('down');
  expect([...endpoints(), ...bed.list<NetworkObject[]>('network', 'ls')]).toEqual([]);
});
