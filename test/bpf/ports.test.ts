// SPDX-License-Identifier: Apache-2.0
/** Which source ports flows get: that nobody can guess them, and how many find none. */
import { afterEach, describe, expect, it } from 'vitest';
import { HOST, REDIRECT, TestDataplane } from '../support/dataplane.js';
import { build, parse } from '../support/frame.js';
import { Random } from '../support/random.js';

const GATEWAY_MAC = '02:00:00:00:00:01';
const SYN = 2;
const LOOPBACK = 1;
const CLIENTS = 16;
const SERVERS = 8;
const SERVER_SLOT = CLIENTS + 1;

let d: TestDataplane;
afterEach(() => d.close());

const addressOf = (slot: number): string => `10.64.0.${slot + 1}`;
const macOf = (slot: number): string => `02:42:0a:40:00:${(slot + 1).toString(16).padStart(2, '0')}`;

/** Clients in slots 1 to 16; a container behind them publishes 9090 to 9097, a server each. */
async function load(...args: Parameters<typeof TestDataplane.load>): Promise<void> {
  d = await TestDataplane.load(...args);
  d.fill();
  d.from('endpoint');
  const first = d.maps.endpoints.get(1);
  if (!first) throw new Error('no endpoint');
  for (let slot = 1; slot <= SERVER_SLOT; slot++) {
    const own = { sandbox: slot, addr4: addressOf(slot), mac: macOf(slot), member: slot, addr6: '::' };
    d.maps.endpoints.set(slot, { ...first, ...own });
    d.maps.ep_addr4.set(addressOf(slot), slot);
  }
  d.maps.publishes.set(3, {
    endpoint: SERVER_SLOT,
    generation: first.generation,
    addr4: addressOf(SERVER_SLOT),
    host_port: 9090,
    host_port_end: 9090 + SERVERS - 1,
    port: 90,
    protocol: 6,
    flags: 0,
    addr6: '::',
  });
  for (let server = 0; server < SERVERS; server++) d.maps.port_slots.set(9090 + server, 3);
}

/** The source port that the server sees; null where the client was told that there is none. */
async function open(slot: number, sport: number, server: number, host = HOST): Promise<number | null> {
  const device = d.maps.devices.get(LOOPBACK);
  if (!device) throw new Error('no device');
  if (device.id !== slot) d.maps.devices.set(LOOPBACK, { ...device, id: slot });
  const { verdict, data } = await d.run(
    'endpoint_ingress',
    build({
      ethSrc: macOf(slot),
      ethDst: GATEWAY_MAC,
      src: addressOf(slot),
      dst: host,
      protocol: 'tcp',
      sport,
      dport: 9090 + server,
      flags: SYN,
    }),
  );
  if (verdict !== REDIRECT) return null;
  const seen = parse(data);
  return seen.code === null ? seen.sport : null;
}

/** So many flows that clash: one client and port, one server, by as many addresses of the host. */
async function clashes(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let i = 0; i <= count; i++) {
    const host = `10.9.${i >> 8}.${i & 255}`;
    d.maps.host_addr4.set(host, LOOPBACK);
    const port = await open(1, 40000, 0, host);
    if (port === null) throw new Error(`no port for flow ${i}`);
    if (i > 0) ports.push(port);
  }
  return ports;
}

describe('a thousand ports that were picked', () => {
  it('follow no order, and are spread over the whole range', async () => {
    await load({}, 16_384);
    const ports = await clashes(1000);
    expect(new Set(ports).size).toBe(1000);
    let run = 1;
    let longest = 1;
    ports.slice(1).forEach((port, i) => {
      run = Math.abs(port - (ports[i] as number)) === 1 ? run + 1 : 1;
      longest = Math.max(longest, run);
    });
    expect(longest).toBeLessThanOrEqual(3);
    // sixteen parts of the range, 62.5 each: 99.9999 % of fair draws stay below 58 (15 degrees)
    const parts = Array(16).fill(0);
    for (const port of ports) parts[(port - 32768) >> 11]++;
    expect(parts.reduce((sum, n) => sum + (n - 62.5) ** 2 / 62.5, 0)).toBeLessThan(58);
  });

  it('are others after a reload', async () => {
    await load();
    const before = await clashes(8);
    d.close();
    await load();
    expect(await clashes(8)).not.toEqual(before);
  });
});

describe('sixteen clients of eight servers', () => {
  // what a widely used allocator promises: of 8 x 256 ports, how many flows may find none
  it.each([
    [0.5, 'under 15 flows', 14],
    [0.75, 'under 7 %', 107],
    [1, 'under 16 %', 327],
  ])('with %d of their ports asked for: %s find none', async (fill, _, most) => {
    await load({ snat_port_min: 50000, snat_port_max: 50255 }, 16_384);
    const random = new Random(4);
    const starts = Array.from({ length: CLIENTS * SERVERS }, () => random.int(0, 255));
    const total = 256 * SERVERS * fill;
    const taken = Array.from({ length: SERVERS }, () => new Set<number>());
    let failed = 0;
    for (let i = 0; i < total; i++) {
      const server = i % SERVERS;
      const pair = i % (CLIENTS * SERVERS);
      // another port for each flow of a pair, in the range of those that are picked
      const sport = 50000 + (((starts[pair] as number) + 37 * Math.floor(i / starts.length)) % 256);
      const port = await open(1 + Math.floor(pair / SERVERS), sport, server);
      if (port === null) failed++;
      else taken[server]?.add(port);
    }
    expect(failed).toBeLessThanOrEqual(most);
    expect(taken.reduce((sum, ports) => sum + ports.size, 0)).toBe(total - failed);
  });
});
