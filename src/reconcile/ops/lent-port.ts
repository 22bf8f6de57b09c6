// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { LentPortRow } from '../../cnm/rows.js';
import type { LinkInfo } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import { disableIpv6 } from './ipv6.js';
import { BRIDGE_PORT, type PortOptions } from './port.js';

/**
 * A veth pair of which somebody else takes one end. The host's end is all that
 * is looked at: where the other one is, and what it is called, is not ours.
 */
export class LentPortOps implements Ops<LentPortRow> {
  readonly #o: Omit<PortOptions, 'netns'>;

  constructor(options: Omit<PortOptions, 'netns'>) {
    this.#o = options;
  }

  async update(row: LentPortRow): Promise<void> {
    const { links, netlink } = this.#o;
    const bridge = await links.ifindex(row.bridge);
    const known = links.byName(row.link) ?? (await netlink.linkByName(row.link));
    if (known !== undefined) this.#refuseForeign(known);
    if (known === undefined && !row.make) {
      throw new SluiceError(
        'kernel',
        `its pair ${row.link} is gone, with the container that had the other end`,
        {
          hint: 'docker rm or docker start the container',
        },
      );
    }
    const link = known ?? (await this.#create(row));
    await netlink.setLink(link.ifindex, {
      alias: this.#alias(row),
      master: bridge,
      bridgePort: BRIDGE_PORT,
    });
    await disableIpv6(this.#o.writeSysctl, row.link);
  }

  async raise(row: LentPortRow): Promise<void> {
    await this.#o.netlink.setLink(await this.#o.links.ifindex(row.link), { up: true });
  }

  async delete({ link: name }: Pick<LentPortRow, 'link'>): Promise<void> {
    const { netlink, links, identity } = this.#o;
    const link = links.byName(name) ?? (await netlink.linkByName(name));
    if (link !== undefined) {
      if (link.kind !== 'veth' || !identity.owns(link)) return;
      await ifPresent(netlink.deleteLink(link.ifindex));
      links.forget(link.ifindex);
    }
    identity.unmark('link', name);
  }

  async read(): Promise<Actual<LentPortRow>> {
    const { links, identity } = this.#o;
    await links.refresh();
    return {
      holds: (row) => {
        const link = links.byName(row.link);
        return (
          link !== undefined &&
          link.kind === 'veth' &&
          link.alias === this.#alias(row) &&
          link.up &&
          link.master === links.byName(row.bridge)?.ifindex
        );
      },
      // One that had no time to get an alias is found as a port.
      strays: (wanted) =>
        links
          .all()
          .filter((link) => link.kind === 'veth' && link.alias.startsWith(identity.alias('lent:')))
          .filter((link) => !wanted(link.name))
          .map(({ name }) => ({ what: `veth ${name}`, remove: () => this.delete({ link: name }) })),
    };
  }

  #refuseForeign(link: LinkInfo): void {
    if (link.kind === 'veth' && this.#o.identity.owns(link)) return;
    throw new SluiceError('conflict', `link ${link.name} exists and is not ours`, {
      hint: 'remove or rename it',
    });
  }

  async #create(row: LentPortRow): Promise<LinkInfo> {
    const { netlink, links, identity, guards } = this.#o;
    const mtu = row.mtu ?? this.#o.mtu();
    identity.mark('link', row.link);
    const link = await netlink.createVeth({
      name: row.link,
      mtu,
      peer: { name: row.peer, mac: row.mac, mtu, netns: null },
    });
    links.note(link);
    await guards.put(link.ifindex, 'port');
    // So that it is no uplink if somebody sets it up before it is taken away.
    await netlink.setLink(link.linkIndex, { alias: identity.alias(`peer:${row.link}`) });
    return link;
  }

  #alias(row: LentPortRow): string {
    return this.#o.identity.alias(`lent:${row.link}`);
  }
}
