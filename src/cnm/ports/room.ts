// SPDX-License-Identifier: Apache-2.0
/**
 * Published ports take from two ranges that others live on. The kernel picks
 * source ports of the host's sockets from one, for TCP and UDP alike, since
 * what is reserved there is reserved for both; masquerading picks those of
 * containers from the other, for each protocol by itself.
 */
import { SluiceError } from '../../base/errors.js';
import { PortSet } from '../../base/port-set.js';
import type { PortRanges } from '../host.js';
import { range } from '../portspec.js';
import type { Protocol } from '../types.js';
import type { PortAllocator } from './allocator.js';

export interface PortRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

/** So many ports have to be left of a range. */
const LEAST = 4096;
/** Of a small range, which somebody has chosen to live with, one part of so many. */
const SMALL_PARTS = 64;
/** Below it are ports of services. */
const WIDEST: PortRange = { first: 1024, last: 65535 };
const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

/** Refuses what has been claimed last, if it leaves too little. */
export function checkRoom(
  ports: PortAllocator,
  protocol: Protocol,
  host: PortRanges,
  masquerade: PortRange,
  field: string,
): void {
  const reserved = PortSet.parse(host.reserved);
  const published = (protocols: readonly Protocol[]): PortSet => {
    const set = new PortSet();
    for (const one of protocols) for (const claim of ports.claims(one)) set.add(claim.first, claim.last);
    return set;
  };
  const refuse = (what: string, left: number, hint: string): never => {
    throw new SluiceError('conflict', `${what} would have ${left} ports left to pick from`, { field, hint });
  };
  const mine = `publish fewer ports, or others`;
  const { automatic } = host;
  if (ports.count() + reserved.size > mostTaken(automatic)) {
    const taken = published(PROTOCOLS).union(reserved);
    const left = free(automatic, taken);
    if (left < least(automatic)) {
      const wider = free(WIDEST, taken) >= least(WIDEST);
      const sysctl = `sysctl -w net.ipv4.ip_local_port_range="${WIDEST.first} ${WIDEST.last}"`;
      const own = reserved.empty ? '' : ', or shorten net.ipv4.ip_local_reserved_ports';
      refuse(
        `connections of this host, TCP and UDP, whose ports are ${range(automatic.first, automatic.last)} (net.ipv4.ip_local_port_range),`,
        left,
        wider ? `make room with ${sysctl}${own}, or ${mine}` : mine,
      );
    }
  }
  if (protocol === 'sctp' || ports.count(protocol) <= mostTaken(masquerade)) return;
  const taken = published([protocol]);
  const left = free(masquerade, taken);
  if (left >= least(masquerade)) return;
  const wider = free(WIDEST, taken) >= least(WIDEST);
  refuse(
    `${protocol.toUpperCase()} of containers, masqueraded from ports ${range(masquerade.first, masquerade.last)} (--masquerade-ports),`,
    left,
    wider ? `start sluiced with --masquerade-ports ${WIDEST.first}-${WIDEST.last}, or ${mine}` : mine,
  );
}

function size({ first, last }: PortRange): number {
  return last - first + 1;
}

function least(ports: PortRange): number {
  const all = size(ports);
  return all >= 2 * LEAST ? LEAST : Math.floor(all / SMALL_PARTS);
}

/** With no more taken than so many there is room, wherever they are. */
function mostTaken(ports: PortRange): number {
  return size(ports) - least(ports);
}

function free({ first, last }: PortRange, taken: PortSet): number {
  let count = 0;
  for (let port = first; port <= last; port++) if (!taken.has(port)) count++;
  return count;
}
