// SPDX-License-Identifier: Apache-2.0
/** A hundred containers that all use one source port towards one server. */
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../support/process.js';
import { EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const CLIENTS = 100;
const CROWD = join(import.meta.dirname, '../support/crowd.py');

let bed: Testbed;
const clients: string[] = [];

/** Side by side, which the command line does not do. */
function post(path: string, body: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    request({ socketPath: bed.socket, method: 'POST', path: `/v1${path}`, headers }, (answer) => {
      answer.resume();
      if ((answer.statusCode ?? 500) < 300) answer.on('end', resolve);
      else reject(new Error(`${path}: ${answer.statusCode}`));
    })
      .on('error', reject)
      .end(JSON.stringify(body));
  });
}

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', '--ipv6', 'lan');
  for (let i = 0; i < CLIENTS; i++) clients.push(bed.box(`c${i}`));
  await Promise.all(
    clients.map(async (name) => {
      await post('/sandboxes', { name });
      await post(`/sandboxes/${name}/connect`, { network: 'lan' });
    }),
  );
});
afterAll(() => bed.stop());

it.each([
  ['TCP over IPv4', 'tcp', EXT1, HOST],
  ['UDP over IPv4', 'udp', EXT1, HOST],
  ['TCP over IPv6', 'tcp', EXT1_6, HOST_6],
])('all are answered at once, each by a port of its own: %s', async (_, kind, address, host) => {
  const server = bed.background(bed.ext1, ['/usr/bin/python3', CROWD, 'serve', kind, address, '9600']);
  await server.says(/ready/);
  // each client says its number, and is told it with the port that the server sees
  const answers = JSON.parse(
    must(null, ['/usr/bin/python3', CROWD, 'ask', kind, address, '9600', '40000', ...clients]),
  ) as { number: number; seen: string; port: number }[];
  await server.stop('SIGKILL');
  expect(answers.map((a) => a.number)).toEqual(clients.map((_, i) => i));
  expect(new Set(answers.map((a) => a.seen))).toEqual(new Set([host]));
  expect(new Set(answers.map((a) => a.port)).size).toBe(CLIENTS);
  expect(answers.filter((a) => a.port === 40000)).toHaveLength(1);
});
