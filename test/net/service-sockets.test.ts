// SPDX-License-Identifier: Apache-2.0
/** Services at the socket: what programs of sandboxes and of the host reach and see, and what goes over the wire. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { silentLog } from '../../src/base/log.js';
import { destroySockets } from '../../src/link/socket-destroy.js';
import { socket_event } from '../../src/maps/generated/enums.js';
import { netNative } from '../../src/native/net.js';
import { DeadSockets } from '../../src/reconcile/dead-sockets.js';
import { Tables } from '../../src/reconcile/tables.js';
import { type Background, must, sleep, until } from '../support/process.js';
import { ask, HandmadeServices, type Made, SERVICES, unanswered } from '../support/services.js';
import { type Container, HOST, Testbed } from '../support/testbed.js';

const VIP = '10.64.0.200';
const VIP6 = 'fd00:64::200';
const SUBNET6 = 'fd00:64::/64';
const PLUGIN = 'plugin.sock';
const GATEWAY = '10.64.0.1';
const GATEWAY6 = 'fd00:64::1';

let bed: Testbed;
let services: HandmadeServices;
let a: Container;
let b: Container;
let client: Container;
let stranger: Container;
let web: Made;

beforeAll(async () => {
  bed = await Testbed.start({
    daemonFlags: (directory) => ['--pass-interval', '1h', '--docker-plugin', join(directory, PLUGIN)],
  });
  bed.ok('network', 'create', 'web', '--subnet', '10.64.0.0/24', '--subnet', SUBNET6);
  bed.ok('network', 'create', 'other', '--ipv6');
  a = bed.container('a', 'web');
  b = bed.container('b', 'web');
  client = bed.container('client', 'web');
  stranger = bed.container('stranger', 'other');
  services = new HandmadeServices(bed);
  for (const [name, { ns }] of Object.entries({ a, b }))
    for (const port of ['80', '53'])
      await bed.background(ns, ['/usr/bin/python3', SERVICES, 'serve', name, port]).says(/ready/);
});
afterAll(async () => {
  services?.close();
  await bed?.stop();
});

/** What tells a daemon that backends are gone is a service's row; these services have none. */
function deadSockets(): DeadSockets {
  const tables = new Tables();
  const slot = services.slot(client.ip);
  tables.replace({ kind: 'endpoint', id: 'client' }, [
    { kind: 'socket-member', netns: `/run/netns/${client.ns}`, net: 1, slot },
  ]);
  return new DeadSockets({
    maps: services.maps,
    tables,
    move: async () => ({ moved: new Set(), refused: new Set() }),
    destroy: (netns, ...which) => destroySockets(netNative(), netns ?? `/run/netns/${bed.host}`, ...which),
    clock: systemClock(),
    log: silentLog(),
  });
}

async function hold(
  ns: string,
  kind: 'tcp' | 'connected',
  address: string,
  port: number,
): Promise<Background> {
  const held = bed.background(ns, ['/usr/bin/python3', SERVICES, 'hold', kind, address, String(port)]);
  await held.says(/name/);
  return held;
}

beforeEach(() => {
  web = {
    number: 1,
    network: a.ip,
    vip4: VIP,
    vip6: VIP6,
    ports: [
      [8080, 80, 'tcp'],
      [5353, 53, 'udp'],
    ],
    backends: { 11: a.ip, 12: b.ip },
  };
  services.put(web);
});

const FAMILIES: [string, string, () => string, string][] = [
  ['IPv4', VIP, () => client.ip, GATEWAY],
  ['IPv6', VIP6, () => client.ip6, GATEWAY6],
  ['IPv4 of an IPv6 socket', `::ffff:${VIP}`, () => client.ip, GATEWAY],
];
const KINDS = [
  ['tcp', 8080],
  ['udp', 5353],
  ['connected', 5353],
] as const;

