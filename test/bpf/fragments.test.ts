// SPDX-License-Identifier: Apache-2.0
/** Fragments by test run: which take the detour, and what becomes of those that come back. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ECHO, ETHERTYPE, fragments, frame, packet } from '../support/craft.js';
import {
  CLIENT,
  CLIENT6,
  CONTAINER,
  CONTAINER_MAC,
  CONTAINER6,
  DROP,
  GATEWAY_MAC,
  GATEWAY6,
  HOST,
  HOST6,
  type Name,
  NEXT,
  PASS,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, type Frame, parse } from '../support/frame.js';
import { FuzzBed, PLACES, PROGRAMS } from '../support/fuzzbed.js';

const LOOPBACK = 1;
const FIRST = 0x2000; // MF of IPv4
const LATER = 0x00b9; // an offset
const FIRST6 = 1;
const LATER6 = 185 << 3;
/** config.mark | 1, as reassembly_ingress sets it. */
const IN_ORDER = 0x51c00001;
let d: TestDataplane;

beforeAll(async () => {
  d = await TestDataplane.load();
});
beforeEach(() => d.fill());
afterEach(() => d.reset());
afterAll(() => d.close());

const offer = (): void => d.maps.reassembly.set(0, { ifindex: LOOPBACK, mtu: new Array<number>(16).fill(0) });

const fragment = (f: Partial<Frame>): Buffer =>
  build({
    // the device of test runs is loopback
    ethDst: '00:00:00:00:00:00',
    ethSrc: CONTAINER_MAC,
    src: CLIENT,
    dst: HOST,
    protocol: 'udp',
    sport: 4000,
    dport: 5300,
    fragment: FIRST,
    payload: Buffer.alloc(32, 7),
    ...f,
  });

async function run(name: Name, data: Buffer, mark = 0): Promise<{ verdict: number; data: Buffer }> {
  // struct __sk_buff: len, pkt_type, mark
  const context = Buffer.alloc(192);
  context.writeUInt32LE(mark, 8);
  const { retval, data: out } = await (await d.program(name)).testRun({ data, context, repeat: 1 });
  return { verdict: retval, data: out };
}

const sent = { endpoint: { ethDst: GATEWAY_MAC }, uplink: {} } as const;
const ways = (): Promise<number> => d.maps.fragment_ways.count();

describe('the detour', () => {
  it.each([
    ['from a container', 'endpoint', { src: CONTAINER, dst: CLIENT }, REDIRECT],
    ['from a container, IPv6', 'endpoint', { src: CONTAINER6, dst: CLIENT6, fragment: FIRST6 }, REDIRECT],
    ['a later one', 'endpoint', { src: CONTAINER, dst: CLIENT, fragment: LATER }, REDIRECT],
    ["with another's address", 'endpoint', { src: '10.64.0.9', dst: CLIENT }, DROP],
    ['from outside to the host', 'uplink', {}, REDIRECT],
    ['a later one from outside', 'uplink', { fragment: LATER }, REDIRECT],
    ['from outside, IPv6', 'uplink', { src: CLIENT6, dst: HOST6, fragment: LATER6 }, REDIRECT],
    ['that passes through', 'uplink', { dst: '203.0.113.9' }, NEXT],
    ['with a source of the host', 'uplink', { src: HOST }, NEXT],
    ['with a source of a container', 'uplink', { src: CONTAINER }, NEXT],
    ["to a container's own address", 'uplink', { dst: CONTAINER }, DROP],
    ['at the end of its hops', 'uplink', { ttl: 1 }, NEXT],
  ] as const)('%s', async (_, side, fields, verdict) => {
    offer();
    d.from(side);
    expect((await run(`${side}_ingress`, fragment({ ...sent[side], ...fields }))).verdict).toBe(verdict);
    expect(await ways()).toBe(verdict === REDIRECT ? 1 : 0);
  });

  it('is not taken where there is none', async () => {
    d.from('endpoint');
    expect(
      (await run('endpoint_ingress', fragment({ ...sent.endpoint, src: CONTAINER, dst: CLIENT }))).verdict,
    ).toBe(DROP);
    expect(d.dropped('DROP_FRAGMENT')).toBe(1);
    d.from('uplink');
    expect((await run('uplink_ingress', fragment({}))).verdict).toBe(NEXT);
    expect(await ways()).toBe(0);
  });
});

