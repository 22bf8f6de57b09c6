// SPDX-License-Identifier: Apache-2.0
/** Scripts of packets: flows between stations, and steps that send one packet of a flow each. */
import { EXTENSION, type Family, type Protocol } from './craft.js';
import type { Random } from './random.js';
import { addresses, PUBLISHED, type Station } from './reference.js';

export type Kind = 'masquerade' | 'published' | 'hairpin' | 'bridged' | 'host' | 'direct';

export interface Flow {
  readonly kind: Kind;
  readonly protocol: Protocol;
  readonly client: Station;
  /** Who answers; null: the host itself. */
  readonly server: Station | null;
  readonly sport: number;
  /** As the client sees the other side. */
  readonly target: string;
  readonly dport: number;
  /** As the server sees its own port. */
  readonly serverPort: number;
}

export interface Step {
  readonly flow: number;
  readonly from: 'client' | 'server';
  /** An error speaks about the last packet of the flow that its sender got. */
  readonly what: 'packet' | 'error' | 'fragments' | 'pause';
  readonly flags?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly length: number;
  readonly ttl: number;
  readonly tos: number;
  readonly options?: string;
  /** IPv6: type, and what follows the length. */
  readonly extensions?: readonly (readonly [type: number, body: string])[];
  readonly noSum?: boolean;
  readonly df?: boolean;
  /** Errors: type and code; echo: sent the wrong way round, as a request or reply. */
  readonly icmp?: readonly [type: number, code: number];
  /** Errors: by somebody on the way rather than by the host itself. */
  readonly router?: boolean;
}

