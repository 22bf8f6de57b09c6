// SPDX-License-Identifier: Apache-2.0
/**
 * The testbed's topology with containers, and its twin in which the host does
 * the same job with a Linux bridge and nftables, so that one script of packets
 * can be played to both.
 *
 *   one 10.99.0.11 ─┐                          ┌─ ext1 192.168.77.2
 *                   ├─ 10.99.0.1  host  .77.1 ─┤
 *   two 10.99.0.12 ─┘                          └─ ext2 192.168.77.3
 *
 * and the same with fd00:99:: and 2001:db8:50::.
 */
import { request } from 'node:http';
import { join } from 'node:path';
import { type DataplaneMaps, pinnedMaps } from '../../src/maps/dataplane.js';
import { drop_reason } from '../../src/maps/generated/enums.js';
import { bpfNative } from '../../src/native/bpf.js';
import type { Family } from './craft.js';
import { untilReady, withoutDad } from './links.js';
import { json, must } from './process.js';
import { type Arrival, Stations } from './stations.js';
import { EXT1, EXT1_6, EXT2, EXT2_6, HOST, HOST_6, Testbed } from './testbed.js';

export type Station = 'one' | 'two' | 'ext1' | 'ext2';
export const STATIONS: readonly Station[] = ['one', 'two', 'ext1', 'ext2'];

export interface Addresses {
  readonly family: Family;
  readonly station: Record<Station, string>;
  readonly host: string;
  readonly gateway: string;
  readonly subnet: string;
  /** Nobody's. */
  readonly stranger: string;
}

const ADDRESSES: Record<Family, Addresses> = {
  4: {
    family: 4,
    station: { one: '10.99.0.11', two: '10.99.0.12', ext1: EXT1, ext2: EXT2 },
    host: HOST,
    gateway: '10.99.0.1',
    subnet: '10.99.0.0/24',
    stranger: '203.0.113.9',
  },
  6: {
    family: 6,
    station: { one: 'fd00:99::11', two: 'fd00:99::12', ext1: EXT1_6, ext2: EXT2_6 },
    host: HOST_6,
    gateway: 'fd00:99::1',
    subnet: 'fd00:99::/64',
    stranger: '2001:db8:dead::9',
  },
};

export function addresses(family: Family): Addresses {
  return ADDRESSES[family];
}

export interface Published {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly station: 'one' | 'two';
  readonly to: number;
}

const range = (port: number, to: number): Published[] =>
  Array.from({ length: 3 }, (_, i) => ({ protocol: 'tcp', port: port + i, station: 'one', to: to + i }));
export const PUBLISHED: readonly Published[] = [
  { protocol: 'tcp', port: 8080, station: 'one', to: 80 },
  { protocol: 'tcp', port: 8081, station: 'one', to: 80 },
  { protocol: 'udp', port: 5300, station: 'one', to: 53 },
  ...range(7000, 9000),
  { protocol: 'tcp', port: 9090, station: 'two', to: 90 },
  { protocol: 'udp', port: 9090, station: 'two', to: 90 },
];

/** What a side says about a packet besides what came out. */
export interface Remarks {
  /** Sluice: drop reasons that grew. */
  dropped: string[];
  /** netfilter: the packet is in state INVALID. */
  invalid: boolean;
}

export interface Side {
  readonly name: 'sluice' | 'netfilter';
  /** MAC to send to: the gateway's, the uplink's, a station's. */
  mac(of: Station | 'gateway' | 'host'): string;
  /** Until nothing has come for `quietMs`. */
  send(frames: [Station, Buffer][], quietMs: number): Promise<{ arrivals: Arrival[]; remarks: Remarks }>;
  /** No flow is left. */
  forget(): Promise<void>;
  stop(): Promise<void>;
}

function macOf(netns: string, iface: string): string {
  return json<[{ address: string }]>(netns, ['ip', '-j', 'link', 'show', iface])[0].address;
}

/** Errors as often as they are due, and nobody asked for their MAC in between. */
function settle(bed: Testbed, host: string): void {
  must(host, ['sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0', 'net.ipv4.icmp_msgs_per_sec=1000000']);
  must(host, [
    'sysctl',
    '-qw',
    'net.ipv4.conf.all.send_redirects=0',
    'net.ipv4.conf.default.send_redirects=0',
  ]);
  must(host, ['ethtool', '-K', 'up0', 'tx', 'off', 'gro', 'off']);
  must(host, ['sysctl', '-qw', 'net.ipv6.icmp.ratelimit=0']);
  for (const [netns, ip] of [
    [bed.ext1, EXT1],
    [bed.ext2, EXT2],
    [bed.ext1, EXT1_6],
    [bed.ext2, EXT2_6],
  ] as const)
    must(host, [
      'ip',
      'neigh',
      'replace',
      ip,
      'lladdr',
      macOf(netns, 'eth0'),
      'dev',
      'up0',
      'nud',
      'permanent',
    ]);
}

