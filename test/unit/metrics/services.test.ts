// SPDX-License-Identifier: Apache-2.0
import { Registry } from 'prom-client';
import { beforeEach, expect, it, vi } from 'vitest';
import { registerServices, type ServiceTotals } from '../../../metrics/services.js';

let there: { id: string; name: string; backends: { state: string }[] }[];
let totals: ServiceTotals[];
let registry: Registry;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  there = [];
  totals = [];
  registry = new Registry();
  registerServices(registry, { services: () => there, totals: async () => totals, most: 2 });
  return () => vi.useRealTimers();
});

function add(id: string, connections: number): void {
  there = [...there, { id, name: `name-${id}`, backends: [{ state: 'active' }, { state: 'gone' }] }];
  totals = [...totals, total(id, connections)];
}

function total(id: string, n: number): ServiceTotals {
  const counted = (connections: number) => ({
    connections,
    packets: 2 * connections,
    bytes: 3 * connections,
  });
  return {
    id,
    picks: n,
    counted: { active: counted(n), draining: counted(1) },
    active: { active: n, draining: 0 },
    refused: { no_backend: n, port: 0, source: 0 },
  };
}

function remove(id: string): void {
  there = there.filter((s) => s.id !== id);
  totals = totals.filter((t) => t.id !== id);
}

async function scrape(name: string): Promise<Record<string, number>> {
  const text = await registry.metrics();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  vi.advanceTimersByTime(10_000);
  return Object.fromEntries(
    lines.map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

it('shows each service by its name, and the state of its backends', async () => {
  add('a', 5);
  expect(await scrape('sluice_service_connections_total')).toEqual({
    '{service="name-a",state="active"}': 5,
    '{service="name-a",state="draining"}': 1,
  });
  expect(await scrape('sluice_service_picks_total')).toEqual({ '{service="name-a"}': 5 });
  expect(await scrape('sluice_service_bytes_total')).toMatchObject({
    '{service="name-a",state="active"}': 15,
  });
  expect(await scrape('sluice_service_refused_total')).toMatchObject({
    '{service="name-a",reason="no_backend"}': 5,
  });
  expect(await scrape('sluice_service_active_flows')).toMatchObject({
    '{service="name-a",state="active"}': 5,
  });
  expect(await scrape('sluice_service_backends')).toEqual({
    '{service="name-a",state="starting"}': 0,
    '{service="name-a",state="active"}': 1,
    '{service="name-a",state="draining"}': 0,
    '{service="name-a",state="gone"}': 1,
  });
  expect([await scrape('sluice_services'), await scrape('sluice_services_summed')]).toEqual([
    { '': 1 },
    { '': 0 },
  ]);
});

it('sums those for which there is no room, and says how many', async () => {
  for (const [id, n] of Object.entries({ a: 1, b: 2, c: 4, d: 8 })) add(id, n);
  expect(await scrape('sluice_service_picks_total')).toEqual({
    '{service="name-a"}': 1,
    '{service="name-b"}': 2,
    '{service=""}': 12,
  });
  expect(await scrape('sluice_service_backends')).toMatchObject({ '{service="",state="active"}': 2 });
  expect(await scrape('sluice_services_summed')).toEqual({ '': 2 });
});

it('keeps a sum that only grows, and who is in it, when services come and go', async () => {
  for (const [id, n] of Object.entries({ a: 1, b: 2, c: 4, d: 8 })) add(id, n);
  const picks = () => scrape('sluice_service_picks_total');
  await picks();
  remove('d');
  expect((await picks())['{service=""}']).toBe(12);
  // room for one: the next that comes has it, not one that is summed already
  remove('a');
  add('e', 16);
  totals = totals.map((t) => (t.id === 'c' ? total('c', 6) : t));
  expect(await picks()).toEqual({ '{service="name-b"}': 2, '{service="name-e"}': 16, '{service=""}': 14 });
});
