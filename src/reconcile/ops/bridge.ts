// SPDX-License-Identifier: Apache-2.0
import { familyOf } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { BridgeRow } from '../../cnm/rows.js';
import { type Announce, portsOf } from '../announcements.js';
import type { Identity } from '../identity.js';
import type { GuardsApi, LinkInfo, NetlinkApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import { changeAddresses, configured } from './addresses.js';
import { disableIpv6, enableIpv6, forwardIpv6 } from './ipv6.js';

export interface BridgeOptions {
  netlink: NetlinkApi;
  guards: Pick<GuardsApi, 'put'>;
  links: LinkTable;
  identity: Identity;
  announcements: Announce;
  /** Of the links to the world, for rows that leave it open. */
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
    const { netlink, links, identity, guards } = this.#o;
    const mtu = row.mtu ?? this.#o.mtu();
    let link = links.byName(row.link) ?? (await netlink.linkByName(row.link));
    if (link === undefined) {
      identity.mark('link', row.link);
      link = await netlink.createBridge({ name: row.link, mac: row.mac, mtu });
      links.note(link);
      await guards.put(link.ifindex, 'bridge');
    } else if (link.kind !== 'bridge' || !identity.owns(link)) {
      throw new SluiceError('conflict', `link ${row.link} exists and is not ours`, {
        hint: 'remove it, or give the network another bridge name',
      });
    }
    await netlink.setLink(link.ifindex, {
      alias: identity.alias(`bridge:${row.link}`),
      // A bridge that was told its MTU keeps it when ports come and go.
      mtu,
      forwarding4: true,
      ...(link.mac === row.mac ? {} : { mac: row.mac }),
    });
    // Settled before the device is ever up, and once it has its MTU, with which IPv6 comes and goes.
    await this.#settleIpv6(row, link, mtu);
    await changeAddresses(netlink, link.ifindex, row.addresses);
    if (link.mac !== row.mac) await this.#announceGateways(row, link);
  }

  /** Containers may have learnt the MAC that somebody gave it meanwhile. */
  async #announceGateways(row: BridgeRow, link: LinkInfo): Promise<void> {
    await this.#o.announcements.tell(portsOf(this.#o.links, link), {
      mac: row.mac,
      addresses: row.addresses.map((cidr) => cidr.slice(0, cidr.indexOf('/'))),
      router: hasIpv6(row),
    });
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

  async #settleIpv6(row: BridgeRow, link: LinkInfo, mtu: number): Promise<void> {
    const { netlink, writeSysctl } = this.#o;
    if (!hasIpv6(row)) return disableIpv6(writeSysctl, row.link);
    // It has the gateway's addresses, and none that the kernel makes up.
    await enableIpv6(writeSysctl, row.link, mtu, 'none');
    // The programs ask the routing table on behalf of the bridge, which must be a router for that.
    await forwardIpv6(netlink, writeSysctl, link);
  }

  async read(): Promise<Actual<BridgeRow>> {
    const { netlink, links, identity } = this.#o;
    await links.refresh();
    const addresses = await netlink.addresses();
    const forwarding4 = await netlink.forwarding4();
    const forwarding6 = await netlink.forwarding6();
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
          configured(addresses, link.ifindex, row.addresses) &&
          forwarding4.has(link.ifindex) &&
          (!hasIpv6(row) || forwarding6.has(link.ifindex))
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

/** A network with IPv6 has a gateway of it. */
function hasIpv6({ addresses }: BridgeRow): boolean {
  return addresses.some((cidr) => familyOf(cidr) === 6);
}
