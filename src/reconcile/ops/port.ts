// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { PortRow } from '../../cnm/rows.js';
import type { Identity } from '../identity.js';
import type { GuardsApi, LinkInfo, NetlinkApi, NetnsApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';
import { ifPresent } from './absent.js';
import { configureInside, readInsides, settledInside, whileThere } from './inside.js';
import { disableIpv6 } from './ipv6.js';

/**
 * Who is behind the port is known; the programs deliver what goes to one of
 * the others or to all, so the bridge itself hands nothing from port to port.
 */
export const BRIDGE_PORT = {
  learning: false,
  flood: false,
  mcastFlood: false,
  bcastFlood: false,
  isolated: true,
} as const;

export interface PortOptions {
  netlink: NetlinkApi;
  netns: NetnsApi;
  guards: Pick<GuardsApi, 'put'>;
  links: LinkTable;
  identity: Identity;
  tables: Tables;
  mtu(): number;
  /** Of the daemon's own namespace; key as under /proc/sys. */
  writeSysctl(key: string, value: string): Promise<void>;
}

/** A veth pair: the host's end on the bridge, the other one in a sandbox with its addresses and routes. */
export class PortOps implements Ops<PortRow> {
  readonly #o: PortOptions;

  constructor(options: PortOptions) {
    this.#o = options;
  }

  update(row: PortRow): Promise<void> {
    return whileThere(this.#o.netns, row.netns, () => this.#update(row));
  }

  async #update(row: PortRow): Promise<void> {
    const { links, netlink } = this.#o;
    const bridge = await links.ifindex(row.bridge);
    const known = links.byName(row.link) ?? (await netlink.linkByName(row.link));
    if (known !== undefined) this.#refuseForeign(known);
    if (known === undefined || (await this.#astray(row, known))) {
      if (known !== undefined) await this.delete(row);
      const made = await this.#create(row);
      await Promise.all([this.#configureHost(row, made, bridge), this.#configureInside(row, made, true)]);
    } else {
      await Promise.all([this.#configureHost(row, known, bridge), this.#configureInside(row, known, false)]);
    }
  }

  async raise(row: PortRow): Promise<void> {
    await this.#o.netlink.setLink(await this.#o.links.ifindex(row.link), { up: true });
  }

  async delete({ link: name }: Pick<PortRow, 'link'>): Promise<void> {
    const { netlink, links, identity } = this.#o;
    const link = links.byName(name) ?? (await netlink.linkByName(name));
    if (link !== undefined) {
      if (link.kind !== 'veth' || !identity.owns(link)) return;
      await ifPresent(netlink.deleteLink(link.ifindex));
      links.forget(link.ifindex);
    }
    identity.unmark('link', name);
  }

  async read(): Promise<Actual<PortRow>> {
    const { links, tables, netns } = this.#o;
    await links.refresh();
    const inside = await readInsides(
      netns,
      [...tables.rows('port')].map((row) => row.netns),
    );
    return {
      holds: (row) => {
        const link = links.byName(row.link);
        const state = inside.get(row.netns);
        return (
          link !== undefined &&
          link.kind === 'veth' &&
          link.alias === this.#alias(row) &&
          link.up &&
          link.mtu === this.#mtu(row) &&
          link.master === links.byName(row.bridge)?.ifindex &&
          state !== undefined &&
          settledInside(state, row, link.linkIndex, this.#mtu(row))
        );
      },
      strays: (wanted) =>
        links
          .all()
          .filter((link) => link.kind === 'veth' && this.#isPort(link) && !wanted(link.name))
          .filter((link) => !tables.wants('lent-port', link.name))
          .map(({ name }) => ({ what: `veth ${name}`, remove: () => this.delete({ link: name }) })),
    };
  }

  /** Ours; one without an alias had no time to get one. */
  #isPort(link: LinkInfo): boolean {
    const { identity } = this.#o;
    return identity.owns(link) && (link.alias === '' || link.alias.startsWith(identity.alias('port:')));
  }

  #refuseForeign(link: LinkInfo): void {
    if (link.kind === 'veth' && this.#o.identity.owns(link)) return;
    throw new SluiceError('conflict', `link ${link.name} exists and is not ours`, {
      hint: 'remove or rename it',
    });
  }

  /** Our pair, whose other end is not where the row wants it. */
  async #astray(row: PortRow, link: LinkInfo): Promise<boolean> {
    const inner = await this.#o.netns.netlinkIn(row.netns);
    try {
      const end = await inner.linkByName(row.interface);
      return end === undefined || end.ifindex !== link.linkIndex;
    } finally {
      inner.close();
    }
  }

  async #create(row: PortRow): Promise<LinkInfo> {
    const { netlink, links, identity, guards } = this.#o;
    const mtu = this.#mtu(row);
    identity.mark('link', row.link);
    const link = await netlink.createVeth({
      name: row.link,
      mtu,
      peer: { name: row.interface, mac: row.mac, mtu, netns: row.netns },
    });
    links.note(link);
    await guards.put(link.ifindex, 'port');
    return link;
  }

  async #configureHost(row: PortRow, link: LinkInfo, bridge: number): Promise<void> {
    await this.#o.netlink.setLink(link.ifindex, {
      alias: this.#alias(row),
      mtu: this.#mtu(row),
      master: bridge,
      bridgePort: BRIDGE_PORT,
    });
    // Also on a network with IPv6: the host's end of a port is a part of the bridge, which has the addresses.
    await disableIpv6(this.#o.writeSysctl, row.link);
  }

  async #configureInside(row: PortRow, link: LinkInfo, fresh: boolean): Promise<void> {
    const ours = this.#o.tables.row('netns', row.netns) !== undefined;
    await configureInside(this.#o.netns, row, link.linkIndex, this.#mtu(row), { fresh, ours });
  }

  #mtu(row: PortRow): number {
    return row.mtu ?? this.#o.mtu();
  }

  #alias(row: PortRow): string {
    return this.#o.identity.alias(`port:${row.link}`);
  }
}
