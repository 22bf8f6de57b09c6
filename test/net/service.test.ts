// SPDX-License-Identifier: Apache-2.0
/**
 * Services on real sockets, captured on both sides. The daemon is dead and the
 * service is in the maps as it would have left it.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MAPS_DIR } from '../../src/daemon/places.js';
import { type DataplaneMaps, pinnedMaps } from '../../src/maps/dataplane.js';
import { backend_state } from '../../src/maps/generated/enums.js';
import { bpfNative } from '../../src/native/bpf.js';
import { must, run } from '../support/process.js';
import { publishService, type TestBackend, writeService } from '../support/service.js';
import { type Container, EXT1, EXT1_6, HOST, HOST_6, Testbed } from '../support/testbed.js';

const VIPS = { 4: '10.99.0.200', 6: 'fd00:99::200' } as const;
const [TCP, UDP] = [6, 17];
type Family = keyof typeof VIPS;

let bed: Testbed;
let maps: DataplaneMaps;
let close: () => void;
let client: Container;
let servers: [Container, Container];
let net: number;

const addressOf = (c: Container, family: Family): string => (family === 4 ? c.ip : c.ip6);
const url = (address: string, port: number, path = ''): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}/${path}`;

function backend(of: Container, how: Partial<TestBackend> = {}): TestBackend {
  const slot = maps.ep_addr4.get(of.ip) as number;
  const { generation } = maps.endpoints.get(slot) ?? { generation: 0 };
  return { id: slot + 100, endpoint: slot, generation, ...how };
}

const serve = (...backends: TestBackend[]): void =>
  writeService(maps, {
    number: 1,
    net,
    vips: [VIPS[4], VIPS[6]],
    ports: [
      { port: 80, protocol: TCP, to: 8080 },
      { port: 53, protocol: UDP, to: 5353 },
      { port: 99, protocol: UDP, to: 9 },
    ],
    backends,
  });

beforeAll(async () => {
  bed = await Testbed.start({ daemonFlags: () => ['--no-socket-services'] });
  bed.ok('network', 'create', 'shop', '--subnet', '10.99.0.0/24', '--subnet', 'fd00:99::/64', '--ipv6');
  client = bed.container('client', 'shop');
  servers = [bed.container('one', 'shop'), bed.container('two', 'shop')];
  for (const { ns } of servers)
    for (const family of [4, 6] as const) {
      await bed.web(ns, 8080, family);
      await bed.udpEcho(ns, 5353, family);
    }
  await bed.killDaemon();
  const pinned = pinnedMaps(bpfNative(), join(bed.bpffs, MAPS_DIR));
  close = pinned.close;
  maps = pinned.maps as DataplaneMaps;
  net = maps.endpoints.get(maps.ep_addr4.get(client.ip) as number)?.net ?? 0;
  publishService(maps, 77, 9000, { vip: VIPS[4], vip6: VIPS[6], port: 80, protocol: TCP });
  publishService(maps, 78, 9053, { vip: VIPS[4], vip6: VIPS[6], port: 53, protocol: UDP });
});
afterAll(async () => {
  close();
  await bed.stop();
});

beforeEach(() => serve(backend(servers[0]), backend(servers[1])));

/** A datagram to a socket that is told of errors: what came back, or the error. */
function connected(ns: string, address: string, port: number): string {
  const program = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"hello")
try:
    print(s.recv(100).decode(), end="")
except OSError as e:
    print(type(e).__name__, end="")