abstract class Bed {
  readonly #macs = new Map<string, string>();
  #stations: Stations | null = null;
  #invalid = 0;
  protected readonly bed: Testbed;

  constructor(bed: Testbed) {
    this.bed = bed;
  }

  protected async open(boxes: Record<'one' | 'two', string>, bridge: string): Promise<void> {
    const { bed } = this;
    const at: Record<Station, [string, string]> = {
      one: [boxes.one, 'eth0'],
      two: [boxes.two, 'eth0'],
      ext1: [bed.ext1, 'eth0'],
      ext2: [bed.ext2, 'eth0'],
    };
    for (const [name, [netns, iface]] of Object.entries(at)) this.#macs.set(name, macOf(netns, iface));
    this.#macs.set('host', macOf(bed.host, 'up0'));
    this.#macs.set('gateway', macOf(bed.host, bridge));
    this.#stations = await Stations.start(at, bed.host);
    await this.exchange([], 1);
  }

  mac(of: string): string {
    return this.#macs.get(of) as string;
  }

  protected get stations(): Stations {
    if (!this.#stations) throw new Error('not open');
    return this.#stations;
  }

  protected async exchange(
    frames: [Station, Buffer][],
    quietMs: number,
  ): Promise<{ arrivals: Arrival[]; invalid: boolean }> {
    const { arrivals, invalid } = await this.stations.send(frames, quietMs);
    const grew = invalid > this.#invalid;
    this.#invalid = invalid;
    return { arrivals, invalid: grew };
  }

  async stop(): Promise<void> {
    await this.#stations?.stop();
    await this.bed.stop();
  }
}

class Sluice extends Bed implements Side {
  readonly name = 'sluice';
  #pins: ReturnType<typeof pinnedMaps> | null = null;

  static async start(family: Family): Promise<Sluice> {
    const side = new Sluice(await Testbed.start());
    try {
      await side.#fill(addresses(family));
    } catch (e) {
      await side.stop();
      throw e;
    }
    return side;
  }

  async #fill(a: Addresses): Promise<void> {
    const { bed } = this;
    settle(bed, bed.host);
    const v6 = a.family === 6 ? ['--ipv6', '--subnet', a.subnet] : [];
    const bridge = ['-o', 'com.docker.network.bridge.name=br0'];
    bed.ok('network', 'create', '--subnet', ADDRESSES[4].subnet, ...v6, 'net', ...bridge);
    const ports = (station: string): string[] =>
      PUBLISHED.filter((p) => p.station === station).flatMap((p) => [
        '-p',
        `${p.port}:${p.to}/${p.protocol}`,
      ]);
    const box = (name: 'one' | 'two'): string =>
      bed.container(name, 'net', a.family === 6 ? '--ip6' : '--ip', a.station[name], ...ports(name)).ns;
    this.#pins = pinnedMaps(bpfNative(), join(bed.bpffs, 'maps'));
    await this.open({ one: box('one'), two: box('two') }, 'br0');
  }

  get maps(): DataplaneMaps {
    return this.#pins?.maps as DataplaneMaps;
  }

