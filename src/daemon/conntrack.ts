// SPDX-License-Identifier: Apache-2.0
/** The flow tables as the API tells them: each flow once, from the side of who opened it. */

import type { ConntrackStats } from '../api/schemas/conntrack.js';
import type { ConntrackSource, FlowFilter, FlowRecord } from '../api/sources.js';
import type { DataplaneMaps } from '../maps/dataplane.js';
import { flow_flag, flow_protocol, flow_state } from '../maps/generated/enums.js';
import type { Flow4, Flow4Key, Flow6, Flow6Key } from '../maps/generated/types.js';
import type { Tables } from '../reconcile/tables.js';
import type { TableFills } from './fills.js';
import type { KernelClock } from './kernel-clock.js';
import { Told } from './told.js';

const PROTOCOLS: Readonly<Record<number, FlowRecord['protocol']>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  58: 'icmp',
  132: 'sctp',
};
/** Of either family: the codecs tell addresses as text. */
type Key = Flow4Key | Flow6Key;
type Flow = Flow4 | Flow6;
/** What tells whose flow a half is. */
export type FlowKey = Readonly<Key>;
export type FlowHalf = Readonly<Pick<Flow, 'saddr' | 'daddr' | 'sport' | 'dport' | 'flags'>>;
interface FlowMap {
  get(key: Key): Flow | undefined;
  delete(key: Key): boolean;
  entries(): AsyncIterable<[Key, Flow]>;
}
/** lib/flow.h: such are moved to the table of new flows. */
const CLOSING = flow_state.FLOW_FIN_ORIG | flow_state.FLOW_FIN_REPLY | flow_state.FLOW_RST;
/** lib/clock.h: a tick is 2^30 ns of the monotonic clock. */
const TICK_NS = 2 ** 30;
const TICK_SHIFT = 30n;
const MOST_PASSES = 4;

export interface ConntrackOptions {
  maps: DataplaneMaps;
  tables: Tables;
  fills: TableFills;
  time: KernelClock;
}

export class KernelConntrack implements ConntrackSource {
  readonly #o: ConntrackOptions;

  constructor(options: ConntrackOptions) {
    this.#o = options;
  }

  async *flows(filter: FlowFilter): AsyncGenerator<FlowRecord> {
    for await (const [key, flow, tier] of this.#firstHalves()) {
      const record = this.#record(key, flow, tier);
      if (record !== null && fits(record, filter)) yield record;
    }
  }

  async flush(filter: FlowFilter): Promise<number> {
    let flushed = 0;
    const all = Object.keys(filter).length === 0;
    for await (const [key, flow, tier] of this.#firstHalves()) {
      // A record takes two more look-ups, which a million flows need not wait for.
      const record = all ? null : this.#record(key, flow, tier);
      if (!all && (record === null || !fits(record, filter))) continue;
      this.#forget(key, flow);
      flushed++;
    }
    return flushed;
  }

  /**
   * Ends the flows of which `ends` says so of either half, and answers how many
   * entries went. Again while there were some: a packet of one half restores
   * the other one.
   */
  async end(ends: (key: FlowKey, flow: FlowHalf) => boolean): Promise<number> {
    let ended = 0;
    for (let pass = 0, before = -1; pass < MOST_PASSES && before !== ended; pass++) {
      before = ended;
      for (const { proven, fresh } of Object.values(this.#families())) {
        for (const map of [proven, fresh]) {
          for await (const [key, flow] of map.entries())
            if (ends(key, flow)) ended += this.#forget(key, flow);
        }
      }
    }
    return ended;
  }

  /** Both halves, of which a promotion may move either meanwhile; answers how many entries went. */
  #forget(key: Key, flow: Flow): number {
    const { proven, fresh } = this.#tables(key);
    const halves = [key, partnerKey(key, flow)];
    return halves.flatMap((half) => [proven.delete(half), fresh.delete(half)]).filter(Boolean).length;
  }

  async stats(): Promise<ConntrackStats> {
    const { flow_events, snat_tries } = this.#o.maps;
    const protocols: ConntrackStats['protocols'] = {};
    for (const [name, index] of [
      ['tcp', flow_protocol.FLOW_PROTOCOL_TCP],
      ['udp', flow_protocol.FLOW_PROTOCOL_UDP],
      ['icmp', flow_protocol.FLOW_PROTOCOL_ICMP],
      ['sctp', flow_protocol.FLOW_PROTOCOL_SCTP],
    ] as const) {
      const sum = { opened: 0, promoted: 0, expired: 0, reset: 0 };
      for (const counts of flow_events.getPerCpu(index)) {
        sum.opened += Number(counts.opened);
        sum.promoted += Number(counts.promoted);
        sum.expired += Number(counts.expired);
        sum.reset += Number(counts.reset);
      }
      protocols[name] = sum;
    }
    const last = snat_tries.descriptor.maxEntries - 1;
    const tries = Array.from({ length: last + 1 }, (_, index) =>
      snat_tries.getPerCpu(index).reduce((sum, count) => sum + Number(count), 0),
    );
    return {
      protocols,
      tables: await this.#o.fills.of(['flows4', 'flows4_new', 'flows6', 'flows6_new']),
      sourcePorts: {
        kept: tries[0] ?? 0,
        picked: tries.slice(1, last).reduce((a, b) => a + b, 0),
        exhausted: tries[last] ?? 0,
      },
    };
  }

