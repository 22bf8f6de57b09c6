// SPDX-License-Identifier: Apache-2.0
/**
 * Host ports that publishes hold. Two publishes are in each other's way if
 * protocol and ports overlap and they share a host address; a publish without
 * one shares with all, one on `0.0.0.0` or `::` with those of its family.
 */
import { SluiceError } from '../../base/errors.js';
import type { HostSocket } from '../host.js';
import { hostIpFamily, withoutMapping } from '../hostip.js';
import { range } from '../portspec.js';
import type { Protocol } from '../types.js';
import { Intervals } from './intervals.js';

/** Ephemeral host ports: the IANA dynamic range without its first port, as Docker's allocator. */
export const EPHEMERAL = { first: 49153, last: 65535 } as const;

export interface PortClaim {
  readonly protocol: Protocol;
  /** '': every address; `0.0.0.0` and `::`: of one family. */
  readonly hostIp: string;
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  /** The id of the endpoint or service. */
  readonly owner: string;
}

export interface PortRequest extends Omit<PortClaim, 'first' | 'last'> {
  /** null: ephemeral. */
  readonly first: number | null;
  readonly count: number;
}

export class PortAllocator {
  /** By protocol and host address. */
  readonly #tables: Record<Protocol, Map<string, Intervals<string>>> = {
    tcp: new Map(),
    udp: new Map(),
    sctp: new Map(),
  };
  readonly #counts: Record<Protocol, number> = { tcp: 0, udp: 0, sctp: 0 };
  /** Where the next search for ephemeral ports begins: a freed port rests before it is used again. */
  readonly #next: Record<Protocol, number> = {
    tcp: EPHEMERAL.first,
    udp: EPHEMERAL.first,
    sctp: EPHEMERAL.first,
  };

  /**
   * Takes ports that neither a publish nor a socket of the host holds, or
   * throws. `sockets` must cover the requested ports, for an ephemeral request
   * the EPHEMERAL range. `holderOf` tells who an owner is, in words.
   */
  claim(
    request: PortRequest,
    sockets: readonly HostSocket[],
    holderOf: (owner: string) => string,
  ): PortClaim {
    const { protocol, hostIp, owner, count } = request;
    const first =
      request.first === null
        ? this.#ephemeral(protocol, hostIp, count, sockets)
        : this.#free(protocol, hostIp, request.first, request.first + count - 1, sockets, holderOf);
    const claim = { protocol, hostIp, first, last: first + count - 1, owner };
    this.#insert(claim);
    return claim;
  }

  /** Takes what the store says was taken; throws `store` if it was taken twice. */
  restore(claim: PortClaim): PortClaim {
    if (this.#holder(claim.protocol, claim.hostIp, claim.first, claim.last)) {
      const ports = `${range(claim.first, claim.last)}/${claim.protocol}`;
      throw new SluiceError('store', `the state holds host port ${ports} twice`, {
        hint: 'restore the state directory from a backup, or move it away to begin with an empty one',
      });
    }
    this.#insert(claim);
    return claim;
  }

  release(claim: PortClaim): void {
    const tables = this.#tables[claim.protocol];
    const table = tables.get(claim.hostIp);
    if (table?.remove(claim.first)) this.#counts[claim.protocol] -= claim.last - claim.first + 1;
    if (table?.size === 0) tables.delete(claim.hostIp);
  }

  /** Ports that are taken, on whichever address; without `protocol` of all. One on two addresses counts twice. */
  count(protocol?: Protocol): number {
    return protocol === undefined
      ? this.#counts.tcp + this.#counts.udp + this.#counts.sctp
      : this.#counts[protocol];
  }

  *claims(protocol: Protocol): Generator<{ first: number; last: number }> {
    for (const table of this.#tables[protocol].values()) yield* table.all();
  }

  /** What an undone claim must put back, so that a dry run leaves no trace. */
  mark(): () => void {
    const saved = { ...this.#next };
    return () => void Object.assign(this.#next, saved);
  }

  #free(
    protocol: Protocol,
    hostIp: string,
    first: number,
    last: number,
    sockets: readonly HostSocket[],
    holderOf: (owner: string) => string,
  ): number {
    const holder = this.#holder(protocol, hostIp, first, last);
    if (holder) {
      const ports = `${range(Math.max(first, holder.first), Math.min(last, holder.last))}/${protocol}`;
      throw new SluiceError('port_taken', `host port ${ports} is published by ${holderOf(holder.owner)}`, {
        field: 'ports',
        hint: 'choose another host port or host address, or unpublish that one',
      });
    }
    const socket = sockets.find((s) => s.port >= first && s.port <= last && meets(s, hostIp));
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

  #ephemeral(protocol: Protocol, hostIp: string, count: number, sockets: readonly HostSocket[]): number {
    const busy = sockets
      .filter((s) => meets(s, hostIp))
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
    protocol: Protocol,
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

  #holder(protocol: Protocol, hostIp: string, first: number, last: number) {
    const tables = this.#tables[protocol];
    const shared = SHARED.get(hostIp);
    if (shared === undefined) {
      // A single address: there may be thousands, so only those tables that share it.
      for (const other of [hostIp, ...wildcardsOver(hostIp)]) {
        const found = tables.get(other)?.overlapping(first, last);
        if (found) return found;
      }
      return undefined;
    }
    for (const [other, table] of tables) {
      const found = shared(other) ? table.overlapping(first, last) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  #insert(claim: PortClaim): void {
    const tables = this.#tables[claim.protocol];
    const table = tables.get(claim.hostIp) ?? new Intervals<string>();
    tables.set(claim.hostIp, table);
    this.#counts[claim.protocol] += claim.last - claim.first + 1;
    table.add({ first: claim.first, last: claim.last, owner: claim.owner });
  }
}

/** What a wildcard shares an address with. */
const SHARED: ReadonlyMap<string, (other: string) => boolean> = new Map([
  ['', () => true],
  ['0.0.0.0', (other: string) => hostIpFamily(other) !== 6],
  ['::', (other: string) => hostIpFamily(other) !== 4],
]);

function wildcardsOver(hostIp: string): string[] {
  return ['', hostIpFamily(hostIp) === 6 ? '::' : '0.0.0.0'];
}

/** Whether a socket would receive what a publish on `hostIp` wants. */
function meets({ address, v6only }: HostSocket, hostIp: string): boolean {
  const bound = withoutMapping(address);
  if (bound === '::' && !v6only) return true;
  const shared = SHARED.get(hostIp);
  return shared?.(bound) ?? (bound === hostIp || wildcardsOver(hostIp).includes(bound));
}
