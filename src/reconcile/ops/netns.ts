// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { NetnsRow } from '../../cnm/rows.js';
import type { Identity } from '../identity.js';
import type { NetnsApi } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';
import { ifPresent } from './absent.js';
import { disableIpv6 } from './ipv6.js';

/** Namespaces that we make. Each is marked before it is made: the mark says whose it is. */
export class NetnsOps implements Ops<NetnsRow> {
  readonly #netns: NetnsApi;
  readonly #identity: Identity;

  constructor(netns: NetnsApi, identity: Identity) {
    this.#netns = netns;
    this.#identity = identity;
  }

  /** Of a namespace that the state says is ours, where somebody has taken all marks away. */
  expect({ path }: NetnsRow): void {
    if (this.#identity.wiped) this.#identity.mark('netns', path);
  }

  async update({ path }: NetnsRow): Promise<void> {
    if (!(await this.#netns.isNetns(path))) {
      this.#identity.mark('netns', path);
      await this.#netns.createNetns(path);
    } else if (!this.#marks().has(path)) {
      throw new SluiceError('conflict', `${path} exists and is not ours`, {
        hint: 'choose another name, or adopt the namespace with --netns',
      });
    }
    await prepare(this.#netns, path);
  }

  async delete({ path }: Pick<NetnsRow, 'path'>): Promise<void> {
    if (!this.#marks().has(path)) return;
    await ifPresent(this.#netns.deleteNetns(path));
    this.#identity.unmark('netns', path);
  }

  async read(): Promise<Actual<NetnsRow>> {
    const marks = this.#marks();
    const present = new Set<string>();
    for (const path of marks) if (await this.#netns.isNetns(path)) present.add(path);
    return {
      holds: ({ path }) => present.has(path),
      strays: (wanted) =>
        [...marks]
          .filter((path) => !wanted(path))
          .map((path) => ({ what: `network namespace ${path}`, remove: () => this.delete({ path }) })),
    };
  }

  #marks(): Set<string> {
    return new Set(this.#identity.marked('netns'));
  }
}

/**
 * Defaults that interfaces made later are born with. A path may be asymmetric
 * where a sandbox is on several networks, so the reverse path check is the
 * loose one; IPv6 is switched on for the interfaces that have it.
 */
async function prepare(netns: NetnsApi, path: string): Promise<void> {
  await netns.writeSysctlIn(path, 'net/ipv4/conf/default/rp_filter', '2');
  await disableIpv6((key, value) => netns.writeSysctlIn(path, key, value), 'default');
}
