// SPDX-License-Identifier: Apache-2.0
/** Services packet by packet, by test run: clients, backends, refusals, what a VIP answers. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  backend_state,
  drop_reason,
  flow_flag,
  network_flag,
  service_flag,
  service_refusal,
} from '../../src/maps/generated/enums.js';
import type { TypedMap } from '../../src/maps/typed.js';
import {
  CLIENT,
  CLIENT6,
  CONTAINER,
  CONTAINER_MAC,
  CONTAINER6,
  DROP,
  GATEWAY_MAC,
  HOST,
  HOST6,
  NEXT,
  PASS,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, checksum, type Frame, parse } from '../support/frame.js';
import { publishService, type TestBackend, type TestService, writeService } from '../support/service.js';

const SYN = 2;
const ACK = 16;
const RST = 4;
const FIN = 1;
const [TCP, UDP] = [6, 17];
const PICKS = 60;
const SERVICE = 9;
/** The backends, in slots 2 and 3; the client is in slot 1. */
const SERVERS = [2, 3];
const FAMILIES = {
  4: {
    vip: '10.64.0.100',
    client: CONTAINER,
    server: (n: number) => `10.64.0.${n + 1}`,
    host: HOST,
    world: CLIENT,
  },
  6: {
    vip: 'fd00:64::100',
    client: CONTAINER6,
    server: (n: number) => `fd00:64::${n + 1}`,
    host: HOST6,
    world: CLIENT6,
  },
} as const;
type Family = keyof typeof FAMILIES;
const macOf = (slot: number): string => `02:42:0a:40:00:0${slot + 1}`;

let d: TestDataplane;
let service: TestService;

beforeAll(async () => {
  d = await TestDataplane.load();
});
afterAll(() => d.close());
function prepare(): void {
  d.fill();
  const first = d.maps.endpoints.get(1);
  if (!first) throw new Error('no endpoint');
  for (const slot of SERVERS) {
    const [addr4, addr6] = [FAMILIES[4].server(slot), FAMILIES[6].server(slot)];
    const mac = macOf(slot);
    d.maps.endpoints.set(slot, { ...first, addr4, addr6, mac, sandbox: slot, member: slot });
    d.maps.ep_addr4.set(addr4, slot);
    d.maps.ep_addr6.set(addr6, slot);
    d.maps.ep_mac.set({ net: 1, mac }, slot);
  }
  service = {
    number: SERVICE,
    net: 1,
    vips: [FAMILIES[4].vip, FAMILIES[6].vip],
    ports: [
      { port: 80, protocol: TCP, to: 8080 },
      { port: 53, protocol: UDP, to: 5353 },
    ],
    backends: SERVERS.map((slot) => ({ id: 10 + slot, endpoint: slot, generation: 7 })),
  };
  writeService(d.maps, service);
  speaker(1);
}
beforeEach(async () => {
  await forget();
  prepare();
});

/** What the test before has left: verifying the programs anew takes longer than it does. */
async function forget(): Promise<void> {
  const { maps } = d;
  for (const table of [maps.flows4, maps.flows4_new]) await empty(table);
  for (const table of [maps.flows6, maps.flows6_new]) await empty(table);
  await empty(maps.service_affinity);
  await empty(maps.publish_allow);
  await empty(maps.services4);
  await empty(maps.services6);
  for (let id = 10; id < 40; id++) {
    maps.service_backends.set(id, { endpoint: 0, generation: 0, service: 0, idle: 0, state: 0 });
    maps.backend_load.set(id, { picks: 0n, flows: 0n, sockets: 0n, active: 0, counted: 0 });
  }
  maps.service_refusals.set(SERVICE, { count: [0n, 0n, 0n] });
  for (const reason of REASONS) droppedBefore.set(reason, d.dropped(reason));
  trafficBefore = traffic();
}

async function empty<K, V>(map: TypedMap<K, V>): Promise<void> {
  for await (const [key] of map.entries()) map.delete(key);
}

/** Which container's veth the packets come in by. */
function speaker(slot: number): void {
  d.from('endpoint');
  const device = d.maps.devices.get(1);
  if (!device) throw new Error('no device');
  d.maps.devices.set(1, { ...device, id: slot });
}

const onlyTo = (...backends: Partial<TestBackend>[]): void =>
  writeService(d.maps, {
    ...service,
    backends: backends.map((b) => ({ id: 12, endpoint: 2, generation: 7, ...b })),
  });

const REASONS = Object.keys(drop_reason).filter((name) =>
  /^DROP_(?!REASONS|NONE)/.test(name),
) as (keyof typeof drop_reason)[];
const droppedBefore = new Map<string, number>();
const dropped = (reason: keyof typeof drop_reason): number =>
  d.dropped(reason) - (droppedBefore.get(reason) ?? 0);
