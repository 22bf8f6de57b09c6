// SPDX-License-Identifier: Apache-2.0
import type { HostAddressRow } from '../../cnm/rows.js';
import type { KernelMap, KernelMaps } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import { isIpv6 } from './values.js';

/** An address of the host, in `host_addr4` or `host_addr6`. */
export class HostAddressOps implements Ops<HostAddressRow> {
  readonly #maps: Pick<KernelMaps, 'host_addr4' | 'host_addr6'>;
  readonly #links: LinkTable;

  constructor(maps: Pick<KernelMaps, 'host_addr4' | 'host_addr6'>, links: LinkTable) {
    this.#maps = maps;
    this.#links = links;
  }

  async update(row: HostAddressRow): Promise<void> {
    this.#of(row.address).set(row.address, await this.#links.ifindex(row.link));
  }

  delete(row: HostAddressRow): void {
    this.#of(row.address).delete(row.address);
  }

  async read(): Promise<Actual<HostAddressRow>> {
    const have = new Map<string, number>();
    for (const map of [this.#maps.host_addr4, this.#maps.host_addr6])
      for await (const [address, ifindex] of map.entries()) have.set(address, ifindex);
    return {
      holds: (row) =>
        have.has(row.address) && have.get(row.address) === this.#links.byName(row.link)?.ifindex,
      strays: (wanted) =>
        [...have.keys()]
          .filter((address) => !wanted(address))
          .map((address) => ({
            what: `host address ${address}`,
            remove: () => void this.#of(address).delete(address),
          })),
    };
  }

  #of(address: string): KernelMap<string, number> {
    return isIpv6(address) ? this.#maps.host_addr6 : this.#maps.host_addr4;
  }
}