describe.each(FAMILIES)('over %s', (_, vip, own, gateway) => {
  it.each(KINDS)('%s of a sandbox reaches a backend, and believes in what it named', (kind, port) => {
    const said = ask(client.ns, kind, vip, port);
    expect(said).toEqual({
      names: [expect.stringMatching(/^[ab]$/)],
      clients: [own()],
      peers: [`${vip} ${port}`],
    });
  });

  it.each(KINDS)('%s of the host does', (kind, port) => {
    const said = ask(bed.host, kind, vip, port);
    expect(said).toEqual({
      names: [expect.stringMatching(/^[ab]$/)],
      clients: [gateway],
      peers: [`${vip} ${port}`],
    });
  });

  it.each([
    ['tcp', 8080],
    ['connected', 5353],
  ] as const)('%s reaches all backends in time, and datagrams of one socket only one', (kind, port) => {
    expect(new Set(ask(client.ns, kind, vip, port, 40).names)).toEqual(new Set(['a', 'b']));
    expect(new Set(ask(client.ns, 'udp', vip, 5353, 20).names).size).toBe(1);
  });

  it('refuses a port that the VIP does not have, and one without a backend', () => {
    const [empty = 0, port = 0] = services.refused(1);
    const events = services.event(socket_event.SOCKET_REFUSED);
    for (const ns of [client.ns, bed.host]) {
      expect(ask(ns, 'tcp', vip, 8081).error).toBe('ECONNREFUSED');
      expect(ask(ns, 'connected', vip, 8080).error).toBe('ECONNREFUSED');
      expect(ask(ns, 'udp', vip, 9).error).toBe('ECONNREFUSED');
    }
    services.put({ ...web, backends: {} });
    for (const ns of [client.ns, bed.host])
      for (const [kind, p] of KINDS) expect(ask(ns, kind, vip, p).error).toBe('ECONNREFUSED');
    expect(services.refused(1)).toEqual([empty + 6, port + 6, 0]);
    // a connected UDP socket of a sandbox is refused by what answers its packet; but the kernel hands
    // what an IPv6 one sends to a mapped address to IPv4 with the address, as if it named it each time
    expect(services.event(socket_event.SOCKET_REFUSED)).toBe(events + (vip.startsWith('::ffff:') ? 12 : 10));
  });

  it("lets a sandbox's UDP socket connect to a port that nobody serves, as ping does before it begins", () => {
    const family = vip.includes(':') ? 'AF_INET6' : 'AF_INET';
    const connect = `import socket; socket.socket(socket.${family}, socket.SOCK_DGRAM).connect(('${vip}', 1025))`;
    must(client.ns, ['python3', '-c', connect]);
    expect(must(client.ns, ['ping', '-c', '1', '-W', '10', vip.replace('::ffff:', '')])).toContain(
      ' 0% packet loss',
    );
  });

  it('keeps a client at its backend where the service says so', () => {
    services.put({ ...web, number: 2, backends: { 21: a.ip, 22: b.ip }, affinity: 60 });
    for (const ns of [client.ns, bed.host]) {
      const names = KINDS.flatMap(([kind, port]) => ask(ns, kind, vip, port, 8).names);
      expect(new Set(names).size).toBe(1);
    }
  });

  it.each(KINDS)('%s puts no VIP on the wire, at neither end', async (kind, port) => {
    const filter = 'tcp or udp';
    services.put({ ...web, backends: { 11: a.ip } });
    const captures = [await bed.capture(client.ns, 'eth0', filter), await bed.capture(a.ns, 'eth0', filter)];
    expect(ask(client.ns, kind, vip, port).names).toEqual(['a']);
    const backend = vip === VIP6 ? a.ip6 : a.ip;
    for (const capture of captures) {
      const packets = await capture.packets();
      expect(packets.length).toBeGreaterThan(1);
      expect(new Set(packets.flatMap(({ src, dst }) => [src, dst]))).toEqual(new Set([own(), backend]));
      for (const { src, sport, dport } of packets)
        expect(src === backend ? sport : dport).toBe(port === 8080 ? 80 : 53);
    }
  });

  it('shows the address of a container to who names that', () => {
    const direct = vip === VIP ? a.ip : vip === VIP6 ? a.ip6 : `::ffff:${a.ip}`;
    services.put({ ...web, backends: { 11: a.ip } });
    const args = ['reconnect', vip, '5353', direct, '53', vip, '5353'];
    expect(JSON.parse(must(client.ns, ['/usr/bin/python3', SERVICES, ...args]))).toEqual({
      peers: [`${vip} 5353`, `${direct} 53`, `${vip} 5353`],
    });
  });

  it.each([
    ['tcp', 8080, 80],
    ['connected', 5353, 53],
  ] as const)('ends %s sockets when their backend goes, and no others', async (kind, port, to) => {
    const dead = deadSockets();
    const direct = vip === VIP ? a.ip : vip === VIP6 ? a.ip6 : `::ffff:${a.ip}`;
    services.put({ ...web, backends: { 11: a.ip } });
    const doomed = [await hold(client.ns, kind, vip, port), await hold(bed.host, kind, vip, port)];
    const others = [await hold(client.ns, kind, direct, to)];
    const draining = { ...web, backends: { 11: { draining: a.ip }, 12: b.ip } };
    services.put(draining);
    others.push(await hold(client.ns, kind, vip, port));
    dead.backendsGone();
    await sleep(300);
    for (const held of [...doomed, ...others]) expect(held.ended).toBe(false);
    services.kill(draining, 11);
    dead.backendsGone();
    for (const held of doomed) {
      await held.end();
      expect(held.out).toBe('{"name": "a"}\n{"error": "ECONNABORTED"}\n');
    }
    await sleep(1_300);
    await dead.stop();
    for (const held of others) {
      expect(held.ended).toBe(false);
      await held.stop('SIGKILL');
    }
    for await (const [, { backend }] of services.maps.socket_peers4.entries()) expect(backend).not.toBe(11);
    for await (const [, { backend }] of services.maps.socket_peers6.entries()) expect(backend).not.toBe(11);
  });
});