  async *#firstHalves(): AsyncGenerator<[Key, Flow, FlowRecord['tier']]> {
    for (const { proven, fresh } of Object.values(this.#families())) {
      const told = new Told();
      const begun = this.#now();
      for await (const [key, flow] of proven.entries()) {
        if ((flow.flags & flow_flag.FLOW_REPLY) !== 0) continue;
        told.add(nameOf(key));
        yield [key, flow, 'proven'];
      }
      for await (const [key, flow] of fresh.entries()) {
        if ((flow.flags & flow_flag.FLOW_REPLY) !== 0) continue;
        // Promoted while we read: was told already, or was to come where we had been.
        if (proven.get(key) !== undefined && told.has(nameOf(key))) continue;
        // Demoted while we read, by a packet that closed it.
        if (flow.seen >= begun - 1 && (flow.state & CLOSING) !== 0 && told.has(nameOf(key))) continue;
        yield [key, flow, 'new'];
      }
    }
  }

  /** In ticks, as the flows have it. */
  #now(): number {
    return Number(this.#o.time.now() >> TICK_SHIFT);
  }

  #families(): Record<'v4' | 'v6', { proven: FlowMap; fresh: FlowMap }> {
    const { flows4, flows4_new, flows6, flows6_new } = this.#o.maps;
    return { v4: { proven: flows4, fresh: flows4_new }, v6: { proven: flows6, fresh: flows6_new } };
  }

  #tables(key: Key): { proven: FlowMap; fresh: FlowMap } {
    return this.#families()[key.saddr.includes(':') ? 'v6' : 'v4'];
  }

  /** null: gone while it was read. */
  #record(key: Key, flow: Flow, tier: FlowRecord['tier']): FlowRecord | null {
    const protocol = PROTOCOLS[key.protocol];
    if (protocol === undefined) return null;
    const { proven, fresh } = this.#tables(key);
    const partner = partnerKey(key, flow);
    const other = proven.get(partner) ?? fresh.get(partner);
    const now = this.#now();
    return {
      protocol,
      source: key.saddr,
      sourcePort: key.sport,
      destination: key.daddr,
      destinationPort: key.dport,
      translatedSource: flow.saddr,
      translatedSourcePort: flow.sport,
      translatedDestination: flow.daddr,
      translatedDestinationPort: flow.dport,
      direction: direction(flow),
      endpoint: this.#endpoint(flow),
      ...this.#service(flow),
      state: state(flow.state),
      tier,
      ageSeconds: seconds(now - flow.opened),
      idleSeconds: seconds(now - Math.max(flow.seen, other?.seen ?? 0)),
    };
  }

  #endpoint({ endpoint, generation }: Pick<Flow, 'endpoint' | 'generation'>): string | null {
    const entry = this.#o.tables.get('dp-endpoint', String(endpoint));
    if (entry?.row.kind !== 'dp-endpoint' || !entry.wanted) return null;
    return entry.row.generation === generation ? entry.owner.id : null;
  }

  /** An id that was given up keeps the names of its last holder, so a flow of a backend that left is still told. */
  #service({ flags, publish }: Flow): Pick<FlowRecord, 'service' | 'backend'> {
    const backend =
      (flags & flow_flag.FLOW_SERVICE) === 0 ? undefined : this.#o.maps.service_backends.get(publish);
    if (backend === undefined) return { service: null, backend: null };
    const entry = this.#o.tables.get('service', String(backend.service));
    return { service: entry?.wanted ? entry.owner.id : null, backend: this.#endpoint(backend) };
  }
}

function nameOf({ saddr, sport, daddr, dport, protocol }: Key): string {
  return `${saddr} ${sport} ${daddr} ${dport} ${protocol}`;
}

/** The other half's packets are addressed as this one's leave. */
function partnerKey(key: Key, flow: Flow): Key {
  return {
    saddr: flow.daddr,
    daddr: flow.saddr,
    sport: flow.dport,
    dport: flow.sport,
    protocol: key.protocol,
  };
}

function direction({ flags }: Flow): FlowRecord['direction'] {
  if ((flags & flow_flag.FLOW_AT_HOST) !== 0) return 'host';
  const fromEndpoint = (flags & flow_flag.FLOW_AT_ENDPOINT) !== 0;
  const inside = (flags & (flow_flag.FLOW_PUBLISHED | flow_flag.FLOW_SERVICE)) !== 0;
  if (fromEndpoint) return inside ? 'local' : 'outbound';
  return 'inbound';
}

function state(bits: number): FlowRecord['state'] {
  if ((bits & flow_state.FLOW_RST) !== 0) return 'reset';
  if ((bits & (flow_state.FLOW_FIN_ORIG | flow_state.FLOW_FIN_REPLY)) !== 0) return 'closing';
  if ((bits & flow_state.FLOW_ESTABLISHED) !== 0) return 'established';
  return (bits & flow_state.FLOW_ANSWERED) !== 0 ? 'answered' : 'new';
}

/** A tick may be ahead of ours by the coarse clock's error; ages are not negative. */
function seconds(ticks: number): number {
  return Math.max(0, Math.round((ticks * TICK_NS) / 1e9));
}

function fits(flow: FlowRecord, { address, port, endpoint, protocol, service }: FlowFilter): boolean {
  return (
    (protocol === undefined || protocol === flow.protocol) &&
    (endpoint === undefined || flow.endpoint === endpoint || flow.backend === endpoint) &&
    (service === undefined || flow.service === service) &&
    (address === undefined ||
      [flow.source, flow.destination, flow.translatedSource, flow.translatedDestination].includes(address)) &&
    (port === undefined ||
      [
        flow.sourcePort,
        flow.destinationPort,
        flow.translatedSourcePort,
        flow.translatedDestinationPort,
      ].includes(port))
  );
}
