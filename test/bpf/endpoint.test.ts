// SPDX-License-Identifier: Apache-2.0
/** endpoint_ingress by test run. Routes are the kernel's, so masquerade itself is proven in test/net. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hook, outcome } from '../../src/maps/generated/enums.js';
import {
  CLIENT,
  CONTAINER,
  CONTAINER_MAC,
  CONTAINER6,
  DROP,
  GATEWAY,
  GATEWAY_MAC,
  HOST,
  HOST6,
  PASS,
  REDIRECT,
  TestDataplane,
} from '../support/dataplane.js';
import { build, type Frame, parse } from '../support/frame.js';

const PEER = '10.64.0.3';
const PEER_MAC = '02:42:0a:40:00:03';
const SYN = 2;
let d: TestDataplane;

beforeEach(async () => {
  d = await TestDataplane.load();
  d.fill();
  d.from('endpoint');
  publishPeer();
});
afterEach(() => d.close());

function publishPeer(): void {
  // another container of the network, and one of another network
  const more = { addr6: '::', max_flows: 0, max_new_flows: 0 };
  const other = { ifindex: 1, generation: 3, sandbox: 2, gateway_mac: GATEWAY_MAC, member: 2, ...more };
  d.maps.endpoints.set(2, { ...other, net: 1, addr4: PEER, mac: PEER_MAC });
  d.maps.ep_addr4.set(PEER, 2);
  d.maps.ep_mac.set({ net: 1, mac: PEER_MAC }, 2);
  d.maps.publishes.set(3, {
    endpoint: 2,
    generation: 3,
    addr4: PEER,
    host_port: 9090,
    host_port_end: 9090,
    port: 90,
    protocol: 6,
    flags: 0,
    addr6: '::',
  });
  d.maps.port_slots.set(9090, 3);
}

const sent = (f: Partial<Frame>): Buffer =>
  build({
    ethSrc: CONTAINER_MAC,
    ethDst: GATEWAY_MAC,
    src: CONTAINER,
    dst: HOST,
    protocol: 'tcp',
    sport: 40000,
    dport: 9090,
    flags: SYN,
    ...f,
  });

const arp = (sha: string, spa: string, ethSrc = CONTAINER_MAC): Buffer =>
  Buffer.concat([
    Buffer.from('ffffffffffff', 'hex'),
    Buffer.from(ethSrc.replaceAll(':', ''), 'hex'),
    Buffer.from('0806' + '0001080006040001', 'hex'),
    Buffer.from(sha.replaceAll(':', ''), 'hex'),
    Buffer.from(spa.split('.').map(Number)),
    Buffer.from('000000000000', 'hex'),
    Buffer.from(PEER.split('.').map(Number)),
  ]);

describe('who sends', () => {
  it.each<[string, Buffer, 'DROP_SPOOFED_MAC' | 'DROP_SPOOFED_ADDRESS']>([
    ["somebody else's MAC", sent({ ethSrc: PEER_MAC }), 'DROP_SPOOFED_MAC'],
    ["a neighbour's address, routed", sent({ src: PEER }), 'DROP_SPOOFED_ADDRESS'],
    ["a stranger's address, routed", sent({ src: CLIENT }), 'DROP_SPOOFED_ADDRESS'],
    ["the gateway's address, bridged", sent({ src: GATEWAY, ethDst: PEER_MAC }), 'DROP_SPOOFED_ADDRESS'],
    [
      "a neighbour's address, broadcast",
      sent({ src: PEER, ethDst: 'ff:ff:ff:ff:ff:ff' }),
      'DROP_SPOOFED_ADDRESS',
    ],
    ['ARP for another address', arp(CONTAINER_MAC, GATEWAY), 'DROP_SPOOFED_ADDRESS'],
    ['ARP with another MAC', arp(PEER_MAC, CONTAINER), 'DROP_SPOOFED_MAC'],
  ])('drops %s', async (_, packet, reason) => {
    expect((await d.run('endpoint_ingress', packet)).verdict).toBe(DROP);
    expect(d.dropped(reason)).toBe(1);
    expect(d.outcomes(hook.HOOK_ENDPOINT_INGRESS, outcome.OUTCOME_DROPPED)).toBe(1);
  });

  it('takes every address of the same sandbox as its own', async () => {
    const peer = d.maps.endpoints.get(2);
    if (!peer) throw new Error('no peer');
    d.maps.endpoints.set(2, { ...peer, sandbox: 1 });
    expect((await d.run('endpoint_ingress', sent({ src: PEER, dport: 22 }))).verdict).toBe(PASS);
  });

  it.each([
    ['its own ARP request', arp(CONTAINER_MAC, CONTAINER)],
    ['an ARP probe', arp(CONTAINER_MAC, '0.0.0.0')],
  ])('lets %s through', async (_, packet) => {
    expect((await d.run('endpoint_ingress', packet)).verdict).toBe(PASS);
  });

  it('drops IPv6 on a network without it', async () => {
    const endpoint = d.maps.endpoints.get(1);
    if (!endpoint) throw new Error('no endpoint');
    d.maps.endpoints.set(1, { ...endpoint, addr6: '::' });
    d.maps.ep_addr6.delete(CONTAINER6);
    const packet = sent({ src: CONTAINER6, dst: HOST6 });
    expect((await d.run('endpoint_ingress', packet)).verdict).toBe(DROP);
    expect(d.dropped('DROP_NO_IPV6')).toBe(1);
  });
});

describe('where to', () => {
  it('goes straight to a neighbour, untouched', async () => {
    const packet = sent({ ethDst: PEER_MAC, dst: PEER });
    const { verdict, data } = await d.run('endpoint_ingress', packet);
    expect(verdict).toBe(REDIRECT);
    expect(data.equals(packet)).toBe(true);
    expect(await d.flows()).toBe(0);
  });

  it("leaves to the bridge what is nobody's MAC", async () => {
    expect((await d.run('endpoint_ingress', sent({ ethDst: '02:00:00:00:00:77', dst: PEER }))).verdict).toBe(
      PASS,
    );
  });

  it("passes the host's own services", async () => {
    const packet = sent({ dport: 22 });
    const { verdict, data } = await d.run('endpoint_ingress', packet);
    expect(verdict).toBe(PASS);
    expect(data.equals(packet)).toBe(true);
  });

  it('reaches a published port of its own network as the gateway', async () => {
    const { verdict, data } = await d.run('endpoint_ingress', sent({}));
    expect(verdict).toBe(REDIRECT);
    expect(parse(data)).toMatchObject({
      src: GATEWAY,
      dst: PEER,
      dport: 90,
      ethDst: PEER_MAC,
      ttl: 63,
      sumsOk: true,
    });
  });

  it('reaches one of another network as itself', async () => {
    const peer = d.maps.endpoints.get(2);
    if (!peer) throw new Error('no peer');
    d.maps.endpoints.set(2, { ...peer, net: 2 });
    const { data } = await d.run('endpoint_ingress', sent({}));
    expect(parse(data)).toMatchObject({ src: CONTAINER, sport: 40000, dst: PEER, dport: 90, sumsOk: true });
  });

  it.each<[string, Partial<Frame>, 'DROP_FRAGMENT' | 'DROP_UNKNOWN_PROTOCOL']>([
    ['a fragment to the world', { dst: CLIENT, fragment: 0x2000 }, 'DROP_FRAGMENT'],
    ['a protocol without ports', { dst: CLIENT, protocol: 47 }, 'DROP_UNKNOWN_PROTOCOL'],
  ])('drops %s', async (_, frame, reason) => {
    expect((await d.run('endpoint_ingress', sent(frame))).verdict).toBe(DROP);
    expect(d.dropped(reason)).toBe(1);
  });

  it('drops lengths that contradict each other', async () => {
    const packet = sent({});
    packet.writeUInt16BE(2000, 16); // total length
    expect((await d.run('endpoint_ingress', packet)).verdict).toBe(DROP);
    expect(d.dropped('DROP_MALFORMED')).toBe(1);
  });

  it.each<[string, Partial<Frame>]>([
    ['options', { options: Buffer.alloc(6) }],
    ['a fragment header', { fragment: 1 }],
  ])('drops what ends within %s by its own account', async (_, frame) => {
    const packet = sent({ src: CONTAINER6, dst: HOST6, ...frame });
    packet.writeUInt16BE(7, 18); // payload length
    expect((await d.run('endpoint_ingress', packet)).verdict).toBe(DROP);
    expect(d.dropped('DROP_MALFORMED')).toBe(1);
  });

  it('drops everything of a device that is no endpoint any more', async () => {
    d.maps.devices.delete(1);
    expect((await d.run('endpoint_ingress', sent({}))).verdict).toBe(DROP);
    expect(d.dropped('DROP_NO_ENDPOINT')).toBe(1);
  });
});

describe('the port allocator', () => {
  it('gives each of many clashing flows a port of its own, unpredictably', async () => {
    // same source port from the same container to one published port: all but the first clash
    const seen: number[] = [];
    for (let i = 0; i < 200; i++) {
      const host = `192.0.2.${(i % 250) + 2}`;
      d.maps.host_addr4.set(host, 1);
      const { verdict, data } = await d.run('endpoint_ingress', sent({ dst: host }));
      expect(verdict).toBe(REDIRECT);
      seen.push(parse(data).sport);
    }
    expect(new Set(seen).size).toBe(200);
    expect(seen[0]).toBe(40000);
    const steps = seen.slice(1).map((port, i) => port - (seen[i] as number));
    expect(steps.filter((s) => s === 1).length).toBeLessThan(4);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(32768);
  });

  it('says so when no port is left, and counts it', async () => {
    d.close();
    d = await TestDataplane.load({ snat_port_min: 50000, snat_port_max: 50001 });
    d.fill();
    d.from('endpoint');
    publishPeer();
    for (const [i, want] of [90, 90, 90, 13].entries()) {
      const host = `192.0.2.${i + 2}`;
      d.maps.host_addr4.set(host, 1);
      // as if each were of another container: what one may take is less than all
      for await (const [counter] of d.maps.port_use.used()) d.maps.port_use.set(counter, 0);
      const { verdict, data } = await d.run('endpoint_ingress', sent({ dst: host }));
      expect(verdict).toBe(REDIRECT);
      // through, or refused: administratively prohibited
      const { code, dport } = parse(data);
      expect(code ?? dport).toBe(want);
    }
    expect(d.dropped('DROP_NO_PORT')).toBe(1);
    expect(d.maps.snat_tries.getPerCpu(32).reduce((a, b) => a + b, 0n)).toBe(1n);
  });
});

describe('the collector', () => {
  it.each([
    ['as this kernel can', []],
    ['in its timer', ['bpf_wq'] as const],
  ])('starts, runs %s without anybody, and takes what is over', async (_, without) => {
    d.close();
    const config = { collect_interval: 1, udp_oneway: 0, tcp_transitory: 3600 };
    d = await TestDataplane.load(config, 1024, without);
    d.fill();
    d.from('uplink');
    const flow = (f: Partial<Frame>) =>
      build({ src: CLIENT, dst: HOST, protocol: 'udp', sport: 1, dport: 5300, ...f });
    await d.run('uplink_ingress', flow({}));
    await d.run('uplink_ingress', flow({ protocol: 'tcp', dport: 8080, flags: SYN }));
    expect(await d.flows()).toBe(4);
    const { retval } = await (await d.program('collector')).testRun({});
    expect(retval).toBe(0);
    await expect.poll(() => d.flows(), { timeout: 20_000, interval: 200 }).toBe(2);
    const state = d.maps.collector_map.get(0);
    expect(state?.passes).toBeGreaterThan(0n);
    expect(d.maps.flow_events.getPerCpu(1).reduce((sum, v) => sum + v.expired, 0n)).toBe(1n);
    await expect.poll(() => d.maps.collector_map.get(0)?.fresh).toEqual([1, 0, 0, 0]);
  });
});
