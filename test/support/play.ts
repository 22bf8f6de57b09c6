// SPDX-License-Identifier: Apache-2.0
/** Plays a script to one side, and tells what came out in words that do not depend on chosen ports. */
import {
  type Craft,
  type Dissected,
  dissect,
  ECHO,
  ETHERTYPE,
  fragments,
  frame,
  packet,
  reassemble,
} from './craft.js';
import { sleep } from './process.js';
import { addresses, type Remarks, type Side, type Station } from './reference.js';
import type { Flow, Script, Step } from './script.js';
import type { Arrival } from './stations.js';

export interface Outcome {
  /** One line a packet, in order of stations. */
  readonly out: readonly string[];
  readonly remarks: Remarks;
}

interface Ends {
  src: string;
  sport: number;
  dst: string;
  dport: number;
}

/** What a side has made of one flow. */
interface Progress {
  /** The client as the server last saw it. */
  seen: Ends | null;
  /** The last packet that each end got, from its network header on. */
  got: Partial<Record<'client' | 'server', Buffer>>;
}

const IGMP = 2;
const ID = 0x5000;
/** Longer than the programs' tick: two of them, and a flow has proven itself. */
const PAUSE_MS = 1150;
const ERROR_TYPES: Record<number, readonly number[]> = { 1: [3, 4, 5, 11, 12], 58: [1, 2, 3, 4] };

export class Player {
  readonly #side: Side;
  readonly #script: Script;
  readonly #quietMs: number;
  readonly #progress: Progress[];

  constructor(side: Side, script: Script, quietMs: number) {
    this.#quietMs = quietMs;
    this.#side = side;
    this.#script = script;
    this.#progress = script.flows.map(() => ({ seen: null, got: {} }));
  }

  /** Null where there is nothing to send, such as an error about a packet that never came. */
  async step(step: Step, index: number): Promise<Outcome | null> {
    const flow = this.#script.flows[step.flow] as Flow;
    const progress = this.#progress[step.flow] as Progress;
    const nothing: Outcome = { out: [], remarks: { dropped: [], invalid: false } };
    if (step.what === 'pause') {
      await sleep(PAUSE_MS);
      return nothing;
    }
    const from = step.from === 'client' ? flow.client : flow.server;
    if (from === null) return null;
    // how the server will see a client of its own network is not to be guessed
    if (flow.kind === 'hairpin' && step.from === 'server' && !progress.seen) return null;
    const whole = this.#packet(flow, progress, step, index);
    if (!whole) return null;
    const parts =
      step.what === 'fragments'
        ? fragments(whole, 8 * Math.ceil(step.length / 24), this.#script.family, ID + index)
        : [whole];
    const to = this.#side.mac(this.#nextHop(flow, step, from));
    const frames = parts.map((part): [Station, Buffer] => [
      from,
      frame(to, this.#side.mac(from), ETHERTYPE[this.#script.family], part),
    ]);
    const { arrivals, remarks } = await this.#side.send(frames, this.#quietMs);
    const packets = this.#packets(arrivals);
    for (const { station, data } of packets) this.#note(flow, progress, step, station, data);
    const out = packets.map(
      ({ station, data, whole }) => `${station}: ${this.#words(data, whole, progress, flow, index)}`,
    );
    return { out: out.sort(), remarks };
  }

  #nextHop(flow: Flow, step: Step, from: Station): Station | 'gateway' | 'host' {
    if (from === 'ext1' || from === 'ext2') return 'host';
    if (flow.kind !== 'bridged') return 'gateway';
    return step.from === 'client' ? (flow.server as Station) : flow.client;
  }

  /** From the sender's side: the flow's ends, those of the server as it has seen them, or as it would have to guess. */
  #ends(flow: Flow, progress: Progress, from: 'client' | 'server'): Ends {
    const a = addresses(this.#script.family);
    const client = a.station[flow.client];
    if (from === 'client') return { src: client, sport: flow.sport, dst: flow.target, dport: flow.dport };
    const seen = progress.seen ?? {
      src: flow.kind === 'masquerade' ? a.host : client,
      // a port of the host that no flow of the script is given before it opens
      sport: flow.kind === 'masquerade' ? flow.sport + 0x8000 : flow.sport,
      dst: flow.server ? a.station[flow.server] : flow.target,
      dport: flow.serverPort,
    };
    return { src: seen.dst, sport: seen.dport, dst: seen.src, dport: seen.sport };
  }

  #packet(flow: Flow, progress: Progress, step: Step, index: number): Buffer | null {
    const { family } = this.#script;
    const ends = this.#ends(flow, progress, step.from);
    const plain = {
      family,
      ttl: step.ttl,
      tos: step.tos,
      id: ID + index,
      df: step.df ?? step.what !== 'fragments',
      ...(step.options === undefined ? {} : { options: Buffer.from(step.options, 'hex') }),
      extensions: (step.extensions ?? []).map(([type, body]) => [type, Buffer.from(body, 'hex')] as const),
    };
    if (step.what === 'error') {
      const about = progress.got[step.from];
      if (!about) return null;
      const [icmpType, icmpCode] = step.icmp as readonly [number, number];
      const a = addresses(family);
      const tooBig = (family === 4 && icmpType === 3 && icmpCode === 4) || (family === 6 && icmpType === 2);
      const rest = Buffer.from([0, 0, ...(tooBig ? [0x05, 0x14] : [0, 0])]);
      const cited = dissect(about, family);
      if (!cited) return null;
      return packet({
        ...plain,
        src:
          step.router === true && step.from === 'server' && flow.kind === 'masquerade'
            ? a.stranger
            : ends.src,
        // to where the cited packet seems to come from
        dst: cited.src,
        protocol: 'icmp',
        icmpType,
        icmpCode,
        rest,
        payload: about.subarray(0, family === 4 ? 64 : 104),
      });
    }
    const craft: Craft = {
      ...plain,
      ...ends,
      protocol: flow.protocol,
      flags: step.flags ?? 0,
      seq: step.seq ?? 0,
      ack: step.ack ?? 0,
      noSum: step.noSum ?? false,
      payload: Buffer.alloc(step.length, index + 1),
    };
    if (flow.protocol === 'icmp') {
      craft.icmpType = ECHO[family][step.from === 'client' ? 0 : 1];
      craft.sport = step.from === 'client' ? flow.sport : (progress.seen?.sport ?? flow.sport);
    }
    return packet(craft);
  }

