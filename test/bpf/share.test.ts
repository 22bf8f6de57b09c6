// SPDX-License-Identifier: Apache-2.0
/** What one container may take of what all share, and for how long a port rests. */
import { afterEach, describe, expect, it } from 'vitest';
import { flow_action, flow_flag, flow_state } from '../../src/maps/generated/enums.js';
import type { Flow4Key } from '../../src/maps/generated/types.js';
import {
  CLIENT,
  CONTAINER,
  CONTAINER_MAC,
  DROP,
  GATEWAY_MAC,
  HOST,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, parse } from '../support/frame.js';

const SYN = 2;
const PORTS = { snat_port_min: 50000, snat_port_max: 50063 };
const LOOPBACK = 1;
/** lib/clock.h */
const tick = (): number => Number(process.hrtime.bigint() >> 30n);

let d: TestDataplane;
afterEach(() => d.close());

const addressOf = (slot: number): string => `10.64.0.${slot + 1}`;
const macOf = (slot: number): string => (slot === 1 ? CONTAINER_MAC : `02:42:0a:40:00:0${slot + 1}`);

/** Containers in slots 1 to 4 of one network; that in slot 4 publishes 9090→90/tcp. */
async function load(config: Parameters<typeof TestDataplane.load>[0]): Promise<void> {
  d = await TestDataplane.load(config);
  d.fill();
  d.from('endpoint');
  const first = d.maps.endpoints.get(1);
  if (!first) throw new Error('no endpoint');
  for (let slot = 2; slot <= 4; slot++) {
    d.maps.endpoints.set(slot, {
      ...first,
      sandbox: slot,
      addr4: addressOf(slot),
      addr6: '::',
      mac: macOf(slot),
      member: slot,
    });
    d.maps.ep_addr4.set(addressOf(slot), slot);
  }
  d.maps.publishes.set(3, {
    endpoint: 4,
    generation: first.generation,
    addr4: addressOf(4),
    host_port: 9090,
    host_port_end: 9090,
    port: 90,
    protocol: 6,
    flags: 0,
    addr6: '::',
  });
  d.maps.port_slots.set(9090, 3);
}

/** True where it got through, false where it was told that it may not. */
async function open(slot: number, sport: number, flags = SYN): Promise<boolean> {
  const device = d.maps.devices.get(LOOPBACK);
  if (!device) throw new Error('no device');
  d.maps.devices.set(LOOPBACK, { ...device, id: slot });
  const { verdict, data } = await d.run(
    'endpoint_ingress',
    build({
      ethSrc: macOf(slot),
      ethDst: GATEWAY_MAC,
      src: addressOf(slot),
      dst: HOST,
      protocol: 'tcp',
      sport,
      dport: 9090,
      flags,
    }),
  );
  if (verdict === DROP) return false;
  expect(verdict).toBe(REDIRECT);
  const { code, dport } = parse(data);
  expect(code ?? dport).toBe(code === null ? 90 : 13);
  return code === null;
}

async function openMany(slot: number, count: number): Promise<number> {
  let opened = 0;
  for (let i = 0; i < count; i++) if (await open(slot, PORTS.snat_port_min + (i % 64))) opened++;
  return opened;
}

describe('source ports', () => {
  it('leave something for the next container, whoever takes what he can', async () => {
    await load(PORTS);
    expect(await openMany(1, 64)).toBe(48);
    expect(d.dropped('DROP_LIMIT')).toBe(16);
    expect(d.dropped('DROP_NO_PORT')).toBe(0);
    expect(await openMany(2, 20)).toBe(12);
    expect(await open(3, 1000)).toBe(true);
  });

  it('come back with the pass of the collector when flows are gone unseen', async () => {
    await load({ ...PORTS, collect_interval: 1 });
    await (await d.program('collector')).testRun({});
    expect(await openMany(1, 64)).toBe(48);
    expect(await open(1, 1000)).toBe(false);
    await expect.poll(() => d.maps.collector_map.get(0)?.ports, { timeout: 20_000 }).toEqual([48, 48]);
    expect(await open(1, 1000)).toBe(false);
    const keys: Flow4Key[] = [];
    for await (const [key] of d.maps.flows4_new.entries()) keys.push(key);
    d.maps.flows4_new.deleteBatch(keys);
    await expect.poll(() => d.maps.collector_map.get(0)?.ports, { timeout: 20_000 }).toEqual([0, 0]);
    expect(await open(1, 1000)).toBe(true);
  });

  it('of connections that both sides have closed do not count, and go to who finds no other', async () => {
    await load(PORTS);
    const halves: [Flow4Key, { state: number }][] = [];
    expect(await openMany(1, 40)).toBe(40);
    for await (const entry of d.maps.flows4_new.entries()) halves.push(entry);
    // the last 24 are live and of somebody else; the others have closed
    for (const [key, flow] of halves) {
      const port = key.saddr === CONTAINER ? key.sport : key.dport;
      if (port >= PORTS.snat_port_min + 16) continue;
      const closed = flow_state.FLOW_FIN_ORIG | flow_state.FLOW_FIN_REPLY;
      d.maps.flows4_new.set(key, { ...flow, state: closed } as never);
    }
    expect(await openMany(2, 18)).toBeGreaterThanOrEqual(17);
    expect(d.dropped('DROP_NO_PORT')).toBeLessThanOrEqual(1);
  });
});

