// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { LentMacvlanRow } from '../../cnm/rows.js';
import type { LinkInfo } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import type { MacvlanOptions } from './macvlan.js';
import { usableParent } from './parent.js';

/** Macvlan links that somebody else takes away, and may put back for us to remove. */
export class LentMacvlanOps implements Ops<LentMacvlanRow> {
  readonly #o: Omit<MacvlanOptions, 'netns' | 'tables' | 'announcements'>;

  constructor(options: Omit<MacvlanOptions, 'netns' | 'tables' | 'announcements'>) {
    this.#o = options;
  }

  async update(row: LentMacvlanRow): Promise<void> {
    if (!row.make) return;
    const { netlink, links, identity } = this.#o;
    const parent = await usableParent(this.#o, row);
    const present = await netlink.linkByName(row.link);
    if (present !== undefined) {
      this.#refuseForeign(present);
      return;
    }
    identity.mark('link', row.link);
    await netlink.createMacvlan({
      name: row.link,
      parent: parent.ifindex,
      mode: row.mode,
      mac: row.mac,
      mtu: row.mtu ?? parent.mtu,
      netns: null,
    });
    const made = await netlink.linkByName(row.link);
    if (made === undefined) throw new SluiceError('kernel', `link ${row.link} is gone`);
    await netlink.setLink(made.ifindex, { alias: this.#alias(row) });
    links.note({ ...made, alias: this.#alias(row) });
  }

  async delete({ link: name }: Pick<LentMacvlanRow, 'link'>): Promise<void> {
    const { netlink, links, identity } = this.#o;
    const link = await netlink.linkByName(name);
    if (link !== undefined && link.kind === 'macvlan' && identity.owns(link)) {
      await ifPresent(netlink.deleteLink(link.ifindex));
      links.forget(link.ifindex);
    }
    identity.unmark('link', name);
  }

  async read(): Promise<Actual<LentMacvlanRow>> {
    const { links, identity } = this.#o;
    await links.refresh();
    return {
      // Once taken away it is none of ours.
      holds: (row) => !row.make || links.byName(row.link)?.alias === this.#alias(row),
      strays: (wanted) =>
        links
          .all()
          .filter((link) => link.kind === 'macvlan' && identity.owns(link) && !wanted(link.name))
          .map(({ name }) => ({ what: `macvlan ${name}`, remove: () => this.delete({ link: name }) })),
    };
  }

  #refuseForeign(link: LinkInfo): void {
    if (link.kind === 'macvlan' && this.#o.identity.owns(link)) return;
    throw new SluiceError('conflict', `link ${link.name} exists and is not ours`, {
      hint: 'remove or rename it',
    });
  }

  #alias(row: Pick<LentMacvlanRow, 'link'>): string {
    return this.#o.identity.alias(`peer:${row.link}`);
  }
}