let trafficBefore = 0;
/** Packets of both backends. */
const traffic = (): number =>
  SERVERS.flatMap((slot) => d.maps.backend_traffic.getPerCpu(10 + slot)).reduce(
    (sum, t) => sum + Number(t.packets),
    0,
  );

const asked = (family: Family, f: Partial<Frame> = {}): Buffer =>
  build({
    ethSrc: CONTAINER_MAC,
    ethDst: GATEWAY_MAC,
    src: FAMILIES[family].client,
    dst: FAMILIES[family].vip,
    protocol: 'tcp',
    sport: 40000,
    dport: 80,
    flags: SYN,
    ...f,
  });

/** What a backend in a slot sends to the client, by default straight to it. */
const answered = (family: Family, slot: number, f: Partial<Frame> = {}): Buffer =>
  build({
    ethSrc: macOf(slot),
    ethDst: CONTAINER_MAC,
    src: FAMILIES[family].server(slot),
    dst: FAMILIES[family].client,
    protocol: 'tcp',
    sport: 8080,
    dport: 40000,
    flags: SYN | ACK,
    ...f,
  });

async function send(data: Buffer): Promise<{ verdict: number; got: ReturnType<typeof parse>; data: Buffer }> {
  const out = await d.run('endpoint_ingress', data);
  return { verdict: out.verdict, got: parse(out.data), data: out.data };
}

const refusals = (why: keyof typeof service_refusal): number =>
  Number(d.maps.service_refusals.get(SERVICE)?.count[service_refusal[why]]);

/** TCP's numbers of a frame, from its layer 4 on. */
function tcpOf(frame: Buffer): { seq: number; ack: number; flags: number; length: number } {
  const at = 14 + ((frame[14] as number) >> 4 === 6 ? 40 : 20);
  return {
    seq: frame.readUInt32BE(at + 4),
    ack: frame.readUInt32BE(at + 8),
    flags: frame[at + 13] as number,
    length: frame.length,
  };
}

/** The same frame with TCP's sequence and acknowledgement numbers, its checksum right. */
function numbered(frame: Buffer, seq: number, ack: number): Buffer {
  const v6 = (frame[14] as number) >> 4 === 6;
  const at = 14 + (v6 ? 40 : 20);
  const b = Buffer.from(frame);
  b.writeUInt32BE(seq, at + 4);
  b.writeUInt32BE(ack, at + 8);
  b.writeUInt16BE(0, at + 16);
  const pseudo = Buffer.alloc(4);
  pseudo.writeUInt16BE(6, 0);
  pseudo.writeUInt16BE(b.length - at, 2);
  const addresses = v6 ? b.subarray(22, 54) : b.subarray(26, 34);
  b.writeUInt16BE(checksum(addresses, pseudo, b.subarray(at)), at + 16);
  return b;
}

