// SPDX-License-Identifier: Apache-2.0
/** Services while the daemon is dead and after it has come back, what is told of them, and what cleanup leaves. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FlowObject } from '../../src/api/schemas/conntrack.js';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import { MAPS_DIR } from '../../src/daemon/places.js';
import { type DataplaneMaps, pinnedMaps } from '../../src/maps/dataplane.js';
import { bpfNative } from '../../src/native/bpf.js';
import { addedSince, bpfObjects } from '../support/bpf-objects.js';
import { must } from '../support/process.js';
import { ServiceBed, WAYS } from '../support/service-bed.js';
import { ask } from '../support/services.js';
import { type Container, EXT1, HOST, type Testbed } from '../support/testbed.js';

describe.each(WAYS)('%s', (way, flags) => {
  let services: ServiceBed;
  let bed: Testbed;
  let client: Container;
  let shop: ServiceObject;
  let vip: string;
  const sockets = way === 'at the socket';

  beforeAll(async () => {
    services = await ServiceBed.start(...flags);
    ({ bed } = services);
    client = bed.container('client', 'web');
    for (const name of ['a', 'b']) await services.backend(name);
    shop = services.create(...['a', 'b'].flatMap((n) => ['--backend', services.endpoint(n)]));
    vip = shop.vip as string;
  });
  afterAll(() => services?.stop());

  /** The kernel's side of all services, without their figures. */
  async function kernel(): Promise<unknown> {
    const { maps: pinned, close } = pinnedMaps(bpfNative(), join(bed.bpffs, MAPS_DIR));
    const maps = pinned as DataplaneMaps;
    const used: unknown[] = [];
    for (const map of [maps.services4, maps.services6, maps.backend_endpoints] as const)
      for await (const entry of map.entries()) used.push(entry);
    for (const place of [8000, 65_536 + 8000]) used.push(maps.publishes.get(maps.port_slots.get(place) ?? 0));
    for (let id = 0; id < 64; id++) used.push(maps.service_backends.get(id), maps.service_slots.get(id));
    close();
    return used;
  }

  const metrics = (): string => must(bed.host, ['curl', '-s', '-m', '3', 'http://127.0.0.1:9477/metrics']);
  /** The sum of the metric's series with all of these labels. */
  function value(text: string, name: string, ...labels: string[]): number {
    const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`));
    const of = lines.filter((line) => ['service="shop"', ...labels].every((label) => line.includes(label)));
    expect(of).not.toEqual([]);
    return of.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  it('are in the list of flows and in metrics', async () => {
    const talk = services.talk('talk', bed.ext1, HOST, 8000);
    const name = await talk.next();
    const flows = bed.list<FlowObject[]>('conntrack', 'ls', '--service', 'shop', '--address', EXT1);
    expect(flows).toMatchObject([
      {
        protocol: 'tcp',
        source: EXT1,
        destination: HOST,
        destinationPort: 8000,
        translatedSource: EXT1,
        translatedDestinationPort: 8080,
        service: 'shop',
        backend: services.endpoint(name),
        state: 'established',
      },
    ]);
    ask(client.ns, 'tcp', vip, 80, 20);
    const inside = bed.list<FlowObject[]>('conntrack', 'ls', '--service', 'shop', '--address', vip);
    expect(inside).toHaveLength(sockets ? 0 : 20);
    expect(ask(client.ns, 'tcp', vip, 81).error).toBe('ECONNREFUSED');
    const text = metrics();
    expect(value(text, 'sluice_service_backends', 'state="active"')).toBe(2);
    expect(value(text, 'sluice_service_connections_total', 'state="active"')).toBe(21);
    expect(value(text, 'sluice_service_picks_total')).toBe(21);
    expect(value(text, 'sluice_service_refused_total', 'reason="port"')).toBe(1);
    expect(value(text, 'sluice_service_packets_total')).toBeGreaterThan(sockets ? 3 : 100);
    expect(value(text, 'sluice_service_bytes_total')).toBeGreaterThan(sockets ? 200 : 6_000);
    await talk.stop();
  });

  it('serve while the daemon is dead, and are as they were when it is back', async () => {
    services.load(client.ns, vip, 80);
    services.load(bed.ext1, HOST, 8000);
    services.load(bed.host, HOST, 8000);
    const { stats: _, backends, ...before } = services.shop();
    const rows = await kernel();
    const loaded = metrics();
    const talk = services.talk('talk', client.ns, vip, 80);
    const name = await talk.next();
    await services.met();
    await bed.killDaemon('SIGKILL');
    const dead = await services.metAll('a', 'b');
    await bed.startDaemon();
    const started = await services.met();
    for (const met of [...dead, ...(await services.metAll('a', 'b'))]) {
      expect(met.errors).toEqual({});
      expect(Object.keys(met.names).sort()).toEqual(['a', 'b']);
    }
    expect(started.map(({ errors }) => errors)).toEqual(started.map(() => ({})));
    expect(await talk.next()).toBe(name);
    await talk.stop();
    expect(await kernel()).toEqual(rows);
    const { stats, backends: now, ...after } = services.shop();
    expect(after).toEqual(before);
    expect(now.map(({ endpoint, state }) => [endpoint, state])).toEqual(
      backends.map(({ endpoint, state }) => [endpoint, state]),
    );
    const asked = dead.flatMap((met) => Object.values(met.names)).reduce((sum, n) => sum + n, 0);
    const text = metrics();
    const grown = (name: string): number => value(text, name) - value(loaded, name);
    expect(grown('sluice_service_connections_total')).toBeGreaterThan(asked);
    expect(grown('sluice_service_packets_total')).toBeGreaterThan(asked);
    expect((stats?.flows ?? 0) + (stats?.sockets ?? 0)).toBeGreaterThan(asked);
  });

  it('are served by nobody after cleanup, which leaves none of their kind', async () => {
    await bed.killDaemon('SIGTERM');
    const ours = await bpfObjects(bed);
    must(bed.host, bed.daemonCommand('cleanup', '--state'));
    expect(ask(bed.host, 'tcp', HOST, 8000).error).toBe('ECONNREFUSED');
    const left = await bpfObjects(bed);
    expect(addedSince(left, ours).map.length).toBeGreaterThan(0);
    expect(addedSince(ours, left)).toEqual({ link: [], prog: [], map: [] });
  });
});
