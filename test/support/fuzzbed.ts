// SPDX-License-Identifier: Apache-2.0
/**
 * The programs with filled maps, test-run in a namespace that has the devices
 * and routes of a host: two containers on one network, an uplink with a default
 * route. Nothing is attached, so no packet but those of the test is counted.
 */
import { randomBytes } from 'node:crypto';
import type { Program } from '../../src/loader/programs.js';
import { device_kind } from '../../src/maps/generated/enums.js';
import { type Craft, ETHERTYPE, type Family, frame, type Protocol, packet } from './craft.js';
import {
  CLIENT,
  CONTAINER,
  CONTAINER_MAC,
  GATEWAY,
  GATEWAY_MAC,
  HOST,
  type Name,
  TestDataplane,
} from './dataplane.js';
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
const CLIENTS = [CLIENT, '198.51.100.8', '192.0.2.77'];
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
      dataplane = await TestDataplane.load({ kern_ctx });
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
  ];
  for (const command of commands) must(null, ['ip', '-n', netns, ...command.split(' ')]);
  must(netns, ['sysctl', '-qw', 'net.ipv4.conf.br0.forwarding=1']);
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
    mac: PEER_MAC,
    member: 2,
  };
  maps.endpoints.set(2, peer);
  maps.ep_addr4.set(PEER, 2);
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
  maps.publishes.set(3, {
    ...publish,
    endpoint: 2,
    generation: 3,
    addr4: PEER,
    host_port: 9090,
    host_port_end: 9090,
  });
  maps.port_slots.set(9090, 3);
}

/** Few ports and addresses, so that packets meet each other's flows. */
function common(
  r: Random,
): Pick<Craft, 'family' | 'protocol' | 'flags' | 'payload' | 'noSum' | 'ttl' | 'tos' | 'df'> {
  return {
    family: 4,
    protocol: r.weighted<Protocol | number>([
      [5, 'tcp'],
      [4, 'udp'],
      [2, 'icmp'],
      [1, r.pick([2, 47, 50, 132])],
    ]),
    flags: r.pick(FLAGS),
    payload: r.bytes(r.pick([0, 0, 1, 7, 32, 255])),
    noSum: r.chance(0.15),
    ttl: r.pick([64, 64, 64, 2, 128]),
    tos: r.pick([0, 0, 0x10, 3]),
    df: r.chance(0.7),
  };
}

const client = (r: Random): number => 40000 + r.int(0, 7);
const service = (r: Random): number => r.pick([80, 443, 8080, 9090, 53, 5300, 5304]);

function icmpError(r: Random, family: Family, about: Craft): Partial<Craft> {
  const [icmpType, icmpCode] = r.pick([
    [3, 1],
    [3, 3],
    [3, 4],
    [11, 0],
    [12, 0],
    [5, 1],
  ] as const);
  const rest = Buffer.from([0, 0, 0x05, 0x14]);
  return {
    protocol: 'icmp',
    family,
    icmpType,
    icmpCode,
    rest,
    payload: packet(about).subarray(0, r.pick([28, 40, 128])),
  };
}

/** A frame from the world to the host, or as it would look to the XDP program. */
function fromWorld(r: Random): Buffer {
  const c: Craft = { ...common(r), src: r.pick(CLIENTS), dst: HOST, sport: client(r), dport: service(r) };
  const own = { ...c };
  if (r.chance(0.4)) {
    // the answer to what a container has sent out with its own port kept
    [c.sport, c.dport] = [service(r), client(r)];
    if (c.protocol === 'icmp') Object.assign(c, { icmpType: 0, sport: client(r) });
  }
  if (r.chance(0.1)) c.dst = r.pick([CONTAINER, PEER, '203.0.113.9']);
  if (r.chance(0.1))
    Object.assign(
      c,
      icmpError(r, 4, { ...own, src: HOST, dst: own.src, sport: client(r), dport: service(r) }),
    );
  return frame(UPLINK_MAC, ROUTER_MAC, ETHERTYPE[4], packet(c));
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

/** A frame that the first container sends. */
function fromContainer(r: Random): Buffer {
  if (r.chance(0.05)) return arp(r, CONTAINER, CONTAINER_MAC, r.pick([GATEWAY, PEER]));
  if (r.chance(0.05)) return ipv6(CONTAINER_MAC, GATEWAY_MAC, r);
  const c: Craft = {
    ...common(r),
    src: CONTAINER,
    dst: r.pick(CLIENTS),
    sport: client(r),
    dport: service(r),
  };
  if (r.chance(0.4)) {
    // the answer to what came to a published port
    Object.assign(c, { sport: r.pick([80, 53, 57]), dport: client(r) });
    if (c.protocol === 'icmp') Object.assign(c, { icmpType: 0, sport: client(r) });
  } else if (r.chance(0.3)) {
    c.dst = r.pick([HOST, GATEWAY]);
  } else if (r.chance(0.1)) {
    c.src = r.pick([PEER, HOST, CLIENT]);
  }
  if (r.chance(0.1)) Object.assign(c, icmpError(r, 4, { ...c, src: c.dst, dst: c.src }));
  if (r.chance(0.15)) {
    c.dst = PEER;
    return frame(r.pick([PEER_MAC, PEER_MAC, 'ff:ff:ff:ff:ff:ff']), CONTAINER_MAC, ETHERTYPE[4], packet(c));
  }
  return frame(GATEWAY_MAC, CONTAINER_MAC, ETHERTYPE[4], packet(c));
}

/** What the host's own stack sends by the uplink, often from ports that containers have. */
function fromHost(r: Random): Buffer {
  const c: Craft = { ...common(r), src: HOST, dst: r.pick(CLIENTS), sport: client(r), dport: service(r) };
  return frame(ROUTER_MAC, UPLINK_MAC, ETHERTYPE[4], packet(c));
}

function ipv6(from: string, to: string, r: Random): Buffer {
  const c: Craft = {
    ...common(r),
    family: 6,
    src: '2001:db8::2',
    dst: '2001:db8:1::7',
    sport: client(r),
    dport: 80,
  };
  return frame(to, from, ETHERTYPE[6], packet(c));
}

/** A valid frame such as the program meets. */
export function validFrame(program: FuzzedProgram, r: Random): Buffer {
  if (program === 'endpoint_ingress') return fromContainer(r);
  if (program === 'uplink_egress') return fromHost(r);
  if (program === 'bridge_egress')
    return frame(
      CONTAINER_MAC,
      GATEWAY_MAC,
      ETHERTYPE[4],
      packet({ ...common(r), src: GATEWAY, dst: CONTAINER, sport: client(r), dport: service(r) }),
    );
  return r.chance(0.05) ? ipv6(ROUTER_MAC, UPLINK_MAC, r) : fromWorld(r);
}
