// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../base/errors.js';
import type { LinkInfo, NetlinkApi } from './kernel.js';

export type LinkChange = { readonly type: 'new' | 'gone'; readonly link: LinkInfo };

/** The links of the daemon's namespace, followed by events. */
export class LinkTable {
  readonly #netlink: Pick<NetlinkApi, 'links' | 'linkByName'>;
  readonly #byName = new Map<string, LinkInfo>();
  readonly #byIndex = new Map<number, LinkInfo>();
  readonly #listeners = new Set<(change: LinkChange) => void>();

  constructor(netlink: Pick<NetlinkApi, 'links' | 'linkByName'>) {
    this.#netlink = netlink;
  }

  byName(name: string): LinkInfo | undefined {
    return this.#byName.get(name);
  }

  byIndex(ifindex: number): LinkInfo | undefined {
    return this.#byIndex.get(ifindex);
  }

  all(): LinkInfo[] {
    return [...this.#byIndex.values()];
  }

  onChange(listener: (change: LinkChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What the kernel has; a link that the table lacks is looked for once. */
  async need(name: string): Promise<LinkInfo> {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const found = await this.#netlink.linkByName(name);
    if (found === undefined) throw new SluiceError('kernel', `there is no link ${name}`);
    this.note(found);
    return found;
  }

  async ifindex(name: string): Promise<number> {
    return (await this.need(name)).ifindex;
  }

  /** From a dump. What came while it was taken is newer than it and stays. */
  async refresh(): Promise<void> {
    const known = [...this.#byIndex.keys()];
    const links = await this.#netlink.links();
    const present = new Set(links.map((link) => link.ifindex));
    for (const ifindex of known) if (!present.has(ifindex)) this.forget(ifindex);
    for (const link of links) this.note(link);
  }

  note(link: LinkInfo): void {
    const before = this.#byIndex.get(link.ifindex);
    if (before !== undefined && before.name !== link.name && this.#byName.get(before.name) === before) {
      this.#byName.delete(before.name);
    }
    this.#byIndex.set(link.ifindex, link);
    this.#byName.set(link.name, link);
    this.#tell({ type: 'new', link });
  }

  forget(ifindex: number): void {
    const link = this.#byIndex.get(ifindex);
    if (link === undefined) return;
    this.#byIndex.delete(ifindex);
    if (this.#byName.get(link.name)?.ifindex === ifindex) this.#byName.delete(link.name);
    this.#tell({ type: 'gone', link });
  }

  #tell(change: LinkChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
