// SPDX-License-Identifier: Apache-2.0
import type { DataplaneNetworkRow } from '../../cnm/rows.js';
import { device_kind, network_flag } from '../../maps/generated/enums.js';
import type { DeviceValue, KernelMaps, NetworkValue } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops, Stray } from '../ops.js';
import type { Tables } from '../tables.js';
import { NO_ADDRESS, NO_ADDRESS6, same } from './values.js';

/** `networks`, and the bridge's entry in `devices`. */
export class DataplaneNetworkOps implements Ops<DataplaneNetworkRow> {
  readonly #maps: Pick<KernelMaps, 'networks' | 'devices'>;
  readonly #links: LinkTable;
  readonly #tables: Tables;

  constructor(maps: Pick<KernelMaps, 'networks' | 'devices'>, links: LinkTable, tables: Tables) {
    this.#maps = maps;
    this.#links = links;
    this.#tables = tables;
  }

  async update(row: DataplaneNetworkRow, was: readonly DataplaneNetworkRow[]): Promise<void> {
    const ifindex = await this.#links.ifindex(row.link);
    for (const old of was) if (old.link !== row.link) this.#deleteDevice(old);
    this.#maps.networks.set(row.net, this.#network(row, ifindex));
    this.#maps.devices.set(ifindex, device(row));
  }

  delete(row: DataplaneNetworkRow): void {
    this.#deleteDevice(row);
    this.#maps.networks.set(row.net, NO_NETWORK);
  }

  async read(): Promise<Actual<DataplaneNetworkRow>> {
    const networks = new Map<number, NetworkValue>();
    for await (const [net, network] of this.#maps.networks.used()) {
      if (network.ifindex !== 0) networks.set(net, network);
    }
    return {
      holds: (row) => {
        const ifindex = this.#links.byName(row.link)?.ifindex ?? 0;
        const have = networks.get(row.net);
        const bridge = this.#maps.devices.get(ifindex);
        return (
          ifindex !== 0 &&
          have !== undefined &&
          same(have, this.#network(row, ifindex)) &&
          bridge !== undefined &&
          same(bridge, device(row))
        );
      },
      strays: (wanted): Stray[] =>
        [...networks.keys()]
          .filter((net) => !wanted(String(net)))
          .map((net) => ({
            what: `network ${net} of the dataplane`,
            remove: () => this.#maps.networks.set(net, NO_NETWORK),
          })),
    };
  }

  #network(row: DataplaneNetworkRow, ifindex: number): NetworkValue {
    return {
      ifindex,
      flags: flags(row),
      gateway4: row.gateway4 ?? NO_ADDRESS,
      members_end: membersEnd(this.#tables, row.net),
      mac: row.mac,
      gateway6: row.gateway6 ?? NO_ADDRESS6,
    };
  }

  #deleteDevice(row: DataplaneNetworkRow): void {
    const ifindex = this.#links.byName(row.link)?.ifindex ?? this.#maps.networks.get(row.net)?.ifindex ?? 0;
    const device = this.#maps.devices.get(ifindex);
    if (device?.kind === device_kind.DEVICE_BRIDGE && device.id === row.net)
      this.#maps.devices.delete(ifindex);
  }
}

const NO_NETWORK: NetworkValue = {
  ifindex: 0,
  flags: 0,
  gateway4: NO_ADDRESS,
  members_end: 0,
  mac: '00:00:00:00:00:00',
  gateway6: NO_ADDRESS6,
};

function flags({ masquerade, internal, icc, hostAccess }: DataplaneNetworkRow): number {
  return (
    (masquerade ? network_flag.NETWORK_MASQUERADE : 0) |
    (internal ? network_flag.NETWORK_INTERNAL : 0) |
    (icc ? 0 : network_flag.NETWORK_NO_ICC) |
    (hostAccess ? 0 : network_flag.NETWORK_NO_HOST_ACCESS)
  );
}

function device(row: DataplaneNetworkRow): DeviceValue {
  return {
    kind: device_kind.DEVICE_BRIDGE,
    id: row.net,
    flags: 0,
    addr4: NO_ADDRESS,
    mac: row.mac,
    addr6: NO_ADDRESS6,
  };
}

/** One more than the highest place that an endpoint of the network has or will have. */
export function membersEnd(tables: Tables, net: number): number {
  let end = 0;
  for (const row of tables.rows('dp-endpoint')) {
    if (row.net === net && row.member >= end) end = row.member + 1;
  }
  return end;
}
