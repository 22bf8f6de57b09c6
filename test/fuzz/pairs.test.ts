// SPDX-License-Identifier: Apache-2.0
/**
 * After any traffic, with halves lost as an LRU loses them, the two tables hold
 * flows in pairs: each half's partner is there and says the same of the flow,
 * or comes back with that half's next packet, or another's is in its place and
 * that packet opens the flow anew.
 *
 * SLUICE_FUZZ_SEED repeats a run.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flow_flag } from '../../src/maps/generated/enums.js';
import type { Flow4, Flow4Key } from '../../src/maps/generated/types.js';
import { type Craft, ECHO, ETHERTYPE, type Family, frame, type Protocol, packet } from '../support/craft.js';
import { CONTAINER_MAC, GATEWAY_MAC } from '../support/dataplane.js';
import {
  FuzzBed,
  type FuzzedProgram,
  PEER_MAC,
  PLACES,
  PROGRAMS,
  ROUTER_MAC,
  UPLINK_MAC,
} from '../support/fuzzbed.js';
import { sleep } from '../support/process.js';
import { seedOf } from '../support/random.js';

const SEED = seedOf(process.env['SLUICE_FUZZ_SEED']);
const TICK_MS = 1100;
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

/** Flows that open in all ways, and get in each other's way. */
interface Talk {
  protocol: Protocol;
  opens: 'outwards' | 'inwards';
  box: 'container' | 'peer';
  sport: number;
  dport: number;
}
const TALKS: readonly Talk[] = [
  { protocol: 'tcp', opens: 'outwards', box: 'container', sport: 41000, dport: 80 },
  { protocol: 'tcp', opens: 'outwards', box: 'peer', sport: 41000, dport: 80 },
  { protocol: 'udp', opens: 'outwards', box: 'container', sport: 41000, dport: 53 },
  { protocol: 'udp', opens: 'outwards', box: 'peer', sport: 41000, dport: 53 },
  { protocol: 'icmp', opens: 'outwards', box: 'container', sport: 77, dport: 0 },
  { protocol: 'icmp', opens: 'outwards', box: 'peer', sport: 77, dport: 0 },
  { protocol: 'tcp', opens: 'inwards', box: 'container', sport: 42000, dport: 8080 },
  { protocol: 'udp', opens: 'inwards', box: 'container', sport: 42000, dport: 5300 },
  // the same place by another port of the range
  { protocol: 'tcp', opens: 'inwards', box: 'peer', sport: 42000, dport: 9090 },
];

interface Half {
  key: Flow4Key;
  flow: Flow4;
  table: 'flows4' | 'flows4_new' | 'flows6' | 'flows6_new';
}
/** The halves of both families look the same here. */
const TABLES = { 4: ['flows4', 'flows4_new'], 6: ['flows6', 'flows6_new'] } as const;

const text = (k: Flow4Key): string => `${k.protocol} ${k.saddr}:${k.sport} > ${k.daddr}:${k.dport}`;
const partnerKey = ({ key, flow }: Half): Flow4Key => ({
  saddr: flow.daddr,
  daddr: flow.saddr,
  sport: flow.dport,
  dport: flow.sport,
  protocol: key.protocol,
});

let bed: FuzzBed;
let family: Family;

async function dump(): Promise<Map<string, Half>> {
  const halves = new Map<string, Half>();
  for (const table of TABLES[family])
    for await (const [key, flow] of bed.dataplane.maps[table].entries()) {
      expect(halves.has(text(key)), `${text(key)} is in both tables`).toBe(false);
      halves.set(text(key), { key, flow, table });
    }
  return halves;
}

/** Halves whose partner is not there, or by now another's: its port was free to take. */
function orphans(halves: Map<string, Half>): Half[] {
  return [...halves.values()].filter((half) => {
    const partner = halves.get(text(partnerKey(half)));
    return !partner || text(partnerKey(partner)) !== text(half.key);
  });
}

async function send(program: FuzzedProgram, c: Craft): Promise<void> {
  const inwards = program === 'uplink_ingress';
  const ofPeer = c.src === PLACES[family].peer;
  const from = inwards ? ROUTER_MAC : ofPeer ? PEER_MAC : CONTAINER_MAC;
  const data = frame(inwards ? UPLINK_MAC : GATEWAY_MAC, from, ETHERTYPE[family], packet(c));
  const ifindex = bed.ifindex(program, ofPeer ? 'ep2' : 'ep1');
  const [ran] = await bed.runs.run([{ program: PROGRAMS.indexOf(program), ifindex, flags: 0, data }]);
  expect(ran?.errno).toBe(0);
}

/** A packet that the half is there for. */
async function feed({ key, flow }: Half, flags: number): Promise<void> {
  const protocol: Protocol = key.protocol === 6 ? 'tcp' : key.protocol === 17 ? 'udp' : 'icmp';
  const c: Craft = {
    family,
    src: key.saddr,
    dst: key.daddr,
    protocol,
    sport: key.sport,
    dport: key.dport,
    flags,
  };
  if (protocol === 'icmp') {
    const reply = key.dport !== 0;
    Object.assign(c, { icmpType: ECHO[family][reply ? 1 : 0], sport: reply ? key.dport : key.sport });
  }
  await send(flow.flags & flow_flag.FLOW_AT_ENDPOINT ? 'endpoint_ingress' : 'uplink_ingress', c);
}

