// SPDX-License-Identifier: Apache-2.0
import { parseAddress } from '../base/addresses.js';
import type { Log } from '../base/log.js';
import type { PublishRow } from '../cnm/rows.js';
import { NO_ADDRESS, NO_ADDRESS6 } from './ops/values.js';
import type { Tables } from './tables.js';

/** What tells of whom a flow is: its packets' addresses and ports before and after translation. */
interface Half {
  readonly key: { readonly daddr: string; readonly dport: number; readonly protocol: number };
  readonly flow: { readonly saddr: string; readonly sport: number; readonly service: boolean };
}

export interface HostAddressesOptions {
  tables: Pick<Tables, 'rows'>;
  /** Those that the dataplane knew before this daemon came. */
  known: Iterable<string>;
  /** The routing table says that the address is the host's. */
  isOwn(address: string): Promise<boolean>;
  /** Has the ports that are published at the address served, or not. */
  setPresent(address: string, present: boolean): void;
  /** Ends flows, and answers how many entries went. */
  end(ends: (half: Half) => boolean): Promise<number>;
  log: Log;
}

const UDP = 17;

/**
 * What depends on addresses of the host: flows under one that is gone end, and
 * ports published at it are served again when it is back. Datagrams to a
 * service's port that is published no longer end here too; those to a
 * container's end in the programs.
 */
export class HostAddresses {
  readonly #o: HostAddressesOptions;
  readonly #had: Set<string>;
  readonly #absent = new Set<string>();
  readonly #gone = new Set<string>();
  #unpublished: PublishRow[] = [];
  #running: Promise<void> = Promise.resolve();
  /** Entries of flows that ended, since the daemon's start. */
  ended = 0;

  constructor(options: HostAddressesOptions) {
    this.#o = options;
    this.#had = new Set(options.known);
  }

  /** The host has these addresses now. */
  async have(addresses: ReadonlySet<string>): Promise<void> {
    for (const address of this.#had) if (!addresses.has(address)) this.#gone.add(address);
    this.#had.clear();
    for (const address of addresses) {
      this.#had.add(address);
      this.#gone.delete(address);
    }
    for (const address of this.#published()) {
      const absent = !(addresses.has(address) || isLoopback(address) || (await this.#o.isOwn(address)));
      if (absent === this.#absent.has(address)) continue;
      if (absent) this.#absent.add(address);
      else this.#absent.delete(address);
      this.#o.setPresent(address, !absent);
      this.#o.log.warn(
        absent
          ? `${address} is not this host's any more: the ports published at it answer nobody`
          : `${address} is this host's again: the ports published at it answer`,
      );
    }
  }

  /** To be told when a port leads to a service no longer. */
  unpublished(row: PublishRow): void {
    if (!row.service || row.protocol !== 'udp') return;
    this.#unpublished.push(row);
    this.endFlows();
  }

  /** Ends the flows of addresses that are gone, once new flows have others. Never fails. */
  endFlows(): void {
    this.#running = this.#running.then(() => this.#endFlows());
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    await this.#running;
  }

  async #endFlows(): Promise<void> {
    const gone = new Set<string>();
    const rows = this.#unpublished.splice(0);
    try {
      // The kernel tells of an address of IPv6 before it has taken its route away: that one's turn comes with the route.
      for (const address of this.#gone) if (!(await this.#o.isOwn(address))) gone.add(address);
      for (const address of gone) this.#gone.delete(address);
      if (gone.size === 0 && rows.length === 0) return;
      const ended = await this.#o.end(
        ({ key, flow }) =>
          gone.has(flow.saddr) ||
          gone.has(key.daddr) ||
          (flow.service && key.protocol === UDP && rows.some((row) => cameBy(row, key, flow))),
      );
      this.ended += ended;
      if (ended > 0)
        this.#o.log.info('flows ended: an address or a published port of theirs is gone', {
          addresses: [...gone],
          ports: rows.map(({ hostPort }) => hostPort),
          entries: ended,
        });
    } catch (e) {
      for (const address of gone) this.#gone.add(address);
      this.#o.log.error('cannot end the flows of addresses that are gone', { err: e });
    }
  }

  #published(): Set<string> {
    const addresses = new Set<string>();
    for (const { hostIp } of this.#o.tables.rows('publish'))
      if (hostIp !== null && hostIp !== NO_ADDRESS && hostIp !== NO_ADDRESS6) addresses.add(hostIp);
    for (const address of this.#absent) addresses.add(address);
    return addresses;
  }
}

/** Either half of a flow whose datagrams were sent to the published port, not to the VIP. */
function cameBy(row: PublishRow, key: Half['key'], flow: Half['flow']): boolean {
  const vips = [row.ipv4, row.ipv6];
  const within = (port: number): boolean => port >= row.hostPort && port <= row.hostPortEnd;
  return (
    (within(key.dport) && !vips.includes(key.daddr)) || (within(flow.sport) && !vips.includes(flow.saddr))
  );
}

function isLoopback(text: string): boolean {
  const address = parseAddress(text);
  if (address === null) return false;
  return address.family === 4 ? address.value >> 24n === 127n : address.value === 1n;
}
