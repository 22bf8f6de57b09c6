// SPDX-License-Identifier: Apache-2.0
import type { FdbRow } from '../../cnm/rows.js';
import type { NetlinkApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';
import { ifPresent } from './absent.js';

/** Static forwarding entries of our bridges' ports. */
export class FdbOps implements Ops<FdbRow> {
  readonly #netlink: NetlinkApi;
  readonly #links: LinkTable;
  readonly #tables: Tables;

  constructor(netlink: NetlinkApi, links: LinkTable, tables: Tables) {
    this.#netlink = netlink;
    this.#links = links;
    this.#tables = tables;
  }

  async update(row: FdbRow): Promise<void> {
    await this.#netlink.setFdb(await this.#links.ifindex(row.link), row.mac);
  }

  async delete(row: FdbRow): Promise<void> {
    const link = this.#links.byName(row.link);
    // Entries go with their port.
    if (link !== undefined) await ifPresent(this.#netlink.deleteFdb(link.ifindex, row.mac));
  }

  async read(): Promise<Actual<FdbRow>> {
    const have = (await this.#netlink.fdb()).filter((f) => f.static);
    const present = new Set(have.map((f) => `${f.ifindex} ${f.mac}`));
    return {
      holds: (row) => present.has(`${this.#links.byName(row.link)?.ifindex} ${row.mac}`),
      // A port's own MAC is in the table too, as permanent; only static entries were added by somebody.
      strays: (wanted) => {
        const rows = [...this.#tables.rows('port'), ...this.#tables.rows('lent-port')];
        const ports = new Set(rows.map((row) => row.link));
        return have
          .map((f) => ({ ...f, link: this.#links.byIndex(f.ifindex)?.name ?? '' }))
          .filter((f) => ports.has(f.link) && !wanted(`${f.link}/${f.mac}`))
          .map((f) => ({
            what: `forwarding entry ${f.mac} on ${f.link}`,
            remove: () => ifPresent(this.#netlink.deleteFdb(f.ifindex, f.mac)),
          }));
      },
    };
  }
}