describe('a hop count that ends here, from a container', () => {
  const sentTo = (f: Partial<Frame>): Promise<{ verdict: number; data: Buffer }> => {
    offer();
    d.from('endpoint');
    return run('endpoint_ingress', fragment({ ...sent.endpoint, ttl: 1, ...f }));
  };
  const v6 = { src: CONTAINER6, dst: CLIENT6 };
  afterEach(async () => expect(await ways()).toBe(0));

  it("is the host's stack to answer, where it forwards", async () => {
    expect((await sentTo({ src: CONTAINER, dst: CLIENT })).verdict).toBe(PASS);
    expect((await sentTo({ src: CONTAINER, dst: CLIENT, fragment: LATER })).verdict).toBe(PASS);
    expect((await sentTo({ ...v6, dst: HOST6, fragment: FIRST6 })).verdict).toBe(PASS);
  });

  it('is answered for IPv6, once for a datagram', async () => {
    const { verdict, data } = await sentTo({ ...v6, fragment: FIRST6 });
    expect(verdict).toBe(REDIRECT);
    expect(parse(data)).toMatchObject({ src: GATEWAY6, dst: CONTAINER6, type: 3, code: 0, sumsOk: true });
    expect((await sentTo({ ...v6, fragment: LATER6 })).verdict).toBe(DROP);
    expect(d.dropped('DROP_TTL')).toBe(2);
  });

  it('is not answered where the fragment is of an error', async () => {
    const error = { protocol: 'icmp', flags: 1, fragment: FIRST6 } as const;
    expect((await sentTo({ ...v6, ...error })).verdict).toBe(DROP);
    expect(d.dropped('DROP_TTL')).toBe(1);
  });
});

describe('the way back', () => {
  it('leads to where a pair of addresses came in, hop count and header restored', async () => {
    offer();
    d.from('uplink');
    const came = fragment({ ttl: 64 });
    await run('uplink_ingress', came);
    const { verdict, data } = await run('reassembly_ingress', fragment({ ttl: 63, ethSrc: GATEWAY_MAC }));
    expect(verdict).toBe(REDIRECT);
    expect(data.equals(came)).toBe(true);
  });

  it('ends for what never came in', async () => {
    expect((await run('reassembly_ingress', fragment({}))).verdict).toBe(DROP);
    expect(d.dropped('DROP_FRAGMENT')).toBe(1);
  });
});

describe.each([
  ['IPv4', CLIENT, HOST, FIRST, LATER, 14 + 20],
  ['IPv6', CLIENT6, HOST6, FIRST6, LATER6, 14 + 40 + 8],
] as const)('in order, %s', (_, src, dst, first, later, header) => {
  beforeEach(() => {
    offer();
    d.from('uplink');
  });

  it('translates the first, and the later ones but for what they carry', async () => {
    const one = await run('uplink_ingress', fragment({ src, dst, fragment: first }), IN_ORDER);
    expect(one.verdict).toBe(REDIRECT);
    expect(one.data.readUInt16BE(header + 2)).toBe(53);
    const second = fragment({ src, dst, fragment: later });
    const two = await run('uplink_ingress', second, IN_ORDER);
    expect(two.verdict).toBe(REDIRECT);
    expect(two.data.subarray(header).equals(second.subarray(header))).toBe(true);
    const addresses = header === 34 ? [26, 34] : [22, 54];
    expect(two.data.subarray(...addresses).equals(one.data.subarray(...addresses))).toBe(true);
    expect(await d.flows()).toBe(2);
  });

  it('leaves one that ends within its ports by its own account to the host', async () => {
    const short = fragment({ src, dst, fragment: first });
    const [length, at] = header === 34 ? [24, 16] : [12, 18];
    short.writeUInt16BE(length, at);
    expect((await run('uplink_ingress', short, IN_ORDER)).verdict).toBe(NEXT);
    expect(await d.flows()).toBe(0);
  });

  it('leaves a later one whose first did not come to the host', async () => {
    expect((await run('uplink_ingress', fragment({ src, dst, fragment: later }), IN_ORDER)).verdict).toBe(
      NEXT,
    );
  });
});

describe.each([4, 6] as const)('of an echo reply, IPv%i', (family) => {
  let bed: FuzzBed;
  beforeEach(async () => {
    bed = await FuzzBed.start();
  });
  afterEach(() => bed.close());

  it('open no flow, the later ones neither', async () => {
    const { container: src, clients } = PLACES[family];
    const [dst = ''] = clients;
    const icmpType = ECHO[family][1];
    const payload = Buffer.alloc(64, 7);
    const whole = packet({ family, src, dst, protocol: 'icmp', icmpType, sport: 77, df: false, payload });
    const runs = fragments(whole, 40, family, 1).map((part) => ({
      program: PROGRAMS.indexOf('endpoint_ingress'),
      ifindex: bed.ifindex('endpoint_ingress'),
      flags: 0,
      mark: IN_ORDER,
      data: frame(GATEWAY_MAC, CONTAINER_MAC, ETHERTYPE[family], part),
    }));
    expect((await bed.runs.run(runs)).map(({ verdict }) => verdict)).toEqual([DROP, DROP]);
    expect(bed.dataplane.dropped('DROP_NOT_A_FLOW')).toBe(2);
    expect(await bed.dataplane.flows()).toBe(0);
  });
});