it('a daemon that starts ends the sockets of backends that went without it', async () => {
  services.put({ ...web, number: 7, backends: { 71: a.ip } });
  const held = [await hold(client.ns, 'tcp', VIP, 8080), await hold(bed.host, 'tcp', VIP6, 8080)];
  await bed.killDaemon();
  services.kill({ ...web, number: 7, backends: { 71: a.ip } }, 71);
  await bed.startDaemon();
  for (const socket of held) {
    await socket.end();
    expect(socket.out).toContain('ECONNABORTED');
  }
});

/** How often a hook has put a container's address in place of what was named. */
const translated = (): number =>
  services.event(socket_event.SOCKET_CONNECT) + services.event(socket_event.SOCKET_SENDMSG);

describe('a sandbox', () => {
  it('that is not on the network is not served, nor is anybody else', () => {
    must(bed.ext1, ['ip', 'route', 'add', '10.64.0.0/24', 'via', HOST]);
    const before = translated();
    for (const ns of [stranger.ns, bed.ext1]) {
      expect(unanswered(ns, 'tcp', VIP, 8080)).toBe('timeout');
      expect(unanswered(ns, 'udp', VIP, 5353)).toBe('timeout');
    }
    expect(translated()).toBe(before);
  });

  it('reaches itself where it is the backend', () => {
    expect(new Set(ask(a.ns, 'tcp', VIP, 8080, 20).names)).toEqual(new Set(['a', 'b']));
  });

  it('is served from the moment that it joins until it leaves, by the next daemon too', async () => {
    const { ns, ip } = bed.container('late', 'other');
    const served = (): void => {
      const before = translated();
      expect(ask(ns, 'tcp', VIP, 8080).peers).toEqual([`${VIP} 8080`]);
      expect(translated()).toBe(before + 1);
    };
    const notServed = (): void => {
      const before = translated();
      expect(unanswered(ns, 'tcp', VIP, 8080)).toBeDefined();
      expect(translated()).toBe(before);
    };
    const own = services.slot(ip);
    notServed();
    bed.ok('connect', 'web', ns);
    const [{ ipv4 }] = JSON.parse(bed.ok('endpoint', 'inspect', `web.${ns}`)) as [{ ipv4: string }];
    const slot = services.slot(ipv4);
    served();
    await bed.killDaemon();
    served();
    await bed.startDaemon();
    services.put(web);
    served();
    expect(await services.members()).toContain(slot);
    bed.ok('disconnect', 'web', ns);
    notServed();
    expect(await services.members()).not.toContain(slot);
    bed.ok('disconnect', 'other', ns);
    expect(await services.members()).not.toContain(own);
    bed.ok('sandbox', 'rm', ns);
  });

  it('of another engine is served once its namespace has a path, which may be after it has joined', async () => {
    const plugin = (method: string, body: object): { InterfaceName?: { SrcName: string } } =>
      JSON.parse(
        must(null, [
          ...['curl', '-s', '--unix-socket', join(bed.directory, PLUGIN)],
          ...['-d', JSON.stringify(body), `http://plugin/NetworkDriver.${method}`],
        ]),
      );
    const [NetworkID, EndpointID] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
    const of = { NetworkID, EndpointID };
    const name = bed.box('engine');
    plugin('CreateNetwork', { NetworkID, IPv4Data: [{ Pool: '10.65.0.0/24', Gateway: '10.65.0.1/24' }] });
    plugin('CreateEndpoint', { ...of, Interface: { Address: '10.65.0.2/24' } });
    const joined = plugin('Join', { ...of, SandboxKey: `/run/netns/${name}` });
    const slot = services.slot('10.65.0.2');
    const vip4 = '10.65.0.200';
    services.put({
      ...web,
      number: 8,
      network: '10.65.0.2',
      vip4,
      vip6: null,
      backends: { 81: '10.65.0.2' },
    });
    await sleep(500);
    expect(await services.members()).not.toContain(slot);
    bed.namespace(name);
    const link = joined.InterfaceName?.SrcName ?? '';
    must(bed.host, ['ip', 'link', 'set', link, 'netns', name, 'name', 'eth0']);
    must(name, ['ip', 'addr', 'add', '10.65.0.2/24', 'dev', 'eth0']);
    must(name, ['ip', 'link', 'set', 'eth0', 'up']);
    await until(async () => (await services.members()).includes(slot), 'the sandbox is known');
    await bed.background(name, ['/usr/bin/python3', SERVICES, 'serve', 'self', '80']).says(/ready/);
    const before = translated();
    expect(ask(name, 'tcp', vip4, 8080)).toMatchObject({ names: ['self'], peers: [`${vip4} 8080`] });
    expect(translated()).toBe(before + 1);
    for (const method of ['Leave', 'DeleteEndpoint']) plugin(method, of);
    expect(await services.members()).not.toContain(slot);
    plugin('DeleteNetwork', { NetworkID });
  });

  it('that --allow does not list is left to its packets; the host is not asked', () => {
    services.put({
      ...web,
      number: 3,
      backends: { 31: a.ip },
      allow: [`${client.ip}/32`, `${client.ip6}/128`],
    });
    expect(ask(client.ns, 'tcp', VIP, 8080).names).toEqual(['a']);
    expect(ask(client.ns, 'connected', VIP6, 5353).names).toEqual(['a']);
    expect(ask(bed.host, 'tcp', VIP, 8080).names).toEqual(['a']);
    const before = translated();
    expect(unanswered(b.ns, 'tcp', VIP, 8080)).toBe('timeout');
    expect(unanswered(b.ns, 'tcp', VIP6, 8080)).toBe('timeout');
    expect(translated()).toBe(before);
  });
});

