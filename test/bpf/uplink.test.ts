// SPDX-License-Identifier: Apache-2.0
/** uplink_ingress and uplink_egress by test run: packet and maps in; verdict, packet, maps and counters out. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flow_flag, flow_state, hook, outcome } from '../../src/maps/generated/enums.js';
import {
  CLIENT,
  CONTAINER,
  CONTAINER_MAC,
  DROP,
  GATEWAY_MAC,
  HOST,
  NEXT,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, type Frame, parse } from '../support/frame.js';

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

// both ways of writing checksums: by hand where the kernel shows their state, by helpers where not
describe.each([
  ['checksums by hand', 1],
  ['checksums by helpers', 0],
])('uplink, %s', (_, kern_ctx) => {
  let d: TestDataplane;

  beforeEach(async () => {
    d = await TestDataplane.load({ kern_ctx });
    d.fill();
    d.from('uplink');
  });
  afterEach(() => d.close());

  const toHost = (f: Partial<Frame>): Buffer =>
    build({ src: CLIENT, dst: HOST, protocol: 'tcp', sport: 40000, dport: 8080, flags: SYN, ...f });
  const packets = (what: number) => d.outcomes(hook.HOOK_UPLINK_INGRESS, what);

  it.each<[string, Partial<Frame>, { dport: number }]>([
    ['a SYN to a published port', {}, { dport: 80 }],
    ['a datagram to a published port', { protocol: 'udp', dport: 5300 }, { dport: 53 }],
    ['a datagram into a range, with its offset', { protocol: 'udp', dport: 5307 }, { dport: 60 }],
    [
      'a datagram of odd length',
      { protocol: 'udp', dport: 5300, payload: Buffer.from('odd') },
      { dport: 53 },
    ],
    ['IP options', { options: Buffer.from([1, 1, 1, 0]) }, { dport: 80 }],
  ])('translates %s', async (_name, frame, want) => {
    const { verdict, data } = await d.run('uplink_ingress', toHost(frame));
    expect(verdict).toBe(REDIRECT);
    expect(parse(data)).toMatchObject({
      src: CLIENT,
      dst: CONTAINER,
      sport: 40000,
      ...want,
      ttl: 63,
      ethDst: CONTAINER_MAC,
      ethSrc: GATEWAY_MAC,
      sumsOk: true,
    });
    expect(packets(outcome.OUTCOME_TO_ENDPOINT)).toBe(1);
    expect(await d.flows()).toBe(2);
  });

  it('leaves a UDP checksum of zero at zero', async () => {
    const { data } = await d.run('uplink_ingress', toHost({ protocol: 'udp', dport: 5300, noSum: true }));
    expect(parse(data)).toMatchObject({ dst: CONTAINER, sum: 0 });
  });

  it.each<[string, Partial<Frame>]>([
    ['a port that nobody published', { dport: 22 }],
    ['a published port of another protocol', { dport: 5300 }],
    ['a published port at an address that is not the host', { dst: '203.0.113.9' }],
    ['a first packet that opens no connection', { flags: ACK }],
    ['an answer that nobody waits for', { flags: SYN | ACK }],
    ['a reset out of nowhere', { flags: RST }],
    ['another protocol', { protocol: 47 }],
    ['a fragment', { fragment: 0x2000 }],
    ['another ethertype', { etherType: 0x86dd }],
  ])('passes %s untouched', async (_name, frame) => {
    const packet = toHost(frame);
    const { verdict, data } = await d.run('uplink_ingress', packet);
    expect(verdict).toBe(NEXT);
    expect(data.equals(packet)).toBe(true);
    expect(packets(outcome.OUTCOME_PASSED)).toBe(1);
    expect(await d.flows()).toBe(0);
  });

  it.each<[string, Partial<Frame>]>([
    ['a connection', { flags: SYN }],
    ['a datagram', { protocol: 'udp' }],
    ['an echo', { protocol: 'icmp' }],
    ['a fragment', { fragment: 0x2000 }],
    ['another protocol', { protocol: 47 }],
  ])("drops %s to a container's own address", async (_name, frame) => {
    expect((await d.run('uplink_ingress', toHost({ dst: CONTAINER, dport: 80, ...frame }))).verdict).toBe(
      DROP,
    );
    expect(d.dropped('DROP_DIRECT_ROUTING')).toBe(1);
    expect(packets(outcome.OUTCOME_DROPPED)).toBe(1);
  });

  it('drops what would arrive with a hop count of 0, without a flow', async () => {
    expect((await d.run('uplink_ingress', toHost({ ttl: 1 }))).verdict).toBe(DROP);
    expect(d.dropped('DROP_TTL')).toBe(1);
    expect(await d.flows()).toBe(0);
  });

  it('survives being cut off at every byte', async () => {
    const whole = toHost({ protocol: 'udp', dport: 5300, payload: Buffer.alloc(20) });
    // the kernel runs no IPv4 test packet that ends before its 20 bytes of header do
    for (let length = 34; length < whole.length; length++) {
      const { verdict } = await d.run('uplink_ingress', whole.subarray(0, length));
      expect([NEXT, DROP]).toContain(verdict);
    }
    expect(await d.flows()).toBe(0);
  });

  it('follows a connection from SYN to the end, and reopens it', async () => {
    const state = async () => {
      for await (const [, flow] of d.maps.flows4_new.entries())
        if (!(flow.flags & flow_flag.FLOW_REPLY)) return flow.state;
      return undefined;
    };
    const client = (flags: number) => d.run('uplink_ingress', toHost({ flags }));
    const server = async (flags: number) => {
      d.from('endpoint');
      const reply: Frame = {
        ethSrc: CONTAINER_MAC,
        ethDst: GATEWAY_MAC,
        src: CONTAINER,
        dst: CLIENT,
        protocol: 'tcp',
        sport: 80,
        dport: 40000,
        flags,
      };
      const out = await d.run('endpoint_ingress', build(reply));
      d.from('uplink');
      return out;
    };
    await client(SYN);
    expect(await state()).toBe(0);
    const { data } = await server(SYN | ACK);
    expect(parse(data)).toMatchObject({
      src: HOST,
      sport: 8080,
      dst: CLIENT,
      dport: 40000,
      ttl: 63,
      sumsOk: true,
    });
    expect(await state()).toBe(flow_state.FLOW_ANSWERED);
    await client(ACK);
    expect(await state()).toBe(flow_state.FLOW_ANSWERED | flow_state.FLOW_ESTABLISHED);
    // a forged reset costs nothing: the next packet takes it back
    await client(RST);
    expect(((await state()) as number) & flow_state.FLOW_RST).not.toBe(0);
    await client(ACK);
    expect(await state()).toBe(flow_state.FLOW_ANSWERED | flow_state.FLOW_ESTABLISHED);
    await client(FIN | ACK);
    await server(FIN | ACK);
    const closed = (await state()) as number;
    expect(closed & (flow_state.FLOW_FIN_ORIG | flow_state.FLOW_FIN_REPLY)).toBe(
      flow_state.FLOW_FIN_ORIG | flow_state.FLOW_FIN_REPLY,
    );
    await client(SYN);
    expect(await state()).toBe(0);
    expect(await d.flows()).toBe(2);
  });

  it('restores the half that was lost', async () => {
    await d.run('uplink_ingress', toHost({}));
    for await (const [key, flow] of d.maps.flows4_new.entries())
      if (flow.flags & flow_flag.FLOW_REPLY) d.maps.flows4_new.delete(key);
    expect(await d.flows()).toBe(1);
    // maintenance is due once a tick, and here by the change of state
    await d.run('uplink_ingress', toHost({ flags: RST }));
    expect(await d.flows()).toBe(2);
  });

  it('forgets the flow of a container that left', async () => {
    await d.run('uplink_ingress', toHost({ protocol: 'udp', dport: 5300 }));
    const endpoint = d.maps.endpoints.get(1);
    if (!endpoint) throw new Error('no endpoint');
    d.maps.endpoints.set(1, { ...endpoint, generation: 8 });
    expect((await d.run('uplink_ingress', toHost({ protocol: 'udp', dport: 5300 }))).verdict).toBe(DROP);
    expect(d.dropped('DROP_NO_ENDPOINT')).toBe(1);
  });

  it('moves aside a host flow whose reply a container would get', async () => {
    d.maps.flows4_new.set(
      { saddr: CLIENT, daddr: HOST, sport: 53, dport: 5000, protocol: 17 },
      {
        saddr: CLIENT,
        daddr: CONTAINER,
        sport: 53,
        dport: 5000,
        addr_delta: 0,
        port_delta: 0,
        endpoint: 1,
        generation: 7,
        ifindex: 1,
        nexthop: '0.0.0.0',
        mac: '00:00:00:00:00:00',
        action: 1,
        flags: flow_flag.FLOW_REPLY | flow_flag.FLOW_SNAT,
        seen: 0,
        opened: 0,
        publish: 0,
        state: 0,
      },
    );
    const own = build({ src: HOST, dst: CLIENT, protocol: 'udp', sport: 5000, dport: 53 });
    const { verdict, data } = await d.run('uplink_egress', own);
    expect(verdict).toBe(NEXT);
    const moved = parse(data);
    expect(moved).toMatchObject({ src: HOST, dst: CLIENT, dport: 53, ttl: 64, sumsOk: true });
    expect(moved.sport).toBeGreaterThanOrEqual(32768);
    const answer = build({ src: CLIENT, dst: HOST, protocol: 'udp', sport: 53, dport: moved.sport });
    const back = await d.run('uplink_ingress', answer);
    expect(back.verdict).toBe(NEXT);
    expect(parse(back.data)).toMatchObject({ dst: HOST, dport: 5000, sumsOk: true });
  });
});
