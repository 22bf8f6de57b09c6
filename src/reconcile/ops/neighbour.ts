// SPDX-License-Identifier: Apache-2.0
import type { NeighbourRow } from '../../cnm/rows.js';
import type { NetlinkApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';
import { ifPresent } from './absent.js';

/** Permanent neighbour entries: the host never asks by broadcast for a container. */
export class NeighbourOps implements Ops<NeighbourRow> {
  readonly #netlink: NetlinkApi;
  readonly #links: LinkTable;
  readonly #tables: Tables;

  constructor(netlink: NetlinkApi, links: LinkTable, tables: Tables) {
    this.#netlink = netlink;
    this.#links = links;
    this.#tables = tables;
  }

  async update(row: NeighbourRow): Promise<void> {
    await this.#netlink.setNeighbour(await this.#links.ifindex(row.link), row.address, row.mac);
  }

  async delete(row: NeighbourRow): Promise<void> {
    const link = this.#links.byName(row.link);
    // Entries go with their device.
    if (link !== undefined) await ifPresent(this.#netlink.deleteNeighbour(link.ifindex, row.address));
  }

  async read(): Promise<Actual<NeighbourRow>> {
    const have = (await this.#netlink.neighbours()).filter((n) => n.permanent && n.mac !== null);
    const macs = new Map(have.map((n) => [`${n.ifindex} ${n.address}`, n.mac]));
    return {
      holds: (row) => macs.get(`${this.#links.byName(row.link)?.ifindex} ${row.address}`) === row.mac,
      // On our bridges every permanent entry of a unicast address is ours.
      strays: (wanted) => {
        const bridges = new Set([...this.#tables.rows('bridge')].map((row) => row.link));
        return have
          .map((n) => ({ ...n, link: this.#links.byIndex(n.ifindex)?.name ?? '' }))
          .filter((n) => bridges.has(n.link) && !wanted(`${n.link}/${n.address}`))
          .map((n) => ({
            what: `neighbour ${n.address} on ${n.link}`,
            remove: () => ifPresent(this.#netlink.deleteNeighbour(n.ifindex, n.address)),
          }));
      },
    };
  }
}