type Act =
  | { act: 'open'; talk: number; flags: number }
  | { act: 'packet'; half: number; flags: number }
  | { act: 'lose'; half: number }
  | { act: 'tick' };

const flags = fc.constantFrom(SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK);
const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      act: fc.constant('open' as const),
      talk: fc.nat(TALKS.length - 1),
      flags: fc.constantFrom(SYN, SYN, ACK, FIN | ACK),
    }),
  },
  { weight: 30, arbitrary: fc.record({ act: fc.constant('packet' as const), half: fc.nat(40), flags }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant('lose' as const), half: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('tick' as const) }) },
);

async function perform(act: Act): Promise<void> {
  if (act.act === 'tick') return sleep(TICK_MS);
  if (act.act === 'open') {
    const { protocol, opens, box, sport, dport } = TALKS[act.talk] as Talk;
    const { [box]: src, host, clients } = PLACES[family];
    const [dst = ''] = clients;
    const common = { family, protocol, sport, dport, flags: act.flags };
    if (opens === 'outwards') return send('endpoint_ingress', { ...common, src, dst });
    return send('uplink_ingress', { ...common, src: dst, dst: host });
  }
  const halves = [...(await dump()).values()].sort((a, b) => (text(a.key) < text(b.key) ? -1 : 1));
  const half = halves[act.half % Math.max(1, halves.length)];
  if (!half) return;
  if (act.act === 'packet') return feed(half, act.flags);
  // only halves that can be lost: the other table does not evict; and never both
  const partner = halves.find((h) => text(h.key) === text(partnerKey(half)));
  if (half.table === TABLES[family][1] && partner) bed.dataplane.maps[half.table].delete(half.key);
}

async function empty(): Promise<void> {
  for (const { key, table } of (await dump()).values()) bed.dataplane.maps[table].delete(key);
}

let rebuilt = 0;
let proven = 0;

async function paired(): Promise<void> {
  let halves = await dump();
  const lost = orphans(halves);
  if (lost.length > 0) {
    // due once a tick
    await sleep(TICK_MS);
    for (const half of lost) await feed(half, ACK);
    rebuilt += lost.length;
    halves = await dump();
  }
  expect(orphans(halves).map((h) => text(h.key))).toEqual([]);
  for (const half of halves.values()) {
    const partner = halves.get(text(partnerKey(half))) as Half;
    const back = text(partnerKey(partner));
    expect(back, `the partner's partner of ${text(half.key)}`).toBe(text(half.key));
    expect(partner.table, text(half.key)).toBe(half.table);
    expect(partner.flow.state, `the state of ${text(half.key)}`).toBe(half.flow.state);
    expect((partner.flow.flags ^ half.flow.flags) & flow_flag.FLOW_REPLY).toBe(flow_flag.FLOW_REPLY);
    expect((partner.flow.addr_delta + half.flow.addr_delta) % 0xffff, 'sums of addresses').toBe(0);
    expect((partner.flow.port_delta + half.flow.port_delta) % 0xffff, 'sums of ports').toBe(0);
    if (half.table === TABLES[family][0]) proven++;
  }
}

describe.each([4, 6] as const)('of IPv%i', (of) => {
  beforeAll(async () => {
    family = of;
    bed = await FuzzBed.start();
  });
  afterAll(() => bed?.close());

  it('holds flows in pairs, whatever came', { timeout: 120_000 }, async () => {
    const property = fc.asyncProperty(fc.array(acts, { minLength: 20, maxLength: 40 }), async (script) => {
      await empty();
      for (const act of script) await perform(act);
      // whatever the script has left, something is to be rebuilt
      await perform({ act: 'open', talk: 0, flags: SYN });
      const fresh = [...(await dump()).values()].find(({ table }) => table === TABLES[family][1]) as Half;
      bed.dataplane.maps[fresh.table].delete(fresh.key);
      await paired();
    });
    await fc.assert(property, { seed: SEED, numRuns: 4, endOnFailure: true });
    expect(rebuilt, `seed ${SEED}: halves rebuilt`).toBeGreaterThan(0);
  });

  it('holds them in pairs when they have proven themselves, and when they close', async () => {
    await empty();
    proven = 0;
    const tcp = 0;
    await perform({ act: 'open', talk: tcp, flags: SYN });
    const [opened] = [...(await dump()).values()].filter((h) => !(h.flow.flags & flow_flag.FLOW_REPLY));
    const half = opened as Half;
    const reply = (await dump()).get(text(partnerKey(half))) as Half;
    await feed(reply, SYN | ACK);
    await feed(half, ACK);
    await sleep(3 * TICK_MS);
    await feed(half, ACK);
    await paired();
    expect(proven).toBe(2);
    await feed(half, RST);
    proven = 0;
    await paired();
    expect(proven).toBe(0);
  });
});
