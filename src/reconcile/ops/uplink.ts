// SPDX-License-Identifier: Apache-2.0
import type { UplinkRow } from '../../cnm/rows.js';
import { device_flag, device_kind } from '../../maps/generated/enums.js';
import type { DeviceValue, KernelMaps } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';
import { NO_ADDRESS, NO_ADDRESS6, NO_MAC, same } from './values.js';

/** An uplink's entry in `devices`. */
export class UplinkOps implements Ops<UplinkRow> {
  readonly #devices: KernelMaps['devices'];
  readonly #links: LinkTable;
  readonly #tables: Tables;
  /** Where each was entered: a link that is gone cannot tell any more. */
  readonly #entered = new Map<string, number>();

  constructor({ devices }: Pick<KernelMaps, 'devices'>, links: LinkTable, tables: Tables) {
    this.#devices = devices;
    this.#links = links;
    this.#tables = tables;
  }

  async update(row: UplinkRow): Promise<void> {
    const link = await this.#links.need(row.link);
    const before = this.#entered.get(row.link);
    if (before !== undefined && before !== link.ifindex) this.#clear(before);
    this.#entered.set(row.link, link.ifindex);
    this.#devices.set(link.ifindex, device(row, link.mac));
  }

  delete(row: UplinkRow): void {
    const ifindex = this.#entered.get(row.link) ?? this.#links.byName(row.link)?.ifindex;
    this.#entered.delete(row.link);
    if (ifindex === undefined) return;
    // one that was only renamed is not without its entry for a moment
    const name = this.#links.byIndex(ifindex)?.name;
    if (name === undefined || name === row.link || !this.#tables.wants('uplink', name)) this.#clear(ifindex);
  }

  async read(): Promise<Actual<UplinkRow>> {
    const have = new Map<number, DeviceValue>();
    for await (const [ifindex, value] of this.#devices.entries()) {
      if (value.kind === device_kind.DEVICE_UPLINK) have.set(ifindex, value);
    }
    return {
      holds: (row) => {
        const link = this.#links.byName(row.link);
        const own = link && have.get(link.ifindex);
        return own !== undefined && same(own, device(row, link?.mac ?? null));
      },
      strays: () => {
        const wanted = new Set(
          [...this.#tables.rows('uplink')].map((row) => this.#links.byName(row.link)?.ifindex),
        );
        return [...have.keys()]
          .filter((ifindex) => !wanted.has(ifindex))
          .map((ifindex) => ({
            what: `uplink entry of device ${ifindex}`,
            remove: () => this.#clear(ifindex),
          }));
      },
    };
  }

  #clear(ifindex: number): void {
    if (this.#devices.get(ifindex)?.kind === device_kind.DEVICE_UPLINK) this.#devices.delete(ifindex);
  }
}

function device(row: UplinkRow, mac: string | null): DeviceValue {
  return {
    kind: device_kind.DEVICE_UPLINK,
    id: 0,
    flags: row.layer === 'l3' ? device_flag.DEVICE_L3 : 0,
    addr4: row.ipv4 ?? NO_ADDRESS,
    mac: row.layer === 'l3' ? NO_MAC : (mac ?? NO_MAC),
    addr6: row.ipv6 ?? NO_ADDRESS6,
  };
}
