// SPDX-License-Identifier: Apache-2.0
/** Checks of backends over a real network, as the daemon makes them from the host. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HealthTarget } from '../../src/cnm/types.js';
import { must } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

const PROBES = join(import.meta.dirname, '../../dist/src/health/probes.js');
let bed: Testbed;
let box: { ns: string; ip: string };

beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web');
  box = bed.container('box', 'web');
  await bed.web(box.ns, 80);
  // Closes each connection without a word.
  const deaf =
    'import socket\ns=socket.create_server(("0.0.0.0",83))\nprint("ready",flush=True)\nwhile 1: s.accept()[0].close()';
  await bed.background(box.ns, ['/usr/bin/python3', '-c', deaf]).says(/ready/);
  // Accepts, and never answers.
  const mute =
    'import socket\ns=socket.create_server(("0.0.0.0",84))\nprint("ready",flush=True)\nheld=[]\nwhile 1: held.append(s.accept())';
  await bed.background(box.ns, ['/usr/bin/python3', '-c', mute]).says(/ready/);
  must(box.ns, ['iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '85', '-j', 'DROP']);
});
afterAll(() => bed.stop());

it.each([
  ['tcp', 80, '/', true],
  ['tcp', 81, '/', false],
  ['tcp', 84, '/', true],
  ['tcp', 85, '/', false],
  ['http', 80, '/', true],
  ['http', 80, '/nix', true],
  ['http', 81, '/', false],
  ['http', 83, '/', false],
  ['http', 84, '/', false],
  ['http', 85, '/', false],
] as const)('%s of port %i, path %s, finds it well: %s', (kind, port, path, well) => {
  expect(probed(box.ip, kind, port, path, well ? 10_000 : 500)).toBe(well);
});

it('holds statuses of failure for one', async () => {
  const serve =
    'import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n  def do_GET(s): s.send_response(int(s.path[1:])); s.send_header("Content-Length","0"); s.end_headers()\nx=h.HTTPServer(("0.0.0.0",86),H)\nprint("ready",flush=True)\nx.serve_forever()';
  await bed.background(box.ns, ['/usr/bin/python3', '-c', serve]).says(/ready/);
  const found = [200, 204, 302, 399, 400, 404, 500, 503].map((status) => [
    status,
    probed(box.ip, 'http', 86, `/${status}`),
  ]);
  expect(found).toEqual([
    [200, true],
    [204, true],
    [302, true],
    [399, true],
    [400, false],
    [404, false],
    [500, false],
    [503, false],
  ]);
});

it('asks nobody at the host itself', async () => {
  await bed.web(bed.host, 90);
  expect(probed('127.0.0.1', 'tcp', 90, '/')).toBe(false);
});

/** `ms` is what a check may take. */
function probed(address: string, kind: 'tcp' | 'http', port: number, path: string, ms = 10_000): boolean {
  const target: HealthTarget = {
    service: '',
    endpoint: '',
    generation: 1,
    address,
    check: { kind, port, path, interval: 1, timeout: 1, retries: 1 },
    inUse: false,
  };
  const script = `const { probe } = await import(${JSON.stringify(PROBES)});
    console.log(await probe(${JSON.stringify(target)}, AbortSignal.timeout(${ms})));`;
  return must(bed.host, [process.execPath, '--input-type=module', '-e', script]).trim() === 'true';
}