export interface Script {
  readonly family: Family;
  readonly flows: readonly Flow[];
  readonly steps: readonly Step[];
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

const INSIDE = ['one', 'two'] as const;
const OUTSIDE = ['ext1', 'ext2'] as const;

function flowOf(r: Random, family: Family, earlier: readonly Flow[]): Flow {
  const a = addresses(family);
  const kind = r.weighted<Kind>([
    [8, 'masquerade'],
    [8, 'published'],
    [3, 'hairpin'],
    [2, 'bridged'],
    [2, 'host'],
    [1, 'direct'],
  ]);
  const inside = r.pick(INSIDE);
  const outside = r.pick(OUTSIDE);
  const sport = r.int(1024, 32_000);
  const dport = r.pick([80, 443, 53, r.int(10_000, 60_000)]);
  const protocol = r.weighted<Protocol>([
    [5, 'tcp'],
    [4, 'udp'],
    [2, 'icmp'],
  ]);
  const common = { kind, sport, dport, serverPort: dport, protocol };
  if (kind === 'published' || kind === 'hairpin') {
    const p = r.pick(PUBLISHED);
    const target = kind === 'hairpin' && r.chance(0.3) ? a.gateway : a.host;
    const client = kind === 'hairpin' ? inside : outside;
    return {
      ...common,
      protocol: p.protocol,
      client,
      server: p.station,
      target,
      dport: p.port,
      serverPort: p.to,
    };
  }
  if (kind === 'bridged') {
    const server = inside === 'one' ? 'two' : 'one';
    return { ...common, client: inside, server, target: a.station[server] };
  }
  if (kind === 'host') {
    const client = r.chance(0.5) ? inside : outside;
    const target = client === inside && r.chance(0.5) ? a.gateway : a.host;
    return { ...common, client, server: null, target, dport: r.int(20_000, 30_000) };
  }
  if (kind === 'direct') return { ...common, client: outside, server: inside, target: a.station[inside] };
  // now and then from the port, to the place, that another container uses already
  const twin = earlier.find((f) => f.kind === 'masquerade' && f.client !== inside);
  if (twin && r.chance(0.4)) return { ...twin, client: inside };
  return { ...common, client: inside, server: outside, target: a.station[outside] };
}

/** What a TCP conversation has come to. */
interface Talk {
  phase: 'new' | 'syn' | 'synack' | 'open' | 'closing' | 'closed';
  seq: Record<'client' | 'server', number>;
  finned: Set<'client' | 'server'>;
}

function tcpStep(r: Random, talk: Talk): Pick<Step, 'from' | 'flags' | 'seq' | 'ack' | 'length'> {
  const odd = r.chance(0.08);
  let from: 'client' | 'server' = 'client';
  let flags = SYN;
  let length = 0;
  if (odd) {
    from = r.pick(['client', 'server'] as const);
    flags = r.pick([SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, FIN | SYN, 0, FIN | PSH | 32]);
  } else if (talk.phase === 'syn') {
    [from, flags] = r.chance(0.8) ? ['server', SYN | ACK] : ['client', SYN];
    if (r.chance(0.1)) [from, flags] = ['server', RST | ACK];
  } else if (talk.phase === 'synack') {
    flags = ACK;
  } else if (talk.phase === 'open' || talk.phase === 'closing') {
    from = r.pick(['client', 'server'] as const);
    flags = r.weighted([
      [8, PSH | ACK],
      [2, ACK],
      [2, FIN | ACK],
      [1, RST],
    ]);
    if (talk.finned.has(from) && flags !== RST) flags = ACK;
    length = flags & PSH ? r.int(1, 300) : 0;
  }
  const other = from === 'client' ? 'server' : 'client';
  const seq = talk.seq[from];
  const ack = flags & ACK ? talk.seq[other] : 0;
  if (!odd) {
    talk.seq[from] += length + (flags & (SYN | FIN) ? 1 : 0);
    if (flags === SYN) talk.seq[from] = seq + 1;
    if (flags & FIN) talk.finned.add(from);
    const next: Record<Talk['phase'], Talk['phase']> = {
      new: 'syn',
      syn: flags === (SYN | ACK) ? 'synack' : 'syn',
      synack: 'open',
      open: flags & FIN ? 'closing' : 'open',
      closing: talk.finned.size === 2 ? 'closed' : 'closing',
      closed: 'syn',
    };
    talk.phase = flags & RST ? 'closed' : next[talk.phase];
    if (talk.phase === 'closed') talk.finned.clear();
  }
  return { from, flags, seq, ack, length };
}

const ERRORS: Record<Family, readonly (readonly [number, number])[]> = {
  4: [
    [3, 0],
    [3, 1],
    [3, 3],
    [3, 4],
    [3, 13],
    [11, 0],
    [12, 0],
  ],
  6: [
    [1, 0],
    [1, 4],
    [2, 0],
    [3, 0],
    [4, 0],
  ],
};

const RECORD_ROUTE = '070b0400000000000000000000000000';
/** No-operation, router alert, record route. */
const OPTIONS = ['01010100', '94040000', RECORD_ROUTE];

/** Headers that travel along. */
const PADDING = '010400000000';
const EXTENSIONS: readonly (readonly [type: number, body: string])[][] = [
  [[EXTENSION.hopByHop, PADDING]],
  // router alert
  [[EXTENSION.hopByHop, '050200000100']],
  // of those that are skipped by who does not know them (RFC 4727)
  [[EXTENSION.hopByHop, '1e0c000102030405060708090a0b']],
  [[EXTENSION.destination, PADDING]],
  // of a type without a meaning, with no segment left
  [[EXTENSION.routing, 'fd0000000000']],
  [
    [EXTENSION.hopByHop, PADDING],
    [EXTENSION.destination, PADDING],
    [EXTENSION.routing, 'fd0000000000'],
    [EXTENSION.destination, PADDING],
  ],
];
const ATOMIC_FRAGMENT = [[EXTENSION.fragment, '000000000007']] as const;

function stepOf(r: Random, family: Family, flows: readonly Flow[], talks: Talk[]): Step {
  const at = r.int(0, flows.length - 1);
  const flow = flows[at] as Flow;
  const talk = talks[at] as Talk;
  const base = {
    flow: at,
    from: r.chance(talk.phase === 'new' ? 0.9 : 0.5) ? ('client' as const) : ('server' as const),
    length: r.pick([0, 1, 8, 33, 200]),
    ttl: r.weighted([
      [20, 64],
      [4, 3],
      [2, 2],
      [1, 1],
      [2, 255],
    ]),
    tos: r.pick([0, 0, 0, 0x10, 0xb8]),
  };
  if (r.chance(0.015)) return { ...base, what: 'pause' };
  if (talk.phase !== 'new' && r.chance(0.1))
    return { ...base, what: 'error', icmp: r.pick(ERRORS[family]), router: r.chance(0.3) };
  const options = family === 4 && base.ttl > 1 && r.chance(0.05) ? r.pick(OPTIONS) : undefined;
  // what an error of the host cites of a route that is being recorded is the kernel's own affair
  const extensions = family === 6 && r.chance(0.08) ? { extensions: r.pick(EXTENSIONS) } : {};
  const more =
    options === undefined || (flow.kind === 'host' && options === RECORD_ROUTE) ? extensions : { options };
  if (flow.protocol !== 'tcp' && r.chance(0.06))
    return { ...base, ...extensions, what: 'fragments', length: r.int(600, 1400), df: false };
  if (family === 6 && r.chance(0.01)) Object.assign(more, { extensions: ATOMIC_FRAGMENT });
  if (flow.protocol === 'tcp') return { ...base, ...more, what: 'packet', ...tcpStep(r, talk) };
  talk.phase = 'open';
  if (flow.protocol === 'udp') return { ...base, ...more, what: 'packet', noSum: r.chance(0.15) };
  return { ...base, ...more, what: 'packet' };
}

/** The n-th script of a seed is the same every time. */
export function makeScript(r: Random, family: Family): Script {
  const flows: Flow[] = [];
  for (let n = r.int(1, 4); n > 0; n--) flows.push(flowOf(r, family, flows));
  const talks = flows.map(
    (_, i): Talk => ({
      phase: 'new',
      seq: { client: 1_000_000 * (i + 1), server: 5_000_000 * (i + 1) },
      finned: new Set(),
    }),
  );
  const steps = Array.from({ length: r.int(5, 30) }, () => stepOf(r, family, flows, talks));
  return { family, flows, steps };
}