`;
  return run(ns, ['/usr/bin/python3', '-c', program, address, String(port)]).out;
}

describe.each([4, 6] as const)('IPv%i', (family) => {
  const vip = VIPS[family];
  const bracketed = (address: string): string => (family === 6 ? `[${address}]` : address);

  it('reaches the backends over TCP, which see the client, whole on both sides', async () => {
    const all = [client, ...servers];
    for (const { ns } of all) bed.offloadsOff(ns, 'eth0');
    const filter = family === 4 ? 'ip and tcp' : 'ip6 and tcp';
    const [outside, ...inside] = await Promise.all(all.map(({ ns }) => bed.capture(ns, 'eth0', filter)));
    for (let i = 0; i < 20; i++)
      expect(bed.curl(client.ns, url(vip, 80)).out).toBe(addressOf(client, family));
    const seen = (await outside?.packets()) ?? [];
    const served = await Promise.all(inside.map((capture) => capture.packets()));
    expect([...seen, ...served.flat()].every((p) => p.sumsOk)).toBe(true);
    expect(seen.every((p) => [p.src, p.dst].includes(vip))).toBe(true);
    served.forEach((packets, i) => {
      const own = addressOf(servers[i] as Container, family);
      const from = packets.filter((p) => p.src === addressOf(client, family));
      // of twenty, each gets one but for once in half a million
      expect(from.length).toBeGreaterThan(4);
      expect(from.every((p) => p.dst === own && p.dport === 8080)).toBe(true);
      expect(packets.some((p) => p.src === own && p.dst === addressOf(client, family))).toBe(true);
    });
    expect(served.flat().length).toBe(seen.length);
    for (const { ns } of all)
      must(ns, ['ethtool', '-K', 'eth0', 'tx', 'on', 'rx', 'on', 'tso', 'on', 'gso', 'on', 'gro', 'on']);
  });

  it('carries megabytes', () => {
    const size = 32 << 20;
    const how = ['-o', '/dev/null', '-w', '%{size_download}'];
    expect(bed.curl(client.ns, url(vip, 80, String(size)), ...how).out).toBe(String(size));
  });

  it('carries datagrams, also in fragments', () => {
    const asks = (text: string): string => bed.udp(client.ns, vip, 53, { sport: 4444, text });
    const name = `${bracketed(addressOf(client, family))}:4444`;
    expect(asks('hello')).toBe(`${name} hello`);
    const long = 'x'.repeat(5_000);
    expect(asks(long)).toBe(`${name} ${long}`);
  });

  it('has the bridge’s MAC, and answers echo requests of any size', () => {
    for (const size of ['56', '4000'])
      expect(must(client.ns, ['ping', '-c', '2', '-i', '0.2', '-W', '2', '-s', size, vip])).toMatch(
        / 0% packet loss/,
      );
    const [{ lladdr }] = JSON.parse(must(client.ns, ['ip', '-j', 'neigh', 'show', vip])) as [
      { lladdr: string },
    ];
    const slot = maps.ep_addr4.get(client.ip) as number;
    expect(lladdr).toBe(maps.endpoints.get(slot)?.gateway_mac);
  });

  it('is reached by a container that is its own backend', () => {
    serve(backend(servers[0]));
    expect(bed.curl(servers[0].ns, url(vip, 80)).out).toBe(vip);
    expect(bed.udp(servers[0].ns, vip, 53, { text: 'self' })).toMatch(/ self$/);
  });

  it('refuses at once where nobody is', () => {
    expect(bed.curl(client.ns, url(vip, 81)).code).toBe(7);
    expect(connected(client.ns, vip, 54)).toBe('ConnectionRefusedError');
    serve();
    expect(bed.curl(client.ns, url(vip, 80)).code).toBe(7);
    expect(connected(client.ns, vip, 53)).toBe('ConnectionRefusedError');
  });

  it('hands on what a backend says of a port at which it does not listen', () => {
    expect(connected(client.ns, vip, 99)).toBe('ConnectionRefusedError');
  });

  it('ends a download whose backend is taken out, and not one whose backend drains', async () => {
    const [one, two] = servers;
    serve(backend(one));
    const options = ['-o', '/dev/null', '-m', '30', '-w', '%{size_download}'];
    const start = (megabytes: number, rate: string) => {
      const path = String(megabytes << 20);
      return bed.background(client.ns, ['curl', '-s', ...options, '--limit-rate', rate, url(vip, 80, path)]);
    };
    const flows = (): bigint => maps.backend_load.get(backend(one).id)?.flows ?? 0n;
    const opened = async (since: bigint): Promise<void> => {
      await expect.poll(flows, { timeout: 20_000 }).toBeGreaterThan(since);
    };

    let before = flows();
    const drained = start(8, '2M');
    await opened(before);
    serve(backend(one, { state: backend_state.BACKEND_DRAINING }), backend(two));
    expect(await drained.end()).toBe(0);

    serve(backend(one));
    before = flows();
    // more than the client's socket may have room for: what has come is read to its end
    const cut = start(512, '20M');
    await opened(before);
    serve(backend(one, { state: backend_state.BACKEND_NONE }), backend(two));
    // 56: reset by the peer; 18: the transfer ended early
    expect([18, 56]).toContain(await cut.end());
    expect(bed.curl(client.ns, url(vip, 80)).out).toBe(addressOf(client, family));
  });

  it('is published to the world and to containers, all of whom the backends see', () => {
    const host = family === 4 ? HOST : HOST_6;
    const world = family === 4 ? EXT1 : EXT1_6;
    expect(bed.curl(bed.ext1, url(host, 9000)).out).toBe(world);
    expect(bed.udp(bed.ext1, host, 9053, { sport: 4445 })).toBe(`${bracketed(world)}:4445 hello`);
    expect(bed.curl(client.ns, url(host, 9000)).out).toBe(addressOf(client, family));
    serve();
    expect(bed.curl(bed.ext1, url(host, 9000)).code).toBe(7);
    expect(connected(bed.ext1, host, 9053)).toBe('ConnectionRefusedError');
  });
});
