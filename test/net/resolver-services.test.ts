// SPDX-License-Identifier: Apache-2.0
/** Services' names over real sockets in a namespace, answered by a resolver without a daemon: its model is the test's. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { silentLog } from '../../src/base/log.js';
import type { NamedSandbox } from '../../src/cnm/naming.js';
import type { ChangeEvent, Service } from '../../src/cnm/types.js';
import { HostResolvers } from '../../src/dns/host-resolvers.js';
import { Resolver } from '../../src/dns/resolver.js';
import type { Ports } from '../../src/dns/stand.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';
import { Background, must, run, until } from '../support/process.js';
import { backends, endpoint, service } from '../unit/dns/support.js';

const COUNT = 200;
const ns = `names-${randomBytes(3).toString('hex')}`;
const path = `/run/netns/${ns}`;
const boxes = Array.from({ length: COUNT }, (_, i) => `b${i}`);
const sandbox: NamedSandbox = {
  id: 'b0',
  netns: path,
  host: false,
  remote: false,
  dns: [],
  dnsSearch: [],
  networks: [{ id: 'web', name: 'web', subnets: ['10.64.0.0/16'] }],
  leadsOut: false,
};
const endpoints = boxes.map((box, i) =>
  endpoint({ box, ipv4: `10.64.1.${i}`, sandbox: { id: box, name: box } }),
);

/** What the socket hooks would see. */
const map = new Map<bigint, Ports>();
const beats: boolean[] = [];
let services: Service[] = [service({ backends: backends(...boxes) })];
let here: NamedSandbox | null = sandbox;
let tell: (e: ChangeEvent) => void = () => undefined;
let resolver: Resolver;

const changed = (type: ChangeEvent['type'], id: string): void =>
  tell({ time: 0, type, action: 'update', id, name: id, attributes: {} });

beforeAll(async () => {
  resolver = new Resolver({
    model: {
      naming: {
        endpoint: (id) => endpoints.find((one) => one.id === id) ?? null,
        endpoints: () => endpoints,
        sandbox: (id) => (here?.id === id ? here : null),
        sandboxes: () => (here === null ? [] : [here]),
        services: () => services,
        service: () => services[0] ?? null,
      },
      onChange: (listener) => {
        tell = listener;
        return () => undefined;
      },
    },
    namespaces: new Netns(netNative()),
    map: {
      get: (cookie) => map.get(cookie),
      set: (cookie, ports) => void map.set(cookie, ports),
      delete: (cookie) => map.delete(cookie),
      entries: async function* () {
        yield* map;
      },
    },
    beat: (answers) => void beats.push(answers),
    mark: 1,
    host: new HostResolvers('/nonexistent', systemClock()),
    nickname: () => null,
    clock: systemClock(),
    log: silentLog(),
  });
  map.set(99n, { udp: 1, tcp: 1 });
  // the namespace comes late
  await resolver.start();
  expect([resolver.counts(), [...map]]).toEqual([{ open: 0, waiting: 1, pending: 0 }, []]);
  must(null, ['ip', 'netns', 'add', ns]);
  must(ns, ['ip', 'link', 'set', 'lo', 'up']);
  await until(() => map.size === 1, 'the resolver is open');
});
afterAll(() => {
  resolver.stop();
  run(null, ['ip', 'netns', 'del', ns]);
});

const ports = (): Ports => [...map.values()][0] as Ports;

/** dig beside the resolver, which answers in this process. */
async function dig(port: number, ...args: string[]): Promise<string> {
  const command = ['dig', '+tries=1', '+time=5', '-p', String(port), '@127.0.0.11', ...args];
  const process = new Background(ns, command);
  await once(process.child, 'close');
  return process.out;
}
const addresses = (out: string): string[] =>
  [...out.matchAll(/\sA\s+(10\.\S+)$/gm)].map((m) => m[1] as string);

it('answers with a virtual IP, and with two hundred backends by TCP', async () => {
  expect(addresses(await dig(ports().udp, 'front'))).toEqual(['10.64.0.100']);
  const cut = await dig(ports().udp, '+ignore', '+noedns', 'tasks.front');
  expect(cut).toMatch(/flags: [a-z ]*\btc\b/);
  expect(addresses(cut).length).toBeGreaterThan(20);
  const all = addresses(await dig(ports().tcp, '+tcp', 'tasks.front.web'));
  expect(new Set(all)).toEqual(new Set(endpoints.map(({ ipv4 }) => ipv4)));
  const next = addresses(await dig(ports().tcp, '+tcp', 'tasks.front.web'));
  expect(next[0]).toBe(all[1]);
  expect(addresses(await dig(ports().udp, '+bufsize=4096', '+ignore', 'tasks.front'))).toHaveLength(COUNT);
});

it('answers many questions of one connection', async () => {
  const out = await dig(ports().tcp, '+tcp', '+keepopen', ...Array(40).fill('front'));
  expect(addresses(out)).toHaveLength(40);
});

it('follows a service, and says that it lives', async () => {
  services = [service({ vip: null, mode: 'dnsrr', backends: backends('b7') })];
  changed('service', 'service');
  expect(addresses(await dig(ports().udp, 'front'))).toEqual(['10.64.1.7']);
  expect(await dig(ports().udp, 'front.example')).toMatch(/NXDOMAIN/);
  const before = beats.length;
  await until(() => beats.length > before, 'another beat');
  expect([beats[0], beats.at(-1)]).toEqual([false, true]);
});

it('answers ten thousand questions, many at a time', async () => {
  const script = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('127.0.0.11', int(sys.argv[1])))
s.settimeout(5)
q = bytes.fromhex('000001000001000000000000') + b'\\x02b7\\x03web\\0\\0\\x01\\0\\x01'
begun = time.monotonic()
for _ in range(32):
    s.send(q)
for left in range(10_000, 0, -1):
    answer = s.recv(512)
    assert answer[2] & 0x8f == 0x85 and answer[7] == 1, answer
    if left > 32:
        s.send(q)
print(10_000 / (time.monotonic() - begun))
`;
  const client = new Background(ns, ['/usr/bin/python3', '-c', script, String(ports().udp)]);
  await once(client.child, 'close');
  expect(client.err).toBe('');
  // said, not judged: how fast is the machine's business
  console.info(`${Math.round(Number(client.out))} questions a second`);
});

it('comes back on the same ports, so that sockets keep their peer', async () => {
  const before = ports();
  const [cookie] = map.keys();
  here = null;
  changed('sandbox', sandbox.id);
  expect(map.size).toBe(0);
  expect(await dig(before.udp, 'front')).toMatch(/refused|no servers/);
  map.set(cookie as bigint, before);
  here = sandbox;
  changed('sandbox', sandbox.id);
  await until(() => resolver.counts().open === 1, 'it is open again');
  expect(ports()).toEqual(before);
});