  /** IP packets but for those about neighbours and groups, the fragments of one put together. */
  #packets(arrivals: Arrival[]): { station: Station; data: Buffer; whole: boolean }[] {
    const out: { station: Station; data: Buffer; whole: boolean }[] = [];
    const parts = new Map<string, { station: Station; data: Buffer[] }>();
    const type = ETHERTYPE[this.#script.family];
    for (const { station, data, whole } of arrivals) {
      if (data.readUInt16BE(12) !== type) continue;
      const body = data.subarray(14);
      const d = dissect(body, this.#script.family);
      const name = station as Station;
      if (d && isOfTheLink(d)) continue;
      if (!d || (d.fragment & 0x3fff) === 0) {
        out.push({ station: name, data: body, whole });
        continue;
      }
      const key = `${station} ${d.id}`;
      const of = parts.get(key) ?? { station: name, data: [] };
      of.data.push(body);
      parts.set(key, of);
    }
    for (const { station, data } of parts.values()) {
      const whole = reassemble(data, this.#script.family);
      if (whole) out.push({ station, data: whole, whole: true });
      else for (const part of data) out.push({ station, data: part, whole: true });
    }
    return out;
  }

  /** Remembers what the ends of the flow have got. */
  #note(flow: Flow, progress: Progress, step: Step, station: Station, data: Buffer): void {
    const d = dissect(data, this.#script.family);
    const receiver = step.from === 'client' ? flow.server : flow.client;
    if (!d || station !== receiver || isError(d)) return;
    if (step.from === 'client') {
      progress.seen = { src: d.src, sport: d.sport, dst: d.dst, dport: d.dport };
      progress.got.server = data;
    } else {
      progress.got.client = data;
    }
  }

  #words(data: Buffer, whole: boolean, progress: Progress, flow: Flow, index: number): string {
    const d = dissect(data, this.#script.family);
    if (!d) return `? ${data.toString('hex')}`;
    const port = (n: number): string => (n === progress.seen?.sport || n === flow.sport ? 'P' : String(n));
    const words = [describe(d, port)];
    words.push(`ttl ${d.ttl}`, `tos ${d.tos}`);
    if (d.family === 4) {
      words.push(d.id === ID + index ? 'id kept' : 'id new', `fragment ${d.fragment & 0x7fff}`);
      if (d.headerLength > 20) words.push(`options ${data.subarray(20, d.headerLength).toString('hex')}`);
      if (d.headerResidue !== 0) words.push('HEADER SUM WRONG');
    } else {
      words.push(d.label === ID + index ? 'id kept' : 'id new', `fragment ${d.fragment}`);
      // refragmentation picks identifications of its own
      const id = d.id === 0 ? '' : d.id.toString(16).padStart(8, '0');
      const extensions = data.subarray(40, d.headerLength).toString('hex').replace(id, '');
      if (extensions !== '') words.push(`extensions ${extensions}`);
    }
    if (whole && d.noSum) words.push('no sum');
    else if (whole && d.residue !== null && d.residue !== 0) words.push('SUM WRONG');
    return words.join(', ');
  }
}

function isError(d: Dissected): boolean {
  return ERROR_TYPES[d.protocol]?.includes(d.segment[0] as number) ?? false;
}

/** About groups and neighbours: not the script's. */
function isOfTheLink(d: Dissected): boolean {
  const type = d.segment[0] as number;
  return d.family === 4 ? d.protocol === IGMP : d.protocol === 58 && type >= 130 && type <= 143;
}

function describe(d: Dissected, port: (n: number) => string): string {
  const s = d.segment;
  const ends = (name: string): string => `${name} ${d.src}:${port(d.sport)} > ${d.dst}:${port(d.dport)}`;
  const payload = (at: number): string => `${s.length - at} bytes ${s.subarray(at, at + 4).toString('hex')}`;
  if ((d.fragment & 0x1fff) !== 0) return `fragment ${d.src} > ${d.dst} of ${d.protocol}, ${payload(0)}`;
  if (d.protocol === 6)
    return `${ends('tcp')} flags ${s[13]} seq ${s.readUInt32BE(4)} ack ${s.readUInt32BE(8)}, ${payload(20)}`;
  if (d.protocol === 17) return `${ends('udp')}, ${payload(8)}`;
  if (isError(d)) {
    const cited = cite(s.subarray(8), d.family, port);
    return `icmp ${d.src} > ${d.dst} type ${s[0]} code ${s[1]} rest ${s.readUInt32BE(4)} about [${cited}]`;
  }
  if (d.protocol === 1 || d.protocol === 58)
    return `icmp ${d.src} > ${d.dst} type ${s[0]} code ${s[1]} id ${port(d.sport)}, ${payload(8)}`;
  return `protocol ${d.protocol} ${d.src} > ${d.dst}, ${payload(0)}`;
}

/** A cited packet is cut short, so its length says more than there is. */
function cite(cited: Buffer, family: 4 | 6, port: (n: number) => string): string {
  const b = Buffer.from(cited);
  if (b.length < (family === 4 ? 28 : 48)) return b.toString('hex');
  if (family === 4) b.writeUInt16BE(Math.min(b.length, b.readUInt16BE(2)), 2);
  else b.writeUInt16BE(Math.min(b.length - 40, b.readUInt16BE(4)), 4);
  const d = dissect(b, family);
  if (!d) return b.toString('hex');
  const own = dissect(cited, family);
  const sum = family === 4 && (own ?? withHeaderOf(cited)).headerResidue !== 0 ? ' HEADER SUM WRONG' : '';
  const echo = d.protocol === 1 || d.protocol === 58;
  const ends = echo
    ? `${d.src} > ${d.dst} id ${port(d.sport)}`
    : `${d.src}:${port(d.sport)} > ${d.dst}:${port(d.dport)}`;
  return `${d.protocol} ${ends} ttl ${d.ttl}${sum}`;
}

/** The residue of the header alone, whose total length lies beyond the citation. */
function withHeaderOf(cited: Buffer): { headerResidue: number } {
  const length = ((cited[0] as number) & 15) * 4;
  let sum = 0;
  for (let i = 0; i < length; i += 2) sum += cited.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return { headerResidue: ~sum & 0xffff };
}
