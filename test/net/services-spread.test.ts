// SPDX-License-Identifier: Apache-2.0
/** Over which backends connections are spread, at the socket and packet by packet. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/api/schemas/objects.js';
import { ServiceBed, WAYS } from '../support/service-bed.js';
import { ask } from '../support/services.js';
import { type Container, HOST, type Testbed } from '../support/testbed.js';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
const CONNECTIONS = 5_000;

const tally = (names: string[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
};

describe.each(WAYS)('%s', (way, flags) => {
  let services: ServiceBed;
  let bed: Testbed;
  let client: Container;
  let shop: ServiceObject;
  const sockets = way === 'at the socket';

  beforeAll(async () => {
    services = await ServiceBed.start(...flags);
    ({ bed } = services);
    for (const name of NAMES) await services.backend(name);
    client = bed.container('client', 'web');
    const backends = ['--backend', services.endpoint('a'), '--backend', `${services.endpoint('b')}=3`];
    shop = services.create(...backends);
  });
  afterAll(() => services?.stop());

  it('spreads connections over two backends by their weights', () => {
    const { names } = ask(client.ns, 'tcp', shop.vip as string, 80, CONNECTIONS);
    expect(names).toHaveLength(CONNECTIONS);
    const light = tally(names).get('a') ?? 0;
    // binomial at one quarter: five deviations either side
    expect(Math.abs(light - CONNECTIONS / 4)).toBeLessThan(153);
    const stats = services.shop().stats;
    const connections = { flows: sockets ? 0 : CONNECTIONS, sockets: sockets ? CONNECTIONS : 0 };
    expect(stats).toMatchObject({ picks: CONNECTIONS, ...connections });
  });

  it('spreads connections over ten backends by their weights, and counts them by backend', () => {
    bed.ok('service', 'rm', 'shop');
    shop = services.create(
      ...NAMES.flatMap((name, i) => ['--backend', `${services.endpoint(name)}=${i + 1}`]),
    );
    const counts = tally(ask(client.ns, 'tcp', shop.vip as string, 80, CONNECTIONS).names);
    let squares = 0;
    for (const [i, name] of NAMES.entries()) {
      const expected = (CONNECTIONS * (i + 1)) / 55;
      squares += ((counts.get(name) ?? 0) - expected) ** 2 / expected;
    }
    // chi-square with nine degrees of freedom: above once in ten million
    expect(squares).toBeLessThan(50);
    const { backends, stats } = services.shop();
    for (const name of NAMES) {
      const backend = backends.find(({ endpoint }) => endpoint === services.endpoint(name));
      expect(backend?.stats?.picks).toBe(counts.get(name));
    }
    if (!sockets) expect(stats?.packets).toBeGreaterThanOrEqual(CONNECTIONS * 8);
  });

  it('keeps a client at its backend, whichever way it comes', () => {
    bed.ok('service', 'rm', 'shop');
    shop = services.create('--affinity', '60', ...NAMES.flatMap((n) => ['--backend', services.endpoint(n)]));
    const kinds = ['tcp', 'udp', 'connected'] as const;
    const names = [shop.vip as string, shop.vip6 as string].flatMap((vip) =>
      kinds.flatMap((kind) => ask(client.ns, kind, vip, 80, 5).names),
    );
    expect(new Set(names).size).toBe(1);
    expect(new Set(ask(bed.ext1, 'tcp', HOST, 8000, 20).names).size).toBe(1);
  });
});