describe.each([4, 6] as const)('IPv%i', (family) => {
  const { vip, client, server, host, world } = FAMILIES[family];

  describe('a first packet', () => {
    it.each([
      ['tcp', 80, 8080],
      ['udp', 53, 5353],
    ] as const)('of %s goes to a backend, from the client', async (protocol, dport, to) => {
      const { verdict, got } = await send(asked(family, { protocol, dport }));
      expect(verdict).toBe(REDIRECT);
      const slot = SERVERS.find((s) => server(s) === got.dst) as number;
      expect(got).toMatchObject({
        src: client,
        sport: 40000,
        dport: to,
        ttl: 63,
        sumsOk: true,
        ethDst: macOf(slot),
        ethSrc: GATEWAY_MAC,
      });
      expect(d.maps.backend_load.get(10 + slot)).toMatchObject({ picks: 1n, flows: 1n });
      expect(await d.flows()).toBe(2);
    });

    it('goes to each of them, and the next one of its flow to the same', async () => {
      const chosen = new Set<string>();
      for (let sport = 41000; sport < 41000 + PICKS; sport++) {
        const first = await send(asked(family, { sport }));
        const next = await send(asked(family, { sport, flags: ACK }));
        expect(next.got.dst).toBe(first.got.dst);
        chosen.add(first.got.dst);
      }
      expect(chosen.size).toBe(2);
      expect(traffic() - trafficBefore).toBe(2 * PICKS);
    });

    it('is isolated on another network, and where containers do not reach one another', async () => {
      writeService(d.maps, { ...service, net: 2 });
      expect((await send(asked(family))).verdict).toBe(DROP);
      writeService(d.maps, service);
      const net = d.maps.networks.get(1);
      if (!net) throw new Error('no network');
      d.maps.networks.set(1, { ...net, flags: network_flag.NETWORK_NO_ICC });
      expect((await send(asked(family))).verdict).toBe(DROP);
      expect(dropped('DROP_ISOLATED')).toBe(2);
      expect(await d.flows()).toBe(0);
    });

    it('goes through on an internal network', async () => {
      const net = d.maps.networks.get(1);
      if (!net) throw new Error('no network');
      d.maps.networks.set(1, { ...net, flags: network_flag.NETWORK_INTERNAL });
      expect((await send(asked(family))).verdict).toBe(REDIRECT);
    });

    it('whose hop count ends at the gateway is told so', async () => {
      const { verdict, got } = await send(asked(family, { ttl: 1 }));
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({ type: family === 4 ? 11 : 3, code: 0, dst: client, sumsOk: true });
      expect(dropped('DROP_TTL')).toBe(1);
    });

    it('keeps apart two VIPs with one backend and one port of the client', async () => {
      onlyTo({});
      const other = family === 4 ? '10.64.0.101' : 'fd00:64::101';
      writeService(d.maps, {
        ...service,
        number: 10,
        vips: [other],
        backends: [{ id: 30, endpoint: 2, generation: 7 }],
        slots: 8,
      });
      const first = await send(asked(family));
      const second = await send(asked(family, { dst: other }));
      expect(first.got).toMatchObject({ src: client, sport: 40000, dst: server(2) });
      expect(second.got).toMatchObject({ src: client, dst: server(2), sumsOk: true });
      expect(second.got.sport).not.toBe(40000);
      speaker(2);
      const back = await send(answered(family, 2, { dport: second.got.sport }));
      expect(back.got).toMatchObject({ src: other, sport: 80, dport: 40000, sumsOk: true });
    });
  });

  describe('an answer', () => {
    it.each([
      ['tcp', 80, 8080],
      ['udp', 53, 5353],
    ] as const)('of %s sent straight to the client comes from the VIP', async (protocol, dport, sport) => {
      onlyTo({});
      await send(asked(family, { protocol, dport }));
      speaker(2);
      const { verdict, got } = await send(answered(family, 2, { protocol, sport }));
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({
        src: vip,
        sport: dport,
        dst: client,
        dport: 40000,
        ethDst: CONTAINER_MAC,
        ethSrc: GATEWAY_MAC,
        sumsOk: true,
      });
    });

    it('to a connection that was made to its own address stays as it is', async () => {
      speaker(2);
      const frame = answered(family, 2, { dport: 40001 });
      const { verdict, data } = await send(frame);
      expect(verdict).toBe(REDIRECT);
      expect(data.equals(frame)).toBe(true);
    });

    it('to a new connection of one’s own, on the ports of a closed one, stays as it is', async () => {
      onlyTo({});
      await send(asked(family));
      speaker(2);
      await send(answered(family, 2));
      await send(answered(family, 2, { flags: FIN | ACK }));
      speaker(1);
      await send(asked(family, { flags: FIN | ACK }));
      speaker(2);
      const frame = answered(family, 2);
      expect((await send(frame)).data.equals(frame)).toBe(true);
      const next = answered(family, 2, { flags: ACK });
      expect((await send(next)).data.equals(next)).toBe(true);
    });

    it('that is an error about the flow quotes what the client sent', async () => {
      onlyTo({});
      const question = asked(family, { protocol: 'udp', dport: 53, payload: Buffer.from('question') });
      const { data } = await send(question);
      speaker(2);
      const quote = data.subarray(14);
      const error = await send(
        answered(family, 2, {
          protocol: 'icmp',
          flags: family === 4 ? 3 : 1,
          code: family === 4 ? 3 : 4,
          sport: 0,
          dport: 0,
          payload: quote,
        }),
      );
      expect(error.verdict).toBe(REDIRECT);
      expect(error.got).toMatchObject({ src: vip, dst: client, sumsOk: true });
      const inner = error.data.subarray(14 + (family === 4 ? 20 : 40) + 8);
      const sent = question.subarray(14);
      // all but the hop that the quoted packet had left
      const [hop, sum] = family === 4 ? [8, 10] : [7, 7];
      for (const b of [inner, sent]) {
        b[hop] = 0;
        if (family === 4) b.writeUInt16BE(0, sum);
      }
      expect(inner.subarray(0, sent.length).equals(sent)).toBe(true);
    });

    it('of a container that is no backend is not looked at', async () => {
      onlyTo({});
      await send(asked(family));
      d.maps.backend_endpoints.set(2, 0);
      speaker(2);
      const frame = answered(family, 2);
      expect((await send(frame)).data.equals(frame)).toBe(true);
    });
  });

  describe('a container that is its own backend', () => {
    it('is answered through the VIP', async () => {
      onlyTo({ id: 11, endpoint: 1 });
      const { verdict, got } = await send(asked(family));
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({
        src: vip,
        sport: 40000,
        dst: client,
        dport: 8080,
        ethDst: CONTAINER_MAC,
        sumsOk: true,
      });
      const flow = d.maps[family === 4 ? 'flows4_new' : 'flows6_new'].get({
        sport: 40000,
        dport: 80,
        protocol: 6,
        saddr: client,
        daddr: vip,
      });
      expect(flow?.flags).toBe(flow_flag.FLOW_SERVICE | flow_flag.FLOW_AT_ENDPOINT | flow_flag.FLOW_SNAT);
      const back = await send(
        build({
          ethSrc: CONTAINER_MAC,
          ethDst: GATEWAY_MAC,
          src: client,
          dst: vip,
          protocol: 'tcp',
          sport: 8080,
          dport: 40000,
          flags: SYN | ACK,
        }),
      );
      expect(back.verdict).toBe(REDIRECT);
      expect(back.got).toMatchObject({ src: vip, sport: 80, dst: client, dport: 40000, sumsOk: true });
    });
  });

  describe('a backend', () => {
    it('that drains keeps its flows, and gets no new ones', async () => {
      onlyTo({});
      await send(asked(family));
      onlyTo({ state: backend_state.BACKEND_DRAINING }, { id: 13, endpoint: 3 });
      expect((await send(asked(family, { flags: ACK }))).got.dst).toBe(server(2));
      for (let sport = 42000; sport < 42020; sport++)
        expect((await send(asked(family, { sport }))).got.dst).toBe(server(3));
      // a connection that is closed and opened again is a new one
      await send(asked(family, { flags: RST }));
      expect((await send(asked(family))).got.dst).toBe(server(3));
    });

    it.each([
      ['has no state', () => onlyTo({ state: backend_state.BACKEND_NONE }, { id: 13, endpoint: 3 })],
      ['is another container', () => onlyTo({ endpoint: 3 }, { id: 13, endpoint: 3 })],
      [
        'left',
        () => {
          const ep = d.maps.endpoints.get(2);
          if (ep) d.maps.endpoints.set(2, { ...ep, generation: 8 });
          onlyTo({ id: 13, endpoint: 3 });
        },
      ],
    ])('that %s loses its flows: UDP goes to another one, TCP is reset', async (_name, end) => {
      onlyTo({});
      const udp = { protocol: 'udp', dport: 53 } as const;
      expect((await send(asked(family, udp))).got.dst).toBe(server(2));
      expect((await send(asked(family))).got.dst).toBe(server(2));
      end();
      expect((await send(asked(family, udp))).got).toMatchObject({ dst: server(3), sumsOk: true });
      const reset = await send(numbered(asked(family, { flags: ACK }), 1000, 2000));
      expect(reset.verdict).toBe(REDIRECT);
      expect(reset.got).toMatchObject({ src: vip, sport: 80, dst: client, dport: 40000, sumsOk: true });
      expect(tcpOf(reset.data)).toMatchObject({ flags: RST, seq: 2000, ack: 0 });
      expect((await send(asked(family))).got.dst).toBe(server(3));
    });

    it.each([
      ['has no state', () => onlyTo({ state: backend_state.BACKEND_NONE })],
      ['has left its row to another', () => onlyTo({ endpoint: 3 })],
      [
        'has left no row',
        () => {
          onlyTo();
          d.maps.service_backends.set(12, { endpoint: 0, generation: 0, service: 0, idle: 0, state: 0 });
        },
      ],
    ])('that %s is heard over TCP until its client is told', async (_name, end) => {
      onlyTo({});
      await send(asked(family));
      speaker(2);
      await send(answered(family, 2));
      end();
      const data = await send(answered(family, 2, { flags: ACK, payload: Buffer.from('late') }));
      expect(data.got).toMatchObject({ src: vip, sport: 80, dst: client, dport: 40000, sumsOk: true });
      speaker(1);
      const told = await send(numbered(asked(family, { flags: ACK }), 1000, 2000));
      expect(tcpOf(told.data)).toMatchObject({ flags: RST, seq: 2000 });
      speaker(2);
      const frame = answered(family, 2, { flags: ACK });
      expect((await send(frame)).data.equals(frame)).toBe(true);
    });

    it.each([
      ['dead does not answer with datagrams', 'udp', () => onlyTo({ state: backend_state.BACKEND_NONE })],
      [
        'gone has no heir',
        'tcp',
        () => {
          const ep = d.maps.endpoints.get(2);
          if (ep) d.maps.endpoints.set(2, { ...ep, generation: 8 });
          onlyTo();
        },
      ],
    ] as const)('that is %s in the VIP’s name', async (_name, protocol, end) => {
      onlyTo({});
      const ports = protocol === 'udp' ? { dport: 53 } : {};
      await send(asked(family, { protocol, ...ports }));
      speaker(2);
      const frame = answered(family, 2, { protocol, flags: ACK, ...(protocol === 'udp' && { sport: 5353 }) });
      expect((await send(frame)).got.src).toBe(vip);
      end();
      expect((await send(frame)).data.equals(frame)).toBe(true);
    });
  });

  describe('a refusal', () => {
    it.each([
      ['SYN', SYN, 0xfffffff0, 5, '', { flags: RST | ACK, seq: 0, ack: 0xfffffff1 }],
      ['SYN with data', SYN, 0xfffffff0, 5, 'x'.repeat(32), { flags: RST | ACK, seq: 0, ack: 0x11 }],
      ['FIN', FIN, 7, 5, 'abc', { flags: RST | ACK, seq: 0, ack: 11 }],
      ['ACK', ACK, 7, 77, 'abc', { flags: RST, seq: 77, ack: 0 }],
    ])('of a %s is an RST as RFC 9293 has it', async (_name, flags, seq, ack, payload, expected) => {
      onlyTo();
      const frame = numbered(asked(family, { flags, payload: Buffer.from(payload) }), seq, ack);
      const { verdict, got, data } = await send(frame);
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({
        src: vip,
        sport: 80,
        dst: client,
        dport: 40000,
        ttl: 64,
        sumsOk: true,
        ethDst: CONTAINER_MAC,
        ethSrc: GATEWAY_MAC,
        payload: '',
      });
      expect(tcpOf(data)).toEqual({ ...expected, length: 14 + (family === 4 ? 40 : 60) });
      const { src, dst } = got;
      const bare = build({
        ethSrc: GATEWAY_MAC,
        ethDst: CONTAINER_MAC,
        src,
        dst,
        protocol: 'tcp',
        sport: 80,
        dport: 40000,
        flags: expected.flags,
      });
      const whole = numbered(bare, expected.seq, expected.ack);
      whole.writeUInt16BE(0, tcpWindowAt());
      if (family === 4) whole.writeUInt16BE(0, 18);
      // what the frame builder has and an RST has not: window 0 and identification 0 are the same
      const compare = Buffer.from(data);
      if (family === 4) {
        compare.writeUInt16BE(0, 24);
        whole.writeUInt16BE(0, 24);
      }
      expect(compare.toString('hex')).toBe(whole.toString('hex'));
    });

    const tcpWindowAt = (): number => 14 + (family === 4 ? 20 : 40) + 14;

    it('is never the answer of an RST', async () => {
      onlyTo();
      expect((await send(asked(family, { flags: RST }))).verdict).toBe(DROP);
      expect((await send(asked(family, { flags: RST | ACK }))).verdict).toBe(DROP);
    });

    it('of a datagram is "port unreachable", from the VIP, quoting it', async () => {
      onlyTo();
      const frame = asked(family, { protocol: 'udp', dport: 53, payload: Buffer.from('question') });
      const { verdict, got, data } = await send(frame);
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({
        src: vip,
        dst: client,
        type: family === 4 ? 3 : 1,
        code: family === 4 ? 3 : 4,
        sumsOk: true,
      });
      expect(data.subarray(14 + (family === 4 ? 20 : 40) + 8).equals(frame.subarray(14))).toBe(true);
      expect(dropped('DROP_NO_BACKEND')).toBe(1);
      expect(refusals('SERVICE_REFUSED_NO_BACKEND')).toBe(1);
    });

    it('is due for a port that the VIP does not have', async () => {
      const { got, data } = await send(asked(family, { dport: 81 }));
      expect(got).toMatchObject({ src: vip, sport: 81, sumsOk: true });
      expect(tcpOf(data).flags).toBe(RST | ACK);
      expect((await send(asked(family, { protocol: 'udp', dport: 80 }))).got.type).toBe(family === 4 ? 3 : 1);
      expect(dropped('DROP_NO_SERVICE')).toBe(2);
      expect(refusals('SERVICE_REFUSED_PORT')).toBe(2);
    });

    it('is silent for a source that the service does not list', async () => {
      writeService(d.maps, { ...service, flags: service_flag.SERVICE_LIMITED });
      expect((await send(asked(family))).verdict).toBe(DROP);
      expect(dropped('DROP_NOT_ALLOWED')).toBe(1);
      expect(refusals('SERVICE_REFUSED_SOURCE')).toBe(1);
      const source = family === 4 ? `::ffff:${client}` : client;
      d.maps.publish_allow.set({ prefix_length: 32 + 128, publish: 0x80000000 + SERVICE, source }, 1);
      expect((await send(asked(family))).verdict).toBe(REDIRECT);
    });
  });

  describe('a VIP', () => {
    it('answers an echo request', async () => {
      const payload = Buffer.from('abcdefgh');
      const { verdict, got } = await send(
        asked(family, {
          protocol: 'icmp',
          flags: family === 4 ? 8 : 128,
          sport: 77,
          dport: 5,
          payload,
          ttl: 1,
        }),
      );
      expect(verdict).toBe(REDIRECT);
      expect(got).toMatchObject({
        src: vip,
        dst: client,
        type: family === 4 ? 0 : 129,
        sport: 77,
        dport: 5,
        ttl: 64,
        sumsOk: true,
        payload: payload.toString('hex'),
        ethDst: CONTAINER_MAC,
        ethSrc: GATEWAY_MAC,
      });
      expect(await d.flows()).toBe(0);
    });

    it('takes no echo reply', async () => {
      const reply = asked(family, { protocol: 'icmp', flags: family === 4 ? 0 : 129, sport: 77 });
      expect((await send(reply)).verdict).toBe(DROP);
    });
  });

  describe('a published port', () => {
    beforeEach(() => {
      publishService(d.maps, 40, 9000, {
        vip: FAMILIES[4].vip,
        vip6: FAMILIES[6].vip,
        port: 80,
        protocol: TCP,
      });
      publishService(d.maps, 41, 9053, {
        vip: FAMILIES[4].vip,
        vip6: FAMILIES[6].vip,
        port: 53,
        protocol: UDP,
      });
    });
    const fromWorld = async (f: Partial<Frame> = {}) => {
      d.from('uplink');
      const out = await d.run(
        'uplink_ingress',
        build({ src: world, dst: host, protocol: 'tcp', sport: 50000, dport: 9000, flags: SYN, ...f }),
      );
      return { verdict: out.verdict, got: parse(out.data), data: out.data };
    };

    it('leads the world to a backend, which sees the client', async () => {
      const chosen = new Set<string>();
      for (let sport = 50000; sport < 50000 + PICKS; sport++) {
        const { verdict, got } = await fromWorld({ sport });
        expect(verdict).toBe(REDIRECT);
        expect(got).toMatchObject({ src: world, sport, dport: 8080, sumsOk: true });
        chosen.add(got.dst);
        expect((await fromWorld({ sport, flags: ACK })).got.dst).toBe(got.dst);
      }
      expect(chosen.size).toBe(2);
    });

    it('refuses the world where no backend is, in the host’s name', async () => {
      onlyTo();
      const reset = await fromWorld();
      expect(reset.verdict).toBe(REDIRECT);
      expect(reset.got).toMatchObject({ src: host, sport: 9000, dst: world, dport: 50000, sumsOk: true });
      expect(tcpOf(reset.data).flags).toBe(RST | ACK);
      const unreachable = await fromWorld({ protocol: 'udp', dport: 9053 });
      expect(unreachable.got).toMatchObject({
        src: host,
        dst: world,
        type: family === 4 ? 3 : 1,
        sumsOk: true,
      });
      expect(dropped('DROP_NO_BACKEND')).toBe(2);
    });

    it('leaves flows of a dead backend to another one, or to the host’s stack', async () => {
      onlyTo({});
      await fromWorld();
      await fromWorld({ protocol: 'udp', dport: 9053 });
      onlyTo({ state: backend_state.BACKEND_NONE }, { id: 13, endpoint: 3 });
      expect((await fromWorld({ flags: ACK })).verdict).toBe(NEXT);
      expect((await fromWorld({ protocol: 'udp', dport: 9053 })).got.dst).toBe(server(3));
    });

    it('keeps the address of a container of the same network, which is answered past the gateway', async () => {
      onlyTo({});
      const { got } = await send(asked(family, { dst: host, dport: 9000 }));
      expect(got).toMatchObject({ src: client, sport: 40000, dst: server(2), dport: 8080, sumsOk: true });
      speaker(2);
      const back = await send(answered(family, 2));
      expect(back.got).toMatchObject({ src: host, sport: 9000, dst: client, dport: 40000, sumsOk: true });
    });

    it('shows the VIP to a backend that is the client, or that cannot reach it', async () => {
      onlyTo({ id: 11, endpoint: 1 });
      expect((await send(asked(family, { dst: host, dport: 9000 }))).got).toMatchObject({
        src: vip,
        dst: client,
        dport: 8080,
        sumsOk: true,
      });
      const net = d.maps.networks.get(1);
      if (!net) throw new Error('no network');
      d.maps.networks.set(1, { ...net, flags: network_flag.NETWORK_NO_ICC });
      onlyTo({});
      expect((await send(asked(family, { sport: 40001, dst: host, dport: 9000 }))).got).toMatchObject({
        src: vip,
        dst: server(2),
        dport: 8080,
        sumsOk: true,
      });
    });

    it('refuses a container where no backend is, in the host’s name', async () => {
      onlyTo();
      const { got, data } = await send(asked(family, { dst: host, dport: 9000 }));
      expect(got).toMatchObject({ src: host, sport: 9000, dst: client, sumsOk: true });
      expect(tcpOf(data).flags).toBe(RST | ACK);
    });

    it('keeps a client outside with its backend by its address', async () => {
      writeService(d.maps, { ...service, affinity: 600 });
      const chosen = new Set<string>();
      for (let sport = 50000; sport < 50030; sport++) chosen.add((await fromWorld({ sport })).got.dst);
      expect(chosen.size).toBe(1);
      const key = { service: SERVICE, endpoint: 0, client: family === 4 ? `::ffff:${world}` : world };
      expect(d.maps.service_affinity.get(key)).toBeDefined();
    });
  });
});

