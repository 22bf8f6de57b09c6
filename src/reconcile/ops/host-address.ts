// SPDX-License-Identifier: Apache-2.0
import type { HostAddressRow } from '../../cnm/rows.js';
import type { KernelMaps } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';

/** An address of the host, in `host_addr4`. */
export class HostAddressOps implements Ops<HostAddressRow> {
  readonly #addresses: KernelMaps['host_addr4'];
  readonly #links: LinkTable;

  constructor({ host_addr4 }: Pick<KernelMaps, 'host_addr4'>, links: LinkTable) {
    this.#addresses = host_addr4;
    this.#links = links;
  }

  async update(row: HostAddressRow): Promise<void> {
    this.#addresses.set(row.address, await this.#links.ifindex(row.link));
  }

  delete(row: HostAddressRow): void {
    this.#addresses.delete(row.address);
  }

  async read(): Promise<Actual<HostAddressRow>> {
    const have = new Map<string, number>();
    for await (const [address, ifindex] of this.#addresses.entries()) have.set(address, ifindex);
    return {
      holds: (row) =>
        have.has(row.address) && have.get(row.address) === this.#links.byName(row.link)?.ifindex,
      strays: (wanted) =>
        [...have.keys()]
          .filter((address) => !wanted(address))
          .map((address) => ({
            what: `host address ${address}`,
            remove: () => void this.#addresses.delete(address),
          })),
    };
  }
}
