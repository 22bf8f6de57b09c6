// SPDX-License-Identifier: Apache-2.0
/** uplink_ingress and uplink_egress by test run: packet and maps in; verdict, packet, maps and counters out. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  flow_flag,
  flow_state,
  hook,
  outcome,
  port_table,
  publish_flag,
} from '../../src/maps/generated/enums.js';
import {
  CLIENT,
  CLIENT6,
  CONTAINER,
  CONTAINER_MAC,
  CONTAINER6,
  DROP,
  GATEWAY,
  GATEWAY_MAC,
  GATEWAY6,
  HOST,
  HOST6,
  NEXT,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, type Frame, packet, parse, parsePacket } from '../support/frame.js';

/** Of either family. */
type AnyTable = TestDataplane['maps']['flows4_new'];
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

const FAMILIES = {
  4: { CLIENT, CONTAINER, HOST, GATEWAY, ELSEWHERE: '203.0.113.9' },
  6: { CLIENT: CLIENT6, CONTAINER: CONTAINER6, HOST: HOST6, GATEWAY: GATEWAY6, ELSEWHERE: '2001:db8:9::9' },
} as const;

// both ways of writing checksums: by hand where the kernel shows their state, by helpers where not
describe.each([
  [4, 'checksums by hand', 1],
  [4, 'checksums by helpers', 0],
  [6, 'checksums by hand', 1],
  [6, 'checksums by helpers', 0],
] as const)('uplink, IPv%i, %s', (family, _, kern_ctx) => {
  const { CLIENT, CONTAINER, HOST, ELSEWHERE } = FAMILIES[family];
  const v6 = family === 6;
  let d: TestDataplane;

  beforeAll(async () => {
    d = await TestDataplane.load({ kern_ctx });
  });
  beforeEach(() => {
    d.fill();
    d.from('uplink');
  });
  afterEach(() => d.reset());
  afterAll(() => d.close());

  const toHost = (f: Partial<Frame>): Buffer =>
    build({ src: CLIENT, dst: HOST, protocol: 'tcp', sport: 40000, dport: 8080, flags: SYN, ...f });
  const table = () => (v6 ? d.maps.flows6_new : d.maps.flows4_new) as unknown as AnyTable;
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

  it.each([
    ['an acknowledgement', ACK],
    ['data', ACK | 8],
    ['a FIN', FIN | ACK],
  ])(
    'picks up a connection in its middle through a published port, whose mapping is certain: %s',
    async (_name, flags) => {
      const { verdict, data } = await d.run('uplink_ingress', toHost({ flags }));
      expect(verdict).toBe(REDIRECT);
      expect(parse(data)).toMatchObject({
        src: CLIENT,
        dst: CONTAINER,
        sport: 40000,
        dport: 80,
        sumsOk: true,
      });
      expect(await d.flows()).toBe(2);
    },
  );

  it('picks up nothing for a container that has left: its host refuses', async () => {
    const endpoint = d.maps.endpoints.get(1);
    if (!endpoint) throw new Error('no endpoint');
    d.maps.endpoints.set(1, { ...endpoint, generation: 8 });
    expect((await d.run('uplink_ingress', toHost({ flags: ACK }))).verdict).toBe(NEXT);
    expect(await d.flows()).toBe(0);
  });

  it('leaves a UDP checksum of zero at zero', async () => {
    const { data } = await d.run('uplink_ingress', toHost({ protocol: 'udp', dport: 5300, noSum: true }));
    expect(parse(data)).toMatchObject({ dst: CONTAINER, sum: 0 });
  });

  it.each<[string, Partial<Frame>]>([
    ['a port that nobody published', { dport: 22 }],
    ['a published port of another protocol', { dport: 5300 }],
    ['a published port at an address that is not the host', { dst: ELSEWHERE }],
    ['a packet from the middle of a connection to no published port', { dport: 22, flags: ACK }],
    ['the end of nothing', { flags: RST | ACK }],
    ['an answer that nobody waits for', { flags: SYN | ACK }],
    ['a reset out of nowhere', { flags: RST }],
    ['another protocol', { protocol: 47 }],
    ['a fragment', { fragment: v6 ? 1 : 0x2000 }],
    ['another ethertype', { etherType: 0x0806 }],
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
    ['a fragment', { fragment: v6 ? 1 : 0x2000 }],
    ['another protocol', { protocol: 47 }],
  ])("drops %s to a container's own address", async (_name, frame) => {
    expect((await d.run('uplink_ingress', toHost({ dst: CONTAINER, dport: 80, ...frame }))).verdict).toBe(
      DROP,
    );
    expect(d.dropped('DROP_DIRECT_ROUTING')).toBe(1);
    expect(packets(outcome.OUTCOME_DROPPED)).toBe(1);
  });

  it('says so where a hop count ends, without a flow', async () => {
    const { verdict, data } = await d.run('uplink_ingress', toHost({ ttl: 1 }));
    expect(verdict).toBe(REDIRECT);
    expect(parse(data)).toMatchObject({
      src: HOST,
      dst: CLIENT,
      type: v6 ? 3 : 11,
      code: 0,
      ttl: 64,
      ethDst: '02:00:00:00:00:99',
      sumsOk: true,
    });
    expect(parsePacket(data.subarray(14 + (v6 ? 48 : 28)))).toMatchObject({
      src: CLIENT,
      dst: HOST,
      sport: 40000,
      dport: 8080,
    });
    expect(d.dropped('DROP_TTL')).toBe(1);
    expect(await d.flows()).toBe(0);
  });

  it('rate-limits what it says', async () => {
    const verdicts = [];
    for (let i = 0; i < 600; i++) verdicts.push((await d.run('uplink_ingress', toHost({ ttl: 1 }))).verdict);
    const sent = verdicts.filter((verdict) => verdict === REDIRECT).length;
    // 256 a tick of 1.07 s and CPU
    expect(sent).toBeGreaterThanOrEqual(256);
    expect(verdicts).toContain(DROP);
    expect(d.dropped('DROP_TTL')).toBe(600);
  });

  it.each<[string, string]>([
    ['loopback', v6 ? '::1' : '127.0.0.1'],
    ['nobody', v6 ? '::' : '0.0.0.0'],
    ['a group', v6 ? 'ff02::1' : '224.0.0.1'],
    ['an IPv4 address in disguise, or all', v6 ? '::ffff:198.51.100.7' : '255.255.255.255'],
    ['the host itself', HOST],
    ['a container', CONTAINER],
  ])('drops what claims to come from %s', async (_name, src) => {
    expect((await d.run('uplink_ingress', toHost({ src }))).verdict).toBe(DROP);
    expect(d.dropped('DROP_MARTIAN')).toBe(1);
    expect(await d.flows()).toBe(0);
  });

  it('lets in only whom a limited publish lists', async () => {
    const publish = d.maps.publishes.get(1);
    if (!publish) throw new Error('no publish');
    d.maps.publishes.set(1, { ...publish, flags: publish_flag.PUBLISH_LIMITED });
    expect((await d.run('uplink_ingress', toHost({}))).verdict).toBe(DROP);
    expect(d.dropped('DROP_NOT_ALLOWED')).toBe(1);
    const source = v6 ? '2001:db8:ffff::' : '::ffff:198.51.100.0';
    d.maps.publish_allow.set({ prefix_length: 32 + (v6 ? 48 : 96 + 24), publish: 1, source }, 1);
    expect((await d.run('uplink_ingress', toHost({}))).verdict).toBe(REDIRECT);
    expect((await d.run('uplink_ingress', toHost({ src: ELSEWHERE }))).verdict).toBe(DROP);
  });

  it('translates addresses only for SCTP', async () => {
    const publish = d.maps.publishes.get(1);
    if (!publish) throw new Error('no publish');
    d.maps.publishes.set(4, { ...publish, host_port: 3868, host_port_end: 3868, port: 3868, protocol: 132 });
    const table = port_table.PORT_TABLE_SCTP + (v6 ? port_table.PORT_TABLES_FAMILY : 0);
    d.maps.port_slots.set(table * 65536 + 3868, 4);
    const sctp = toHost({ protocol: 'sctp', dport: 3868, payload: Buffer.from('0100001c', 'hex') });
    const { verdict, data } = await d.run('uplink_ingress', sctp);
    expect(verdict).toBe(REDIRECT);
    expect(parse(data)).toMatchObject({ src: CLIENT, dst: CONTAINER, sport: 40000, dport: 3868, ttl: 63 });
    expect(parse(data).headerOk).toBe(true);
    expect(data.subarray(-16).equals(sctp.subarray(-16))).toBe(true);
  });

  describe('errors about a published flow', () => {
    const ROUTER = v6 ? '2001:db8:5::5' : '203.0.113.5';
    /** What the client got from us, as it is quoted back. */
    const answered = (f: Partial<Frame>): Frame => ({
      src: HOST,
      dst: CLIENT,
      protocol: 'tcp',
      sport: 8080,
      dport: 40000,
      flags: ACK,
      ...f,
    });
    const error = (quote: Frame, length: number, f: Partial<Frame> = {}): Buffer =>
      build({
        src: ROUTER,
        dst: HOST,
        protocol: 'icmp',
        flags: v6 ? 2 : 3,
        code: v6 ? 0 : 4,
        sport: 0,
        dport: 1280,
        payload: packet(quote).subarray(0, length),
        ...f,
      });
    const header = v6 ? 40 : 20;

    it.each<[string, Partial<Frame>, Partial<Frame>, number]>([
      ['TCP, quoted by 8 bytes', {}, {}, header + 8],
      ['TCP, quoted whole', {}, {}, header + 20],
      ['UDP', { protocol: 'udp', dport: 5300 }, { protocol: 'udp', sport: 5300 }, header + 8],
    ])('reach the container, %s', async (_name, first, quoted, length) => {
      await d.run('uplink_ingress', toHost(first));
      const { verdict, data } = await d.run('uplink_ingress', error(answered(quoted), length));
      expect(verdict).toBe(REDIRECT);
      const outer = parse(data);
      expect(outer).toMatchObject({ src: ROUTER, dst: CONTAINER, ttl: 63, dport: 1280, sumsOk: true });
      expect(outer).toMatchObject({ ethDst: CONTAINER_MAC, ethSrc: GATEWAY_MAC });
      const inner = parsePacket(data.subarray(14 + header + 8));
      expect(inner).toMatchObject({
        src: CONTAINER,
        dst: CLIENT,
        sport: first.protocol === 'udp' ? 53 : 80,
        dport: 40000,
        headerOk: true,
      });
      if (length >= header + 20 || first.protocol === 'udp') expect(inner.sumsOk).toBe(true);
    });

    // by lines, by words and by bytes, below and above what is quoted at most
    it.each([0, 1, 2, 3, 35, 36, 37, 38, 64, 99, 520, 521, 522, 900, 1200, 1201, 1400])(
      'are right about a hop count that ends with %i bytes of payload',
      async (length) => {
        const first: Partial<Frame> = {
          protocol: 'udp',
          dport: 5300,
          ttl: 1,
          payload: Buffer.alloc(length, 0xa7),
        };
        const sent = toHost(first);
        const { verdict, data } = await d.run('uplink_ingress', sent);
        expect(verdict).toBe(REDIRECT);
        expect(parse(data)).toMatchObject({ src: HOST, dst: CLIENT, sumsOk: true, headerOk: true });
        const quote = data.subarray(14 + header + 8);
        const most = (v6 ? 1280 : 576) - header - 8;
        expect(quote.equals(sent.subarray(14, 14 + Math.min(sent.length - 14, most)))).toBe(true);
      },
    );

    it('from the client itself come from the client', async () => {
      await d.run('uplink_ingress', toHost({}));
      const { data } = await d.run('uplink_ingress', error(answered({}), header + 8, { src: CLIENT }));
      expect(parse(data)).toMatchObject({ src: CLIENT, dst: CONTAINER, sumsOk: true });
    });

    it.each<[string, Frame, number]>([
      ['no flow of ours', answered({ sport: 22 }), header + 8],
      ['a packet cut off before its ports', answered({}), header + 3],
      ['nothing', answered({}), 0],
      ['another protocol', answered({ protocol: 47 }), header + 8],
    ])("are the host's when they are about %s", async (_name, quote, length) => {
      await d.run('uplink_ingress', toHost({}));
      const whole = error(quote, length);
      const { verdict, data } = await d.run('uplink_ingress', whole);
      expect(verdict).toBe(NEXT);
      expect(data.equals(whole)).toBe(true);
    });

    it('neither refresh nor end it', async () => {
      await d.run('uplink_ingress', toHost({}));
      const halves = async () => {
        const all: Parameters<AnyTable['set']>[] = [];
        for await (const entry of table().entries()) all.push(entry);
        return all;
      };
      // as if nothing had come for a while
      for (const [key, half] of await halves()) table().set(key, { ...half, seen: half.seen - 20 });
      const before = await halves();
      expect(before).toHaveLength(2);
      const hard = { flags: v6 ? 1 : 3, code: v6 ? 4 : 3 };
      for (const kind of [hard, { flags: v6 ? 3 : 11, code: 0 }])
        expect((await d.run('uplink_ingress', error(answered({}), header + 8, kind))).verdict).toBe(REDIRECT);
      expect(await halves()).toEqual(before);
    });

    it('with a wrong checksum keep it, for the container to refuse', async () => {
      await d.run('uplink_ingress', toHost({}));
      const wrong = error(answered({}), header + 8);
      wrong.writeUInt16BE(wrong.readUInt16BE(14 + header + 2) ^ 0x0101, 14 + header + 2);
      const { data } = await d.run('uplink_ingress', wrong);
      expect(parse(data)).toMatchObject({ dst: CONTAINER, sumsOk: false });
    });

    it('of the container go out as the host', async () => {
      await d.run('uplink_ingress', toHost({ protocol: 'udp', dport: 5300 }));
      d.from('endpoint');
      const got: Frame = { src: CLIENT, dst: CONTAINER, protocol: 'udp', sport: 40000, dport: 53 };
      const { verdict, data } = await d.run(
        'endpoint_ingress',
        error(got, header + 8, {
          ethSrc: CONTAINER_MAC,
          ethDst: GATEWAY_MAC,
          src: CONTAINER,
          dst: CLIENT,
          flags: v6 ? 1 : 3,
          code: v6 ? 4 : 3,
        }),
      );
      expect(verdict).toBe(REDIRECT);
      expect(parse(data)).toMatchObject({ src: HOST, dst: CLIENT, ttl: 63, sumsOk: true });
      expect(parsePacket(data.subarray(14 + header + 8))).toMatchObject({
        src: CLIENT,
        dst: HOST,
        sport: 40000,
        dport: 5300,
        sumsOk: true,
      });
    });
  });

  it('survives being cut off at every byte', async () => {
    const whole = toHost({ protocol: 'udp', dport: 5300, payload: Buffer.alloc(20) });
    // the kernel runs no test packet that ends before its IP header does
    for (let length = v6 ? 54 : 34; length < whole.length; length++) {
      const { verdict } = await d.run('uplink_ingress', whole.subarray(0, length));
      expect([NEXT, DROP]).toContain(verdict);
    }
    expect(await d.flows()).toBe(0);
  });

  it('follows a connection from SYN to the end, and reopens it', async () => {
    // it moves to the other table when it is two seconds old, which on a busy machine it may be
    const tables = [table(), (v6 ? d.maps.flows6 : d.maps.flows4) as unknown as AnyTable];
    const state = async () => {
      for (const map of tables)
        for await (const [, flow] of map.entries())
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
    for await (const [key, flow] of table().entries())
      if (flow.flags & flow_flag.FLOW_REPLY) table().delete(key);
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
    table().set(
      { saddr: CLIENT, daddr: HOST, sport: 53, dport: 5000, protocol: 17 },
      {
        saddr: CLIENT,
        daddr: CONTAINER,
        sport: 53,
        dport: 5000,
        mtu: 0,
        addr_delta: 0,
        port_delta: 0,
        endpoint: 1,
        generation: 7,
        ifindex: 1,
        nexthop: v6 ? '::' : '0.0.0.0',
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