describe('who asks for the MAC of a VIP', () => {
  const { vip, client } = FAMILIES[4];
  const octets = (ip: string): Buffer => Buffer.from(ip.split('.').map(Number));
  const hex = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
  const arp = (target: string, { to = 'ff:ff:ff:ff:ff:ff', sender = client as string } = {}): Buffer =>
    Buffer.concat([
      hex(to),
      hex(CONTAINER_MAC),
      Buffer.from('08060001080006040001', 'hex'),
      hex(CONTAINER_MAC),
      octets(sender),
      Buffer.alloc(6),
      octets(target),
    ]);

  it.each([
    ['by broadcast', {}],
    ['again, from the bridge', { to: GATEWAY_MAC }],
    ['as a probe', { sender: '0.0.0.0' }],
  ])('%s is told the bridge’s', async (_name, how) => {
    const { verdict, data } = await d.run('endpoint_ingress', arp(vip, how));
    expect(verdict).toBe(REDIRECT);
    const expected = Buffer.concat([
      hex(CONTAINER_MAC),
      hex(GATEWAY_MAC),
      Buffer.from('08060001080006040002', 'hex'),
      hex(GATEWAY_MAC),
      octets(vip),
      hex(CONTAINER_MAC),
      octets('sender' in how ? (how.sender as string) : client),
    ]);
    expect(data.toString('hex')).toBe(expected.toString('hex'));
  });

  it('of another network, or of another address, is not answered', async () => {
    writeService(d.maps, { ...service, net: 2 });
    expect((await d.run('endpoint_ingress', arp(vip))).verdict).toBe(PASS);
    expect((await d.run('endpoint_ingress', arp('10.64.0.77'))).verdict).toBe(PASS);
  });

  const solicitation = (target: Buffer, f: Partial<Frame>, option = true): Buffer =>
    build({
      ethSrc: CONTAINER_MAC,
      ethDst: '33:33:ff:00:01:00',
      src: CONTAINER6,
      dst: 'ff02::1:ff00:100',
      protocol: 'icmp',
      flags: 135,
      ttl: 255,
      sport: 0,
      dport: 0,
      payload: Buffer.concat([
        target,
        option ? Buffer.concat([Buffer.from([1, 1]), hex(CONTAINER_MAC)]) : Buffer.alloc(0),
      ]),
      ...f,
    });
  const VIP6 = Buffer.from('fd000064000000000000000000000100', 'hex');

  it.each([
    ['by multicast', {}, true, CONTAINER_MAC, CONTAINER6, 0x60],
    [
      'again, from the bridge',
      { ethDst: GATEWAY_MAC, dst: FAMILIES[6].vip },
      false,
      CONTAINER_MAC,
      CONTAINER6,
      0x60,
    ],
    ['to take it', { src: '::' }, false, '33:33:00:00:00:01', 'ff02::1', 0x20],
  ])('in IPv6, %s, is told the bridge’s', async (_name, f, option, ethDst, dst, flags) => {
    const { verdict, data } = await d.run('endpoint_ingress', solicitation(VIP6, f, option));
    expect(verdict).toBe(REDIRECT);
    expect(data).toHaveLength(86);
    expect(parse(data)).toMatchObject({
      ethDst,
      ethSrc: GATEWAY_MAC,
      src: FAMILIES[6].vip,
      dst,
      type: 136,
      code: 0,
      ttl: 255,
      sumsOk: true,
    });
    expect(data[14 + 40 + 4]).toBe(flags);
    expect(data.subarray(14 + 40 + 8).toString('hex')).toBe(
      Buffer.concat([VIP6, Buffer.from([2, 1]), hex(GATEWAY_MAC)]).toString('hex'),
    );
  });

  it('in IPv6 but not from this link, or another address, is not answered', async () => {
    expect((await d.run('endpoint_ingress', solicitation(VIP6, { ttl: 254 }))).verdict).toBe(PASS);
    const other = Buffer.from(VIP6);
    other[15] = 1;
    expect((await d.run('endpoint_ingress', solicitation(other, {}))).verdict).toBe(PASS);
  });
});

