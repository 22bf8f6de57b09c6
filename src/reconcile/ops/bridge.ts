// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { BridgeRow } from '../../cnm/rows.js';
import type { Identity } from '../identity.js';
import type { NetlinkApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import { changeAddresses, configured } from './addresses.js';

export interface BridgeOptions {
  netlink: NetlinkApi;
  links: LinkTable;
  identity: Identity;
  /** Lowest MTU of the uplinks, for rows that leave it open. */
  mtu(): number;
  /** Of the daemon's own namespace; key as under /proc/sys. */
  writeSysctl(key: string, value: string): Promise<void>;
}

/** A network's bridge: made with its MAC, ours by alias, up when its program is attached. */
export class BridgeOps implements Ops<BridgeRow> {
  readonly #o: BridgeOptions;

  constructor(options: BridgeOptions) {
    this.#o = options;
  }

  async update(row: BridgeRow): Promise<void> {
    const { netlink, links, identity } = this.#o;
    const mtu = row.mtu ?? this.#o.mtu();
    let link = links.byName(row.link) ?? (await netlink.linkByName(row.link));
    if (link === undefined) {
      identity.mark('link', row.link);
      link = await netlink.createBridge({ name: row.link, mac: row.mac, mtu });
      links.note(link);
    } else if (link.kind !== 'bridge' || !identity.owns(link)) {
      throw new SluiceError('conflict', `link ${row.link} exists and is not ours`, {
        hint: 'remove it, or give the network another bridge name',
      });
    }
    // IPv6 stays off before the device is ever up: no address of the host's gets onto the network.
    await this.#o.writeSysctl(`net/ipv6/conf/${row.link}/disable_ipv6`, '1');
    await netlink.setLink(link.ifindex, {
      alias: identity.alias(`bridge:${row.link}`),
      // A bridge that was told its MTU keeps it when ports come and go.
      mtu,
      forwarding4: true,
      ...(link.mac === row.mac ? {} : { mac: row.mac }),
    });
    await changeAddresses(netlink, link.ifindex, row.addresses);
  }

  async raise(row: BridgeRow): Promise<void> {
    await this.#o.netlink.setLink(await this.#o.links.ifindex(row.link), { up: true });
  }

  async delete({ link: name }: Pick<BridgeRow, 'link'>): Promise<void> {
    const { netlink, links, identity } = this.#o;
    const link = links.byName(name) ?? (await netlink.linkByName(name));
    if (link !== undefined) {
      if (link.kind !== 'bridge' || !identity.owns(link)) return;
      await ifPresent(netlink.deleteLink(link.ifindex));
      links.forget(link.ifindex);
    }
    identity.unmark('link', name);
  }

  async read(): Promise<Actual<BridgeRow>> {
    const { netlink, links, identity } = this.#o;
    await links.refresh();
    const addresses = await netlink.addresses();
    return {
      holds: (row) => {
        const link = links.byName(row.link);
        return (
          link !== undefined &&
          link.kind === 'bridge' &&
          link.alias === identity.alias(`bridge:${row.link}`) &&
          link.up &&
          link.mac === row.mac &&
          link.mtu === (row.mtu ?? this.#o.mtu()) &&
          configured(addresses, link.ifindex, row.addresses)
        );
      },
      strays: (wanted) =>
        links
          .all()
          .filter((link) => link.kind === 'bridge' && identity.owns(link) && !wanted(link.name))
          .map(({ name }) => ({ what: `bridge ${name}`, remove: () => this.delete({ link: name }) })),
    };
  }
}
