// SPDX-License-Identifier: Apache-2.0
/**
 * Host ports that publishes hold. Two publishes are in each other's way if
 * protocol and ports overlap and they share a host address; a publish without
 * one shares with all.
 */
import { SluiceError } from '../../base/errors.js';
import type { HostSocket } from '../host.js';
import { range } from '../portspec.js';
import { Intervals } from './intervals.js';

export type PortProtocol = 'tcp' | 'udp';

/** Ephemeral host ports: the IANA dynamic range without its first port, as Docker's allocator. */
export const EPHEMERAL = { first: 49153, last: 65535 } as const;

export interface PortClaim {
  readonly protocol: PortProtocol;
  /** '' and `0.0.0.0`: every address. */
  readonly hostIp: string;
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** The endpoint's id. */
  readonly owner: string;
}

export interface PortRequest extends Omit<PortClaim, 'first' | 'last'> {
  /** null: ephemeral. */
  readonly first: number | null;
  readonly count: number;
}

const ANY = '';

export class PortAllocator {
  /** By protocol and host address; ANY is every address. */
  readonly #tables = { tcp: new Map<string, Intervals<string>>(), udp: new Map<string, Intervals<string>>() };
  /** Where the next search for ephemeral ports begins: a freed port rests before it is used again. */
  readonly #next: Record<PortProtocol, number> = { tcp: EPHEMERAL.first, udp: EPHEMERAL.first };

  /**
   * Takes ports that neither a publish nor a socket of the host holds, or
   * throws. `sockets` must cover the requested ports, for an ephemeral request
   * the EPHEMERAL range. `nameOf` tells the name of an endpoint.
   */
  claim(request: PortRequest, sockets: readonly HostSocket[], nameOf: (owner: string) => string): PortClaim {
    const { protocol, owner, count } = request;
    const hostIp = normal(request.hostIp);
    const first =
      request.first === null
        ? this.#ephemeral(protocol, hostIp, count, sockets)
        : this.#free(protocol, hostIp, request.first, request.first + count - 1, sockets, nameOf);
    const claim = { protocol, hostIp, first, last: first + count - 1, owner };
    this.#insert(claim);
    return claim;
  }

  /** Takes what the store says was taken; throws `store` if it was taken twice. */
  restore(claim: PortClaim): PortClaim {
    const wanted = { ...claim, hostIp: normal(claim.hostIp) };
    if (this.#holder(wanted.protocol, wanted.hostIp, wanted.first, wanted.last)) {
      const ports = `${range(wanted.first, wanted.last)}/${wanted.protocol}`;
      throw new SluiceError('store', `the state holds host port ${ports} twice`, {
        hint: 'restore the state directory from a backup, or move it away to begin with an empty one',
      });
    }
    this.#insert(wanted);
    return wanted;
  }

  release(claim: PortClaim): void {
    const tables = this.#tables[claim.protocol];
    const table = tables.get(claim.hostIp);
    table?.remove(claim.first);
    if (table?.size === 0) tables.delete(claim.hostIp);
  }

  /** What an undone claim must put back, so that a dry run leaves no trace. */
  mark(): () => void {
    const saved = { ...this.#next };
    return () => void Object.assign(this.#next, saved);
  }

  #free(
    protocol: PortProtocol,
    hostIp: string,
    first: number,
    last: number,
    sockets: readonly HostSocket[],
    nameOf: (owner: string) => string,
  ): number {
    const holder = this.#holder(protocol, hostIp, first, last);
    if (holder) {
      const ports = `${range(Math.max(first, holder.first), Math.min(last, holder.last))}/${protocol}`;
      throw new SluiceError(
        'port_taken',
        `host port ${ports} is published by endpoint '${nameOf(holder.owner)}'`,
        {
          field: 'ports',
          hint: 'choose another host port or host address, or unpublish that one',
        },
      );
    }
    const socket = sockets.find((s) => s.port >= first && s.port <= last && meets(s.address, hostIp));
    if (socket) {
      const where = socket.address.includes(':') ? `[${socket.address}]` : socket.address;
      throw new SluiceError(
        'port_taken',
        `host port ${socket.port}/${protocol} is held by a process of this host, on ${where}`,
        {
          field: 'ports',
          hint: `choose another host port, or stop that process (ss -${protocol[0]}lnp shows it)`,
        },
      );
    }
    return first;
  }

  #ephemeral(protocol: PortProtocol, hostIp: string, count: number, sockets: readonly HostSocket[]): number {
    const busy = sockets
      .filter((s) => meets(s.address, hostIp))
      .map((s) => s.port)
      .sort((a, b) => a - b);
    // Behind the cursor first, then from the beginning up to where that began.
    const start = this.#next[protocol];
    const found =
      this.#gap(protocol, hostIp, count, start, busy) ??
      this.#gap(protocol, hostIp, count, EPHEMERAL.first, busy);
    if (found === undefined) {
      throw new SluiceError(
        'pool_exhausted',
        `no ${count} free ephemeral host port(s) in a row for ${protocol}`,
        {
          field: 'ports',
          hint: `name a host port below ${EPHEMERAL.first}, or unpublish something`,
        },
      );
    }
    const next = found + count;
    this.#next[protocol] = next > EPHEMERAL.last ? EPHEMERAL.first : next;
    return found;
  }

  /** First of `count` free ports at or behind `from`; `busy` is ordered. */
  #gap(
    protocol: PortProtocol,
    hostIp: string,
    count: number,
    from: number,
    busy: readonly number[],
  ): number | undefined {
    let first = from;
    let next = 0;
    for (;;) {
      const last = first + count - 1;
      if (last > EPHEMERAL.last) return undefined;
      const holder = this.#holder(protocol, hostIp, first, last);
      if (holder) {
        first = holder.last + 1;
        continue;
      }
      while (next < busy.length && (busy[next] as number) < first) next++;
      const socket = busy[next];
      if (socket === undefined || socket > last) return first;
      first = socket + 1;
    }
  }

  #holder(protocol: PortProtocol, hostIp: string, first: number, last: number) {
    const tables = this.#tables[protocol];
    if (hostIp !== ANY) {
      return tables.get(hostIp)?.overlapping(first, last) ?? tables.get(ANY)?.overlapping(first, last);
    }
    for (const table of tables.values()) {
      const found = table.overlapping(first, last);
      if (found) return found;
    }
    return undefined;
  }

  #insert(claim: PortClaim): void {
    const tables = this.#tables[claim.protocol];
    const table = tables.get(claim.hostIp) ?? new Intervals<string>();
    tables.set(claim.hostIp, table);
    table.add({ first: claim.first, last: claim.last, owner: claim.owner });
  }
}

function normal(hostIp: string): string {
  return hostIp === '0.0.0.0' ? ANY : hostIp;
}

/** Whether a socket on `address` would receive what a publish on `hostIp` wants. */
function meets(address: string, hostIp: string): boolean {
  return (
    hostIp === ANY || address === '0.0.0.0' || address === '::' || address.replace(/^::ffff:/, '') === hostIp
  );
}
