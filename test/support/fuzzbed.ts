// SPDX-License-Identifier: Apache-2.0
/**
 * The programs with filled maps, test-run in a namespace that has the devices
 * and routes of a host: two containers on one network, an uplink with a default
 * route, all of it in both families. Nothing is attached, so no packet but those of the test is counted.
 */
import { randomBytes } from 'node:crypto';
import type { Program } from '../../src/loader/programs.js';
import { device_kind, port_table } from '../../src/maps/generated/enums.js';
import {
  type Craft,
  ECHO,
  ETHERTYPE,
  EXTENSION,
  type Extension,
  type Family,
  fragments,
  frame,
  type Protocol,
  packet,
} from './craft.js';
import {
  CLIENT,
  CLIENT6,
  CONTAINER,
  CONTAINER_MAC,
  CONTAINER6,
  GATEWAY,
  GATEWAY_MAC,
  GATEWAY6,
  HOST,
  HOST6,
  type Name,
  TestDataplane,
} from './dataplane.js';
import { untilReady, withoutDad } from './links.js';
import { json, must, run } from './process.js';
import type { Random } from './random.js';
import { TestRuns } from './testrun.js';

export const PROGRAMS = [
  'endpoint_ingress',
  'bridge_egress',
  'uplink_ingress',
  'uplink_egress',
  'uplink_xdp',
] as const satisfies readonly Name[];
export type FuzzedProgram = (typeof PROGRAMS)[number];

export const PEER = '10.64.0.3';
export const PEER_MAC = '02:42:0a:40:00:03';
export const UPLINK_MAC = '02:00:00:00:00:aa';
export const ROUTER_MAC = '02:00:00:00:00:bb';
export const PEER6 = 'fd00:64::3';
/** config.mark, which our own packets have; with 1 added those that are in order. */
export const MARK = 0x51c00000;
/** BPF_F_IPV6, which the kernels that these tests run on know. */
const CSUM_IPV6 = 0x80;
interface Places {
  container: string;
  peer: string;
  gateway: string;
  host: string;
  clients: readonly string[];
  elsewhere: string;
}
export const PLACES: Record<Family, Places> = {
  4: {
    container: CONTAINER,
    peer: PEER,
    gateway: GATEWAY,
    host: HOST,
    clients: [CLIENT, '198.51.100.8', '192.0.2.77'],
    elsewhere: '203.0.113.9',
  },
  6: {
    container: CONTAINER6,
    peer: PEER6,
    gateway: GATEWAY6,
    host: HOST6,
    clients: [CLIENT6, '2001:db8:ffff::8', '2001:db8::77'],
    elsewhere: '2001:db8:dead::9',
  },
};
const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
const FLAGS = [SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK];

export class FuzzBed {
  readonly dataplane: TestDataplane;
  readonly runs: TestRuns;
  readonly #netns: string;
  readonly #ifindex: Record<string, number>;

  private constructor(
    dataplane: TestDataplane,
    programs: readonly Program[],
    netns: string,
    ifindex: Record<string, number>,
  ) {
    this.dataplane = dataplane;
    this.#netns = netns;
    this.#ifindex = ifindex;
    this.runs = new TestRuns(netns, programs);
  }

  static async start(kern_ctx = 1): Promise<FuzzBed> {
    const netns = `fuzz-${randomBytes(3).toString('hex')}`;
    must(null, ['ip', 'netns', 'add', netns]);
    let dataplane: TestDataplane | undefined;
    try {
      const ifindex = devices(netns);
      dataplane = await TestDataplane.load({ kern_ctx, csum_ipv6: CSUM_IPV6 });
      fill(dataplane, ifindex);
      const programs: Program[] = [];
      for (const name of PROGRAMS) programs.push(await dataplane.program(name));
      return new FuzzBed(dataplane, programs, netns, ifindex);
    } catch (e) {
      dataplane?.close();
      run(null, ['ip', 'netns', 'del', netns]);
      throw e;
    }
  }