it.each([4, 6] as const)('limits its refusals in their rate, in IPv%i', async (family) => {
  const shared = d;
  d = await TestDataplane.load();
  try {
    prepare();
    onlyTo();
    let sent = 0;
    for (let sport = 1; sport <= 2_000; sport++)
      if ((await send(asked(family, { sport }))).verdict === REDIRECT) sent++;
    expect(sent).toBeGreaterThanOrEqual(256);
    expect(sent).toBeLessThan(2_000);
    expect(d.dropped('DROP_NO_BACKEND')).toBe(2_000);
  } finally {
    d.close();
    d = shared;
  }
});

describe('the collector', () => {
  let shared: TestDataplane;
  const udp = { protocol: 'udp', dport: 53 } as const;

  beforeEach(async () => {
    shared = d;
    d = await TestDataplane.load({ collect_interval: 1 });
    prepare();
  });
  afterEach(() => {
    d.close();
    d = shared;
  });

  /** UDP flows from so many ports, answered, with the one backend there is. */
  async function established(count: number): Promise<void> {
    for (const family of [4, 6] as const)
      for (let sport = 1000; sport < 1000 + count; sport++) {
        speaker(1);
        await send(asked(family, { ...udp, sport }));
        speaker(2);
        await send(answered(family, 2, { protocol: 'udp', sport: 5353, dport: sport }));
      }
    expect(await d.flows()).toBe(4 * count);
  }
  const run = async (): Promise<void> => {
    await (await d.program('collector')).testRun({});
  };
  const active = (): number | undefined => d.maps.backend_load.get(12)?.active;
  /** A pass that began after now. */
  const collected = async (): Promise<void> => {
    const passes = (): bigint => d.maps.collector_map.get(0)?.passes ?? 0n;
    const before = passes();
    await expect.poll(passes, { timeout: 20_000 }).toBeGreaterThan(before + 1n);
  };

  it('counts the flows of a backend, and ends them when it is gone', async () => {
    onlyTo({});
    await established(5);
    await run();
    await expect.poll(active, { timeout: 20_000 }).toBe(10);
    onlyTo({ state: backend_state.BACKEND_DRAINING });
    await collected();
    expect(active()).toBe(10);
    onlyTo({ state: backend_state.BACKEND_NONE });
    await expect.poll(() => d.flows(), { timeout: 20_000 }).toBe(0);
    await expect.poll(active, { timeout: 20_000 }).toBe(0);
  });

  it.each([4, 6] as const)('keeps an IPv%i connection for its backend’s last word', async (family) => {
    const { vip, client } = FAMILIES[family];
    onlyTo({});
    speaker(1);
    await send(asked(family));
    onlyTo({ state: backend_state.BACKEND_NONE });
    await run();
    await collected();
    expect(active()).toBe(0);
    speaker(2);
    const { got } = await send(answered(family, 2, { flags: ACK }));
    expect(got).toMatchObject({ src: vip, sport: 80, dst: client, dport: 40000, sumsOk: true });
  });

  it('ends established flows when they were idle for as long as the backend says', async () => {
    onlyTo({ idle: 3600 });
    await established(3);
    await run();
    await expect.poll(active, { timeout: 20_000 }).toBe(6);
    onlyTo({ idle: 1 });
    await expect.poll(() => d.flows(), { timeout: 20_000 }).toBe(0);
  });
});

it.each([4, 6] as const)(
  'sums right where the kernel does not show how a checksum stands, in IPv%i',
  async (family) => {
    const shared = d;
    d = await TestDataplane.load({ kern_ctx: 0 });
    try {
      prepare();
      const { host, world } = FAMILIES[family];
      publishService(d.maps, 40, 9000, {
        vip: FAMILIES[4].vip,
        vip6: FAMILIES[6].vip,
        port: 80,
        protocol: TCP,
      });
      d.from('uplink');
      const syn = build({ src: world, dst: host, protocol: 'tcp', sport: 50000, dport: 9000, flags: SYN });
      onlyTo();
      const refused = await d.run('uplink_ingress', syn);
      expect(refused.verdict).toBe(REDIRECT);
      expect(parse(refused.data)).toMatchObject({ src: host, sport: 9000, dst: world, sumsOk: true });
      onlyTo({});
      const served = await d.run('uplink_ingress', syn);
      expect(parse(served.data)).toMatchObject({ src: world, dport: 8080, sumsOk: true });
    } finally {
      d.close();
      d = shared;
    }
  },
);
