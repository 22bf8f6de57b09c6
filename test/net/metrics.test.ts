// SPDX-License-Identifier: Apache-2.0
/** Metrics as Prometheus would scrape them, and that what is shipped beside them names only such as exist. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

const ROOT = join(import.meta.dirname, '../..');
let bed: Testbed;
let box: { ns: string; ip: string };

const scrape = () => must(bed.host, ['curl', '-s', '-m', '3', 'http://127.0.0.1:9477/metrics']);

function value(text: string, name: string, labels: Record<string, string> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] !== name) continue;
    if (Object.entries(labels).every(([k, v]) => match[2]?.includes(`${k}="${v}"`))) sum += Number(match[3]);
  }
  return sum;
}

beforeAll(async () => {
  bed = await Testbed.start({
    // An Engine that is not there has metrics, too.
    daemonFlags: (directory) => [
      ...['--metrics', '127.0.0.1:9477'],
      ...['--docker-host', `unix://${directory}/docker.sock`],
    ],
  });
  bed.ok('network', 'create', 'web');
  box = bed.container('box', 'web', '-p', '8080:80', '-p', '9000-9009:9000-9009');
  await bed.web(box.ns, 80);
});
afterAll(() => bed.stop());

it('counts what went over the hooks', () => {
  const before = scrape();
  expect(bed.curl(bed.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  expect(run(box.ns, ['ping', '-c', '2', '-i', '0.2', '-W', '10', EXT1]).code).toBe(0);
  const after = scrape();
  const grew = (name: string, labels: Record<string, string>) =>
    value(after, name, labels) - value(before, name, labels);
  const inwards = { hook: 'uplink', direction: 'ingress', outcome: 'to_endpoint' };
  expect(grew('sluice_packets_total', inwards)).toBeGreaterThanOrEqual(6);
  expect(grew('sluice_bytes_total', inwards)).toBeGreaterThan(400);
  expect(grew('sluice_packets_total', { hook: 'endpoint', outcome: 'to_uplink' })).toBeGreaterThanOrEqual(6);
  expect(grew('sluice_flows_opened_total', { protocol: 'tcp' })).toBe(1);
  expect(grew('sluice_flows_opened_total', { protocol: 'icmp' })).toBe(1);
  expect(grew('sluice_snat_port_attempts_count', {})).toBe(1);
});

it('counts drops by reason', () => {
  must(bed.ext1, ['ip', 'route', 'add', box.ip, 'via', HOST]);
  const before = value(scrape(), 'sluice_dropped_packets_total', { reason: 'direct_routing' });
  run(bed.ext1, ['ping', '-c', '3', '-i', '0.2', '-W', '1', box.ip]);
  expect(value(scrape(), 'sluice_dropped_packets_total', { reason: 'direct_routing' })).toBe(before + 3);
});

it('tells objects, tables, rows, requests and the build', () => {
  const text = scrape();
  expect(value(text, 'sluice_endpoints')).toBe(1);
  expect(value(text, 'sluice_published_ports')).toBe(11);
  expect(value(text, 'sluice_table_entries', { map: 'port_slots' })).toBe(11);
  expect(value(text, 'sluice_table_capacity', { map: 'port_slots' })).toBe(393216);
  expect(value(text, 'sluice_reconcile_rows', { state: 'done' })).toBeGreaterThan(10);
  expect(value(text, 'sluice_reconcile_rows', { state: 'error' })).toBe(0);
  expect(value(text, 'sluice_reconcile_duration_seconds_count', { operation: 'apply' })).toBeGreaterThan(1);
  expect(value(text, 'sluice_api_request_duration_seconds_count')).toBeGreaterThan(2);
  expect(value(text, 'sluice_build_info')).toBe(1);
  expect(value(text, 'sluice_engine_connected')).toBe(0);
  expect(text).toMatch(/^sluice_engine_connected 0$/m);
});

it('has a bounded number of series', () => {
  expect(
    scrape()
      .split('\n')
      .filter((line) => line.startsWith('sluice_')).length,
  ).toBeLessThan(600);
});

it('has every metric that the dashboard and the alerts name', () => {
  const text = scrape();
  const exposed = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map((m) => m[1] as string));
  for (const name of [...exposed])
    for (const suffix of ['_bucket', '_sum', '_count']) exposed.add(name + suffix);
  for (const file of ['metrics/grafana/sluice.json', 'metrics/alerts/sluice.yaml']) {
    const named = [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\bsluice_[a-z_]+\b/g)].map(
      (m) => m[0],
    );
    expect(named.length).toBeGreaterThan(5);
    for (const name of named) expect(exposed, `${file} names ${name}`).toContain(name);
  }
});

it('refuses other paths', () => {
  expect(
    must(bed.host, ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:9477/']),
  ).toBe('404');
});