describe('a UDP port that became free', () => {
  const reply: Flow4Key = { saddr: CLIENT, daddr: HOST, sport: 53, dport: 50001, protocol: 17 };
  const half = (generation: number, seen: number) => ({
    sport: 53,
    dport: 50001,
    addr_delta: 0,
    port_delta: 0,
    endpoint: 1,
    generation,
    ifindex: LOOPBACK,
    mac: '00:00:00:00:00:00',
    action: flow_action.FLOW_TO_ENDPOINT,
    flags: flow_flag.FLOW_REPLY | flow_flag.FLOW_SNAT,
    seen,
    opened: seen,
    publish: 0,
    state: 0,
    mtu: 0,
    saddr: CLIENT,
    daddr: CONTAINER,
    nexthop: CONTAINER,
  });

  it.each([
    ['with its time', 7, 1000],
    ['with its container', 6, 0],
  ])(
    '%s is held back from all while it rests, and a late packet is the host’s',
    async (_, generation, age) => {
      await load({ collect_interval: 1, udp_oneway: 120, port_rest: 3 });
      d.from('uplink');
      for (const table of [d.maps.flows4, d.maps.flows4_new])
        table.set(reply, half(generation, tick() - age));
      const late = build({ src: CLIENT, dst: HOST, protocol: 'udp', sport: 53, dport: 50001 });
      // before the collector has come by, too
      if (generation !== 7) expect((await d.run('uplink_ingress', late)).data.equals(late)).toBe(true);
      await (await d.program('collector')).testRun({});
      const rests = (): number[] =>
        [d.maps.flows4, d.maps.flows4_new].map((t) => (t.get(reply)?.flags ?? 0) & flow_flag.FLOW_RESTS);
      await expect.poll(rests, { timeout: 4000 }).toEqual([flow_flag.FLOW_RESTS, flow_flag.FLOW_RESTS]);
      const { data } = await d.run('uplink_ingress', late);
      expect(data.equals(late)).toBe(true);
      expect(rests()[0]).toBe(flow_flag.FLOW_RESTS);
      await expect.poll(() => d.flows(), { timeout: 20_000 }).toBe(0);
    },
  );

  it('of TCP does not rest', async () => {
    await load({ collect_interval: 1, tcp_transitory: 1, port_rest: 60 });
    d.maps.flows4.set({ ...reply, protocol: 6 }, half(7, tick() - 1000));
    await (await d.program('collector')).testRun({});
    await expect.poll(() => d.flows(), { timeout: 20_000 }).toBe(0);
  });
});

describe('the table of proven flows', () => {
  it('above nine tenths refuses who has more than is left, and near its end everybody', async () => {
    await load({});
    const state = { seed: 1n, half: 0, pad: 0 };
    const at = (proven: number): void => d.maps.share_map.set(0, { ...state, proven: [proven, 0] });
    // 1024 entries
    at(900);
    d.maps.endpoint_load.set(4, { flows: 500, counted: 0, tick: 0, opened: 0 });
    expect(await open(1, 2000)).toBe(true);
    at(930);
    expect(await open(1, 2001)).toBe(false);
    expect(d.dropped('DROP_TABLE_FULL')).toBe(1);
    d.maps.endpoint_load.set(4, { flows: 3, counted: 0, tick: 0, opened: 0 });
    expect(await open(1, 2002)).toBe(true);
    at(1020);
    expect(await open(1, 2003)).toBe(false);
    // what is open goes on
    expect(await open(1, 2000, 16)).toBe(true);
    at(900);
    expect(await open(1, 2003)).toBe(true);
  });
});
