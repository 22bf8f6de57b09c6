// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { DataplaneEndpointRow } from '../../cnm/rows.js';
import { device_kind } from '../../maps/generated/enums.js';
import { type Announce, portsOf } from '../announcements.js';
import type { DeviceValue, EndpointValue, KernelMaps } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops, Stray } from '../ops.js';
import type { Tables } from '../tables.js';
import { membersEnd } from './dp-network.js';
import { NO_ADDRESS, NO_ADDRESS6, NO_MAC, same } from './values.js';

type EndpointMaps = Pick<
  KernelMaps,
  'endpoints' | 'ep_mac' | 'ep_addr4' | 'ep_addr6' | 'members' | 'devices' | 'networks'
>;

const FREE: EndpointValue = {
  ifindex: 0,
  generation: 0,
  net: 0,
  sandbox: 0,
  addr4: NO_ADDRESS,
  mac: NO_MAC,
  gateway_mac: NO_MAC,
  member: 0,
  addr6: NO_ADDRESS6,
  max_flows: 0,
  max_new_flows: 0,
};

/**
 * An endpoint's slot and the ways to find it: by MAC, by address, as a member
 * of its network, by device. The slot is written first and cleared last, so
 * that whatever leads to it finds it filled.
 */
export class DataplaneEndpointOps implements Ops<DataplaneEndpointRow> {
  readonly #maps: EndpointMaps;
  readonly #links: LinkTable;
  readonly #tables: Tables;

  readonly #announcements: Announce;

  constructor(
    maps: EndpointMaps,
    { links, tables, announcements }: { links: LinkTable; tables: Tables; announcements: Announce },
  ) {
    this.#maps = maps;
    this.#links = links;
    this.#tables = tables;
    this.#announcements = announcements;
  }

  async update(row: DataplaneEndpointRow, was: readonly DataplaneEndpointRow[]): Promise<void> {
    const link = await this.#links.need(row.link);
    const before = this.#maps.endpoints.get(row.slot);
    for (const old of was) if (!sameKeys(old, row)) this.#unlist(old);
    if (before !== undefined && before.ifindex !== 0 && before.ifindex !== link.ifindex) {
      this.#deleteDevice(before.ifindex, row.slot);
    }
    this.#maps.endpoints.set(row.slot, this.#endpoint(row, link.ifindex));
    this.#maps.ep_mac.set({ net: row.net, mac: row.mac }, row.slot);
    this.#maps.ep_addr4.set(row.ipv4, row.slot);
    if (row.ipv6 !== null) this.#maps.ep_addr6.set(row.ipv6, row.slot);
    this.#maps.members.set({ net: row.net, member: row.member }, row.slot);
    this.#setEnd(row.net);
    this.#maps.devices.set(link.ifindex, device(row, link.mac ?? NO_MAC));
  }