  #drops(): Map<string, bigint> {
    const reasons = Object.entries(drop_reason).filter(([, v]) => v !== drop_reason.DROP_REASONS);
    return new Map(
      reasons.map(([name, index]) => [
        name.replace('DROP_', '').toLowerCase(),
        this.maps.drops.getPerCpu(index).reduce((sum, v) => sum + v.packets, 0n),
      ]),
    );
  }

  async send(
    frames: [Station, Buffer][],
    quietMs: number,
  ): Promise<{ arrivals: Arrival[]; remarks: Remarks }> {
    const before = this.#drops();
    const { arrivals } = await this.exchange(frames, quietMs);
    const dropped = [...this.#drops()]
      .filter(([name, n]) => n > (before.get(name) ?? 0n))
      .map(([name]) => name);
    return { arrivals, remarks: { dropped, invalid: false } };
  }

  forget(): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = { socketPath: this.bed.socket, path: '/v1/conntrack', method: 'DELETE' };
      request(call, (answer) => {
        answer.resume();
        answer.on('end', () =>
          answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`)),
        );
      })
        .on('error', reject)
        .end();
    });
  }

  override async stop(): Promise<void> {
    this.#pins?.close();
    await super.stop();
  }
}

/** The rules that an operator would write for the same job. */
function ruleset(a: Addresses): string {
  const ip = a.family === 6 ? 'ip6' : 'ip';
  const at = (address: string): string => (a.family === 6 ? `[${address}]` : address);
  const dnat = PUBLISHED.map(
    (p) => `fib daddr type local ${p.protocol} dport ${p.port} dnat to ${at(a.station[p.station])}:${p.to}`,
  );
  return `table ${ip} nat {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ${dnat.join('\n    ')}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ${ip} saddr ${a.subnet} oifname != "br0" masquerade
    ${ip} saddr ${a.subnet} oifname "br0" ct status dnat masquerade
  }
}
table ${ip} filter {
  chain forward {
    type filter hook forward priority filter;
    ct state invalid drop
  }
}`;
}

class Netfilter extends Bed implements Side {
  readonly name = 'netfilter';

  static async start(family: Family): Promise<Netfilter> {
    const side = new Netfilter(await Testbed.start({ daemon: false }));
    try {
      await side.#fill(addresses(family));
    } catch (e) {
      await side.stop();
      throw e;
    }
    return side;
  }

  async #fill(a: Addresses): Promise<void> {
    const { bed } = this;
    const { host } = bed;
    settle(bed, host);
    must(host, ['ip', 'link', 'add', 'br0', 'type', 'bridge']);
    withoutDad(host, 'br0');
    const length = a.subnet.replace(/.*\//, '');
    // an address that is still tentative would be no source for errors
    const nodad = a.family === 6 ? ['nodad'] : [];
    must(host, ['ip', 'addr', 'add', `${a.gateway}/${length}`, 'dev', 'br0', ...nodad]);
    must(host, ['ip', 'link', 'set', 'br0', 'up']);
    must(host, ['ethtool', '-K', 'br0', 'tx', 'off', 'gro', 'off']);
    const boxes = { one: bed.namespace(bed.box('one')), two: bed.namespace(bed.box('two')) };
    for (const name of ['one', 'two'] as const) {
      bed.pair(host, `v-${name}`, null, boxes[name], 'eth0', null);
      must(boxes[name], ['ip', 'addr', 'add', `${a.station[name]}/${length}`, 'dev', 'eth0', ...nodad]);
      must(host, ['ip', 'link', 'set', `v-${name}`, 'master', 'br0']);
      must(boxes[name], ['ip', `-${a.family}`, 'route', 'add', 'default', 'via', a.gateway]);
    }
    untilReady(host, 'br0');
    // only now: the bridge takes a port's MAC as its own, and forgets its neighbours with every new one
    for (const name of ['one', 'two'] as const) {
      const mac = macOf(boxes[name], 'eth0');
      // a bridge that has not learned yet, or has forgotten, would send to both
      must(host, ['bridge', 'fdb', 'replace', mac, 'dev', `v-${name}`, 'master', 'static']);
      must(host, [
        'ip',
        'neigh',
        'replace',
        a.station[name],
        'lladdr',
        mac,
        'dev',
        'br0',
        'nud',
        'permanent',
      ]);
    }
    must(host, ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    must(host, ['nft', '-f', '-'], ruleset(a));
    // Sluice does not track windows, on purpose
    must(host, ['sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_be_liberal=1']);
    // nor does what stays within a network meet any rule
    must(host, [
      'sysctl',
      '-qw',
      'net.bridge.bridge-nf-call-iptables=0',
      'net.bridge.bridge-nf-call-ip6tables=0',
    ]);
    await this.open(boxes, 'br0');
  }

  async send(
    frames: [Station, Buffer][],
    quietMs: number,
  ): Promise<{ arrivals: Arrival[]; remarks: Remarks }> {
    const { arrivals, invalid } = await this.exchange(frames, quietMs);
    return { arrivals, remarks: { dropped: [], invalid } };
  }

  forget(): Promise<void> {
    return this.stations.flush();
  }
}

/** Both sides, Sluice first. */
export async function startSides(
  family: Family,
): Promise<{ sluice: Side & { maps: DataplaneMaps }; netfilter: Side }> {
  const sluice = await Sluice.start(family);
  try {
    return { sluice, netfilter: await Netfilter.start(family) };
  } catch (e) {
    await sluice.stop();
    throw e;
  }
}