  /** The device that a program's packets come by; 0 for XDP, which takes none. */
  ifindex(program: FuzzedProgram, endpoint: 'ep1' | 'ep2' = 'ep1'): number {
    if (program === 'uplink_xdp') return 0;
    const name = {
      endpoint_ingress: endpoint,
      bridge_egress: 'br0',
      uplink_ingress: 'up0',
      uplink_egress: 'up0',
    };
    return this.#ifindex[name[program]] as number;
  }

  async close(): Promise<void> {
    await this.runs.close();
    this.dataplane.close();
    run(null, ['ip', 'netns', 'del', this.#netns]);
  }
}

function devices(netns: string): Record<string, number> {
  withoutDad(netns, 'default');
  const commands = [
    'link set lo up',
    `link add br0 address ${GATEWAY_MAC} type bridge`,
    `link add up0 address ${UPLINK_MAC} type veth peer name up0p`,
    'link add ep1 type veth peer name ep1p',
    'link add ep2 type veth peer name ep2p',
    'link set ep1 master br0',
    'link set ep2 master br0',
    ...['br0', 'up0', 'up0p', 'ep1', 'ep1p', 'ep2', 'ep2p'].map((name) => `link set ${name} up`),
    `addr add ${GATEWAY}/24 dev br0`,
    `addr add ${HOST}/24 dev up0`,
    'route add default via 192.0.2.254',
    `addr add ${GATEWAY6}/64 dev br0 nodad`,
    `addr add ${HOST6}/64 dev up0 nodad`,
    'route add default via 2001:db8::fe',
  ];
  for (const command of commands) must(null, ['ip', '-n', netns, ...command.split(' ')]);
  untilReady(netns, 'br0', 'up0', 'ep1', 'ep2');
  must(netns, ['sysctl', '-qw', 'net.ipv4.conf.br0.forwarding=1', 'net.ipv6.conf.br0.forwarding=1']);
  const links = json<{ ifindex: number; ifname: string }[]>(null, ['ip', '-n', netns, '-j', 'link']);
  return Object.fromEntries(links.map((l) => [l.ifname, l.ifindex]));
}

function fill(d: TestDataplane, ifindex: Record<string, number>): void {
  const { maps } = d;
  const [br0, up0, ep1, ep2] = ['br0', 'up0', 'ep1', 'ep2'].map((name) => ifindex[name] as number);
  d.from('uplink');
  d.fill();
  const [network, endpoint, uplink] = [maps.networks.get(1), maps.endpoints.get(1), maps.devices.get(1)];
  const publish = maps.publishes.get(1);
  if (!network || !endpoint || !uplink || !publish || !br0 || !up0 || !ep1 || !ep2)
    throw new Error('the test maps are not filled');
  maps.networks.set(1, { ...network, ifindex: br0, members_end: 3 });
  maps.endpoints.set(1, { ...endpoint, ifindex: ep1 });
  const peer = {
    ...endpoint,
    ifindex: ep2,
    generation: 3,
    sandbox: 2,
    addr4: PEER,
    addr6: PEER6,
    mac: PEER_MAC,
    member: 2,
  };
  maps.endpoints.set(2, peer);
  maps.ep_addr4.set(PEER, 2);
  maps.ep_addr6.set(PEER6, 2);
  maps.ep_mac.set({ net: 1, mac: PEER_MAC }, 2);
  maps.members.set({ net: 1, member: 1 }, 1);
  maps.members.set({ net: 1, member: 2 }, 2);
  maps.devices.delete(1);
  maps.devices.set(up0, { ...uplink, mac: UPLINK_MAC });
  maps.devices.set(ep1, { ...uplink, kind: device_kind.DEVICE_ENDPOINT, id: 1 });
  maps.devices.set(ep2, { ...uplink, kind: device_kind.DEVICE_ENDPOINT, id: 2 });
  maps.devices.set(br0, { ...uplink, kind: device_kind.DEVICE_BRIDGE, id: 1 });
  maps.host_addr4.set(HOST, up0);
  maps.host_addr4.set(GATEWAY, br0);
  maps.host_addr6.set(HOST6, up0);
  maps.host_addr6.set(GATEWAY6, br0);
  maps.publishes.set(3, {
    ...publish,
    endpoint: 2,
    generation: 3,
    addr4: PEER,
    addr6: PEER6,
    host_port: 9090,
    host_port_end: 9090,
  });
  for (const table of [0, port_table.PORT_TABLES_FAMILY])
    maps.port_slots.set((table + port_table.PORT_TABLE_TCP) * 65536 + 9090, 3);
  // nothing is attached there: where packets are sent to is all that shows
  maps.reassembly.set(0, { ifindex: up0, mtu: Array.from({ length: 16 }, (_, i) => 1280 + 16 * i) });
}

/** Few ports and addresses, so that packets meet each other's flows. */
function common(
  r: Random,
  family: Family,
): Pick<
  Craft,
  'family' | 'protocol' | 'flags' | 'payload' | 'noSum' | 'ttl' | 'tos' | 'df' | 'id' | 'extensions'
> {
  return {
    family,
    protocol: r.weighted<Protocol | number>([
      [5, 'tcp'],
      [4, 'udp'],
      [2, 'icmp'],
      [1, r.pick([2, 47, 50, 132])],
    ]),
    flags: r.pick(FLAGS),
    payload: r.chance(0.01) ? r.bytes(1600) : r.bytes(r.pick([0, 0, 1, 7, 32, 255])),
    noSum: r.chance(0.15),
    ttl: r.pick([64, 64, 64, 64, 64, 2, 1, 128]),
    tos: r.pick([0, 0, 0x10, 3]),
    df: r.chance(0.7),
    id: r.int(0, 7),
    extensions: family === 6 && r.chance(0.15) ? extensions(r) : [],
  };
}

function extensions(r: Random): Extension[] {
  const types = [EXTENSION.hopByHop, EXTENSION.routing, EXTENSION.destination];
  const one = (): Extension =>
    r.chance(0.1)
      ? [EXTENSION.fragment, Buffer.from([0, 0, 0, 0, 0, r.int(0, 7)])]
      : [r.pick(types), Buffer.alloc(r.pick([6, 6, 14, 62]))];
  return Array.from({ length: r.pick([1, 1, 2, 3]) }, one);
}

const client = (r: Random): number => 40000 + r.int(0, 7);
const service = (r: Random): number => r.pick([80, 443, 8080, 9090, 53, 5300, 5304]);

const ERRORS = {
  4: [
    [3, 1],
    [3, 3],
    [3, 4],
    [11, 0],
    [12, 0],
    [5, 1],
  ],
  6: [
    [1, 1],
    [1, 4],
    [2, 0],
    [3, 0],
    [4, 0],
    [100, 0],
  ],
} as const;

function icmpError(r: Random, about: Craft): Partial<Craft> {
  const [icmpType, icmpCode] = r.pick<readonly [number, number]>(ERRORS[about.family]);
  const rest = Buffer.from([0, 0, 0x05, 0x14]);
  const quote = packet(about).subarray(0, r.pick(about.family === 4 ? [28, 40, 128] : [48, 60, 148]));
  return { protocol: 'icmp', icmpType, icmpCode, rest, payload: quote };
}

/** The packet whole, or one of its fragments. */
function body(r: Random, c: Craft): Buffer {
  const whole = packet(c);
  if (c.payload === undefined || c.payload.length < 32 || !r.chance(0.2) || c.df === true) return whole;
  return r.pick(fragments(whole, r.pick([24, 40, 128]), c.family, c.id));
}

function answer(r: Random, c: Craft, ports: { sport: number; dport: number }): void {
  Object.assign(c, ports);
  if (c.protocol === 'icmp') Object.assign(c, { icmpType: ECHO[c.family][1], sport: client(r) });
}

/** A frame from the world to the host, or as it would look to the XDP program. */
function fromWorld(r: Random, family: Family): Buffer {
  const at = PLACES[family];
  const c: Craft = {
    ...common(r, family),
    src: r.pick(at.clients),
    dst: at.host,
    sport: client(r),
    dport: service(r),
  };
  const own = { ...c };
  // the answer to what a container has sent out with its own port kept
  if (r.chance(0.4)) answer(r, c, { sport: service(r), dport: client(r) });
  if (r.chance(0.1)) c.dst = r.pick([at.container, at.peer, at.elsewhere]);
  if (r.chance(0.1))
    Object.assign(
      c,
      icmpError(r, { ...own, src: at.host, dst: own.src, sport: client(r), dport: service(r) }),
    );
  return frame(UPLINK_MAC, ROUTER_MAC, ETHERTYPE[family], body(r, c));
}

function arp(r: Random, from: string, fromMac: string, to: string): Buffer {
  const bytes = (ip: string): Buffer => Buffer.from(ip.split('.').map(Number));
  const header = Buffer.from('00010800060400', 'hex');
  const hardware = Buffer.from(fromMac.replaceAll(':', ''), 'hex');
  return frame(
    'ff:ff:ff:ff:ff:ff',
    fromMac,
    ETHERTYPE.arp,
    Buffer.concat([header, Buffer.from([r.int(1, 2)]), hardware, bytes(from), Buffer.alloc(6), bytes(to)]),
  );
}

/** Neighbour discovery of every kind, what only routers may say included. */
function discovery(r: Random): Buffer {
  const c: Craft = {
    family: 6,
    src: r.pick([CONTAINER6, CONTAINER6, '::', 'fe80::42:aff:fe40:2', PEER6]),
    dst: r.pick(['ff02::1:ff00:1', 'ff02::1', GATEWAY6]),
    protocol: 'icmp',
    icmpType: r.int(130, 143),
    rest: Buffer.alloc(4),
    ttl: 255,
    // a target: the container's own address, or the peer's
    payload: Buffer.from(
      r.pick(['fd000064000000000000000000000002', 'fd000064000000000000000000000003']),
      'hex',
    ),
  };
  const to = r.pick(['33:33:ff:00:00:01', '33:33:00:00:00:01', GATEWAY_MAC]);
  return frame(to, CONTAINER_MAC, ETHERTYPE[6], packet(c));
}

/** A frame that the first container sends. */
function fromContainer(r: Random, family: Family): Buffer {
  const at = PLACES[family];
  if (r.chance(0.05))
    return family === 4 ? arp(r, CONTAINER, CONTAINER_MAC, r.pick([GATEWAY, PEER])) : discovery(r);
  const c: Craft = {
    ...common(r, family),
    src: at.container,
    dst: r.pick(at.clients),
    sport: client(r),
    dport: service(r),
  };
  // the answer to what came to a published port
  if (r.chance(0.4)) answer(r, c, { sport: r.pick([80, 53, 57]), dport: client(r) });
  else if (r.chance(0.3)) c.dst = r.pick([at.host, at.gateway]);
  else if (r.chance(0.1)) c.src = r.pick([at.peer, at.host, at.clients[0] as string]);
  if (r.chance(0.1)) Object.assign(c, icmpError(r, { ...c, src: c.dst, dst: c.src }));
  if (r.chance(0.15)) {
    c.dst = at.peer;
    const to = r.pick([PEER_MAC, PEER_MAC, 'ff:ff:ff:ff:ff:ff']);
    return frame(to, CONTAINER_MAC, ETHERTYPE[family], body(r, c));
  }
  return frame(GATEWAY_MAC, CONTAINER_MAC, ETHERTYPE[family], body(r, c));
}

/** What the host's own stack sends by the uplink, often from ports that containers have. */
function fromHost(r: Random, family: Family): Buffer {
  const at = PLACES[family];
  const ends = { src: at.host, dst: r.pick(at.clients), sport: client(r), dport: service(r) };
  return frame(ROUTER_MAC, UPLINK_MAC, ETHERTYPE[family], body(r, { ...common(r, family), ...ends }));
}

/** A valid frame such as the program meets. */
export function validFrame(program: FuzzedProgram, r: Random): Buffer {
  const family = r.pick([4, 6] as const);
  if (program === 'endpoint_ingress') return fromContainer(r, family);
  if (program === 'uplink_egress') return fromHost(r, family);
  if (program !== 'bridge_egress') return fromWorld(r, family);
  const at = PLACES[family];
  const ends = { src: at.gateway, dst: at.container, sport: client(r), dport: service(r) };
  return frame(CONTAINER_MAC, GATEWAY_MAC, ETHERTYPE[family], body(r, { ...common(r, family), ...ends }));
}
