// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { MacvlanRow } from '../../cnm/rows.js';
import type { Announce } from '../announcements.js';
import type { Identity } from '../identity.js';
import type { LinkInfo, NetlinkApi, NetnsApi } from '../kernel.js';
import type { LinkTable } from '../links.js';
import type { Actual, Ops } from '../ops.js';
import type { Tables } from '../tables.js';
import { ifPresent } from './absent.js';
import { configureInside, ifThere, readInsides, settledInside, whileThere } from './inside.js';
import { usableParent } from './parent.js';

export interface MacvlanOptions {
  netlink: NetlinkApi;
  netns: NetnsApi;
  links: LinkTable;
  identity: Identity;
  tables: Tables;
  announcements: Announce;
}

type Place = Pick<MacvlanRow, 'netns' | 'interface'>;

/**
 * Macvlan links. They live in sandboxes alone, where no dump and no event of
 * the host shows them: the mark, a row's key, says where to look for what is
 * ours, the alias there that it is.
 */
export class MacvlanOps implements Ops<MacvlanRow> {
  readonly #o: MacvlanOptions;

  constructor(options: MacvlanOptions) {
    this.#o = options;
  }

  update(row: MacvlanRow): Promise<void> {
    return whileThere(this.#o.netns, row.netns, () => this.#update(row));
  }

  async #update(row: MacvlanRow): Promise<void> {
    const parent = await usableParent(this.#o, row);
    const mtu = row.mtu ?? parent.mtu;
    const { ifindex, fresh } = await this.#inside(row, (inner) => this.#obtain(inner, row, parent, mtu));
    const ours = this.#o.tables.row('netns', row.netns) !== undefined;
    await configureInside(this.#o.netns, row, ifindex, mtu, { fresh, ours });
    await this.#o.announcements.tell(
      { netns: row.netns, ifindexes: [ifindex] },
      {
        mac: row.mac,
        addresses: row.addresses.map((cidr) => cidr.slice(0, cidr.indexOf('/'))),
        router: false,
      },
    );
  }

  async delete(place: Place): Promise<void> {
    const { netns, identity } = this.#o;
    // With its namespace the link is gone as well.
    await ifThere(netns, place.netns, async (inner) => {
      const own = this.#own(await inner.links(), place);
      if (own !== undefined) await ifPresent(inner.deleteLink(own.ifindex));
    });
    identity.unmark('macvlan', keyOf(place));
  }

  async read(): Promise<Actual<MacvlanRow>> {
    const { links, identity, tables, netns } = this.#o;
    await links.refresh();
    const insides = await readInsides(
      netns,
      [...tables.rows('macvlan')].map((row) => row.netns),
    );
    const marks = identity.marked('macvlan');
    return {
      holds: (row) => {
        const parent = links.byName(row.parent);
        const inside = insides.get(row.netns);
        const own = inside && this.#own(inside.links, row);
        return (
          parent !== undefined &&
          inside !== undefined &&
          own !== undefined &&
          fits(own, row, parent) &&
          settledInside(inside, row, own.ifindex, row.mtu ?? parent.mtu)
        );
      },
      strays: (wanted) =>
        marks
          .filter((key) => !wanted(key))
          .map((key) => ({ what: `macvlan ${key}`, remove: () => this.delete(placeOf(key)) })),
    };
  }

  /** The link below, if it can carry this one. */
  async #obtain(
    inner: NetlinkApi,
    row: MacvlanRow,
    parent: LinkInfo,
    mtu: number,
  ): Promise<{ ifindex: number; fresh: boolean }> {
    const present = await inner.links();
    const own = this.#own(present, row);
    if (own !== undefined && fits(own, row, parent)) return { ifindex: own.ifindex, fresh: false };
    if (own !== undefined) await ifPresent(inner.deleteLink(own.ifindex));
    if (present.some((link) => link !== own && link.name === row.interface)) {
      throw new SluiceError('conflict', `link ${row.interface} exists in ${row.netns} and is not ours`, {
        hint: 'remove or rename it',
      });
    }
    this.#o.identity.mark('macvlan', keyOf(row));
    const { mode, mac, netns } = row;
    await this.#o.netlink.createMacvlan({ name: bornAs(row), parent: parent.ifindex, mode, mac, mtu, netns });
    const made = await inner.linkByName(bornAs(row));
    if (made === undefined) throw new SluiceError('kernel', `link ${bornAs(row)} is gone from ${netns}`);
    await inner.setLink(made.ifindex, {
      name: row.interface,
      alias: this.#alias(row),
      // In mode passthru it is born with the parent's, which follows it and goes back to its own in the end.
      ...(made.mac === mac ? {} : { mac }),
    });
    return { ifindex: made.ifindex, fresh: true };
  }

  /** By its alias, or, if it had no time to get one, by the name that it was born with. */
  #own(present: readonly LinkInfo[], place: Place): LinkInfo | undefined {
    const alias = this.#alias(place);
    return present.find(
      (link) => link.kind === 'macvlan' && (link.alias === alias || link.name === bornAs(place)),
    );
  }

  async #inside<T>({ netns }: Place, task: (inner: NetlinkApi) => Promise<T>): Promise<T> {
    const inner = await this.#o.netns.netlinkIn(netns);
    try {
      return await task(inner);
    } finally {
      inner.close();
    }
  }

  #alias(place: Place): string {
    return this.#o.identity.alias(`macvlan:${place.interface}`);
  }
}

/**
 * Before Linux 6.15 the kernel looks for the name of a new link in the namespace
 * of the request, the host's, where an `eth0` of the host's would be in the way.
 */
function bornAs(place: Place): string {
  return `slm-${place.interface}`;
}

function fits(link: LinkInfo, row: MacvlanRow, parent: LinkInfo): boolean {
  return link.name === row.interface && link.linkIndex === parent.ifindex && link.macvlanMode === row.mode;
}

/** As rowKey(). */
function keyOf({ netns, interface: name }: Place): string {
  return `${netns}/${name}`;
}

function placeOf(key: string): Place {
  const cut = key.lastIndexOf('/');
  return { netns: key.slice(0, cut), interface: key.slice(cut + 1) };
}