  /** Others of the network may know the address by the MAC of who had it before. */
  async raise(row: DataplaneEndpointRow): Promise<void> {
    const network = this.#tables.row('dp-network', String(row.net));
    const bridge = network && this.#links.byName(network.link);
    if (!network?.icc || bridge === undefined) return;
    await this.#announcements.tell(portsOf(this.#links, bridge, row.link), {
      mac: row.mac,
      addresses: row.ipv6 === null ? [row.ipv4] : [row.ipv4, row.ipv6],
      router: false,
    });
  }

  delete(row: DataplaneEndpointRow): void {
    const have = this.#maps.endpoints.get(row.slot);
    if (have !== undefined && have.ifindex !== 0) this.#deleteDevice(have.ifindex, row.slot);
    this.#unlist(row);
    this.#setEnd(row.net);
    if (have?.generation === row.generation) this.#maps.endpoints.set(row.slot, FREE);
  }

  async read(): Promise<Actual<DataplaneEndpointRow>> {
    const endpoints = new Map<number, EndpointValue>();
    for await (const [slot, endpoint] of this.#maps.endpoints.used()) {
      if (endpoint.generation !== 0) endpoints.set(slot, endpoint);
    }
    const macs = await collect(this.#maps.ep_mac.entries(), macText);
    const addresses = await collect(this.#maps.ep_addr4.entries(), String);
    const addresses6 = await collect(this.#maps.ep_addr6.entries(), String);
    const members = await collect(this.#maps.members.entries(), memberText);
    const devices = await collect(this.#maps.devices.entries(), String);
    return {
      holds: (row) => {
        const link = this.#links.byName(row.link);
        const have = endpoints.get(row.slot);
        const own = devices.get(String(link?.ifindex))?.value;
        if (link === undefined || have === undefined || own === undefined) return false;
        const end = this.#maps.networks.get(row.net)?.members_end ?? 0;
        return (
          same(have, this.#endpoint(row, link.ifindex)) &&
          macs.get(macText(row))?.value === row.slot &&
          addresses.get(row.ipv4)?.value === row.slot &&
          (row.ipv6 === null || addresses6.get(row.ipv6)?.value === row.slot) &&
          members.get(memberText(row))?.value === row.slot &&
          end > row.member &&
          same(own, device(row, link.mac ?? NO_MAC))
        );
      },
      strays: () => {
        const rows = [...this.#tables.rows('dp-endpoint')];
        const ifindexes = new Set(rows.map((row) => String(this.#links.byName(row.link)?.ifindex)));
        return [
          ...unwanted('device', ofEndpoints(devices), ifindexes, (key, { id }) =>
            this.#deleteDevice(key, id),
          ),
          ...unwanted(
            'member',
            members,
            new Set(rows.map(memberText)),
            (key) => void this.#maps.members.delete(key),
          ),
          ...unwanted(
            'address',
            addresses,
            new Set(rows.map((r) => r.ipv4)),
            (key) => void this.#maps.ep_addr4.delete(key),
          ),
          ...unwanted(
            'IPv6 address',
            addresses6,
            new Set(rows.map((r) => r.ipv6 ?? '')),
            (key) => void this.#maps.ep_addr6.delete(key),
          ),
          ...unwanted('MAC', macs, new Set(rows.map(macText)), (key) => void this.#maps.ep_mac.delete(key)),
          ...unwanted(
            'endpoint slot',
            keyed(endpoints),
            new Set(rows.map((row) => String(row.slot))),
            (slot) => this.#maps.endpoints.set(slot, FREE),
          ),
        ];
      },
    };
  }

  #endpoint(row: DataplaneEndpointRow, ifindex: number): EndpointValue {
    const network = this.#tables.row('dp-network', String(row.net));
    if (network === undefined) throw new SluiceError('internal', `the dataplane has no network ${row.net}`);
    return {
      ifindex,
      generation: row.generation,
      net: row.net,
      sandbox: row.sandbox,
      addr4: row.ipv4,
      mac: row.mac,
      gateway_mac: network.mac,
      member: row.member,
      addr6: row.ipv6 ?? NO_ADDRESS6,
      max_flows: row.maxFlows ?? 0,
      max_new_flows: row.newFlowsPerSecond ?? 0,
    };
  }

  /** Takes the row out of the indexes, where they still lead to its slot. */
  #unlist(row: DataplaneEndpointRow): void {
    const { ep_mac, ep_addr4, ep_addr6, members } = this.#maps;
    const member = { net: row.net, member: row.member };
    const mac = { net: row.net, mac: row.mac };
    if (members.get(member) === row.slot) members.delete(member);
    if (ep_addr4.get(row.ipv4) === row.slot) ep_addr4.delete(row.ipv4);
    if (row.ipv6 !== null && ep_addr6.get(row.ipv6) === row.slot) ep_addr6.delete(row.ipv6);
    if (ep_mac.get(mac) === row.slot) ep_mac.delete(mac);
  }

  #setEnd(net: number): void {
    const network = this.#maps.networks.get(net);
    if (network === undefined || network.ifindex === 0) return;
    const end = membersEnd(this.#tables, net);
    if (network.members_end !== end) this.#maps.networks.set(net, { ...network, members_end: end });
  }

  #deleteDevice(ifindex: number, slot: number): void {
    const device = this.#maps.devices.get(ifindex);
    if (device?.kind === device_kind.DEVICE_ENDPOINT && device.id === slot)
      this.#maps.devices.delete(ifindex);
  }
}

/** Both are found by the same MAC, address and place. */
function sameKeys(a: DataplaneEndpointRow, b: DataplaneEndpointRow): boolean {
  return (
    a.net === b.net && a.mac === b.mac && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6 && a.member === b.member
  );
}

interface Pair<K, V> {
  key: K;
  value: V;
}

function device(row: DataplaneEndpointRow, mac: string): DeviceValue {
  return {
    kind: device_kind.DEVICE_ENDPOINT,
    id: row.slot,
    flags: 0,
    addr4: NO_ADDRESS,
    mac,
    addr6: NO_ADDRESS6,
  };
}

function macText({ net, mac }: { net: number; mac: string }): string {
  return `${net} ${mac}`;
}

function memberText({ net, member }: { net: number; member: number }): string {
  return `${net} ${member}`;
}

function ofEndpoints(
  devices: Map<string, Pair<number, DeviceValue>>,
): Map<string, Pair<number, DeviceValue>> {
  return new Map([...devices].filter(([, { value }]) => value.kind === device_kind.DEVICE_ENDPOINT));
}

function keyed<V>(map: ReadonlyMap<number, V>): Map<string, Pair<number, V>> {
  return new Map([...map].map(([key, value]) => [String(key), { key, value }]));
}

async function collect<K, V>(
  entries: AsyncIterable<[K, V]>,
  text: (key: K) => string,
): Promise<Map<string, Pair<K, V>>> {
  const map = new Map<string, Pair<K, V>>();
  for await (const [key, value] of entries) map.set(text(key), { key, value });
  return map;
}

function unwanted<K, V>(
  what: string,
  have: ReadonlyMap<string, Pair<K, V>>,
  wanted: ReadonlySet<string>,
  remove: (key: K, value: V) => void,
): Stray[] {
  return [...have]
    .filter(([text]) => !wanted.has(text))
    .map(([text, { key, value }]) => ({ what: `${what} ${text}`, remove: () => remove(key, value) }));
}
