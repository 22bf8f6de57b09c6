// SPDX-License-Identifier: Apache-2.0
/** Services made by command, and who reaches them: sandboxes, the host and the world, at the socket and packet by packet. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import { ServiceBed, WAYS } from '../support/service-bed.js';
import { ask, unanswered } from '../support/services.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, type Testbed } from '../support/testbed.js';

const NAMES = ['a', 'b'];
const KINDS = ['tcp', 'udp', 'connected'] as const;

describe.each(WAYS)('%s', (_, flags) => {
  let services: ServiceBed;
  let bed: Testbed;
  let client: Container;
  let stranger: Container;
  let shop: ServiceObject;

  beforeAll(async () => {
    services = await ServiceBed.start(...flags);
    ({ bed } = services);
    for (const name of NAMES) await services.backend(name);
    client = bed.container('client', 'web');
    stranger = bed.container('stranger', 'other');
    shop = services.create(...NAMES.flatMap((name) => ['--backend', services.endpoint(name)]));
  });
  afterAll(() => services?.stop());

  /** By family. */
  const families = (): [vip: string, own: string][] => [
    [shop.vip as string, client.ip],
    [shop.vip6 as string, client.ip6],
  ];

  it('is reached over both families, by TCP and UDP, and by the host; backends see who asks', () => {
    for (const [vip, own] of families())
      for (const kind of KINDS) {
        const said = ask(client.ns, kind, vip, 80, 20);
        expect(said).toMatchObject({ clients: [own], peers: [`${vip} 80`] });
        expect(said.names.every((name) => NAMES.includes(name))).toBe(true);
        const gateway = vip.includes(':') ? 'fd00:64::1' : '10.64.0.1';
        expect(ask(bed.host, kind, vip, 80)).toMatchObject({ clients: [gateway], peers: [`${vip} 80`] });
      }
  });

  it('answers at a port of the host: to the world and to sandboxes, which backends see, and to the host', () => {
    for (const [address, world] of [
      [HOST, EXT1],
      [HOST_6, EXT1_6],
    ] as const)
      for (const kind of KINDS) {
        const of = (ns: string) => ask(ns, kind, address, 8000, 10);
        const peers = [`${address} 8000`];
        expect(of(bed.ext1)).toMatchObject({ clients: [world], peers });
        expect(of(stranger.ns)).toMatchObject({
          clients: [address === HOST ? stranger.ip : stranger.ip6],
          peers,
        });
        expect(of(bed.host)).toMatchObject({ names: expect.any(Array), peers });
      }
    expect(new Set(ask(bed.ext1, 'tcp', HOST, 8000, 60).names)).toEqual(new Set(NAMES));
  });

  it('refuses other ports at once, and says so', () => {
    const before = services.shop().stats?.refused.port ?? 0;
    const start = Date.now();
    for (const [vip] of families())
      for (const kind of ['tcp', 'connected'] as const)
        expect(ask(client.ns, kind, vip, 81).error).toBe('ECONNREFUSED');
    expect(Date.now() - start).toBeLessThan(4_000);
    expect(services.shop().stats?.refused.port).toBe(before + 4);
  });

  it('is not for sandboxes of other networks', () => {
    const isolated = bed.dropped('isolated');
    expect(unanswered(stranger.ns, 'tcp', shop.vip as string, 80)).toBe('timeout');
    expect(bed.dropped('isolated')).toBeGreaterThan(isolated);
  });

  it('keeps its network', () => {
    bed.ok('network', 'create', 'bare');
    bed.ok('service', 'create', 'lonely', '--network', 'bare', '--port', '80');
    const refused = bed.cli('network', 'rm', 'bare');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("'lonely'");
    bed.ok('service', 'rm', 'lonely');
    bed.ok('network', 'rm', 'bare');
  });

  it('refuses at once while it has no backend', () => {
    for (const name of NAMES) bed.ok('service', 'rm-backend', 'shop', services.endpoint(name));
    const before = services.shop().stats?.refused.no_backend ?? 0;
    const start = Date.now();
    for (const [vip] of families())
      for (const kind of ['tcp', 'connected'] as const)
        expect(ask(client.ns, kind, vip, 80).error).toBe('ECONNREFUSED');
    for (const kind of ['tcp', 'connected'] as const) {
      expect(ask(bed.ext1, kind, HOST, 8000).error).toBe('ECONNREFUSED');
      expect(ask(bed.host, kind, HOST, 8000).error).toBe('ECONNREFUSED');
    }
    expect(Date.now() - start).toBeLessThan(8_000);
    expect(services.shop().stats?.refused.no_backend).toBeGreaterThanOrEqual(before + 8);
    expect(unanswered(stranger.ns, 'tcp', shop.vip as string, 80)).toBe('timeout');
  });
});