describe('the choice', () => {
  it('is by weight, for maglev as well, and counted', () => {
    for (const maglev of [false, true]) {
      const number = maglev ? 5 : 4;
      const [light, heavy] = [number * 10 + 1, number * 10 + 2];
      services.put({
        ...web,
        number,
        backends: { [light]: a.ip, [heavy]: b.ip },
        weights: { [heavy]: 9 },
        maglev,
      });
      const names = ask(client.ns, 'connected', VIP, 5353, 400).names;
      const lightly = names.filter((name) => name === 'a').length;
      // binomial of 400 at one tenth: five deviations either side
      expect(lightly).toBeGreaterThan(10);
      expect(lightly).toBeLessThan(70);
      expect(services.load(light)).toEqual({ picks: lightly, sockets: lightly });
      expect(services.load(heavy)).toEqual({ picks: 400 - lightly, sockets: 400 - lightly });
    }
  });

  it('of a socket that names the VIP with each datagram holds while its backend lives, draining or not', async () => {
    const only = (of: Made['backends']): void => services.put({ ...web, number: 6, backends: of });
    only({ 61: a.ip });
    const talk = bed.background(client.ns, ['/usr/bin/python3', SERVICES, 'converse', VIP, '5353']);
    let said = 0;
    const next = async (): Promise<string> => {
      talk.child.stdin?.write('\n');
      said++;
      await until(() => talk.out.split('\n').length > said, 'it has an answer');
      return talk.out.split('\n')[said - 1] as string;
    };
    expect(await next()).toBe('a');
    only({ 61: a.ip, 62: b.ip });
    for (let i = 0; i < 8; i++) expect(await next()).toBe('a');
    only({ 61: { draining: a.ip }, 62: b.ip });
    expect(await next()).toBe('a');
    services.kill({ ...web, number: 6, backends: { 61: { draining: a.ip }, 62: b.ip } }, 61);
    expect(await next()).toBe('b');
    services.kill({ ...web, number: 6, backends: { 62: b.ip } }, 62);
    expect(await next()).toBe('ECONNREFUSED');
    only({ 63: a.ip });
    expect(await next()).toBe('a');
    await talk.stop('SIGKILL');
  });
});

describe('a published port of a service', () => {
  it('leads sockets of the host to its backends', () => {
    services.publish({ id: 900, hostPort: 7777, port: 8080, vip4: VIP, vip6: VIP6 });
    for (const address of ['127.0.0.1', HOST, '::1', `::ffff:${HOST}`, '10.64.0.1']) {
      const said = ask(bed.host, 'tcp', address, 7777, 20);
      expect(new Set(said.names)).toEqual(new Set(['a', 'b']));
      expect(said.peers).toEqual([`${address} 7777`]);
    }
    expect(ask(bed.host, 'tcp', VIP, 8080).peers).toEqual([`${VIP} 8080`]);
    services.put({ ...web, backends: {} });
    expect(ask(bed.host, 'tcp', '127.0.0.1', 7777).error).toBe('ECONNREFUSED');
    services.unpublish(900, 7777);
  });
});
