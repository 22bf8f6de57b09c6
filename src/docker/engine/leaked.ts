// SPDX-License-Identifier: Apache-2.0
/** Addresses and pools that Docker took of our address management and nobody has any more. Pure. */
import { formatAddress, formatPrefix, parseAddress, parseCidr } from '../../base/addresses.js';
import type { HeldPool } from '../../cnm/leases.js';
import type { LeasedPoolRecord, LeaseRecord } from '../../cnm/records.js';
import type { Endpoint } from '../../cnm/types.js';
import type { NetworkInspect } from './shapes.js';

export interface Leaked {
  /** `network`: Docker's id of the network that has the address's pool. */
  readonly addresses: readonly { readonly lease: LeaseRecord; readonly network: string }[];
  readonly pools: readonly LeasedPoolRecord[];
}

/**
 * A pool whose subnet no network of Docker's has, whichever that network's
 * driver is. Of a pool that one local network has: an address that is neither
 * among the network's own nor of an endpoint: theirs, or of `endpoints`, ours.
 */
export function leaked(
  held: readonly HeldPool[],
  docker: readonly NetworkInspect[],
  endpoints: readonly Endpoint[],
): Leaked {
  const addresses: { lease: LeaseRecord; network: string }[] = [];
  const pools: LeasedPoolRecord[] = [];
  const ours = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
  for (const { pool, leases } of held) {
    const users = docker.filter(({ ipam }) =>
      ipam.pools.some(({ subnet }) => canonical(subnet) === pool.cidr),
    );
    const [network, ...others] = users;
    if (!network) pools.push(pool);
    else if (others.length === 0 && network.scope === 'local') {
      const used = new Set([...ours, ...addressesOf(network)]);
      const unused = leases.filter(({ use, address }) => use === 'host' && !used.has(address));
      addresses.push(...unused.map((lease) => ({ lease, network: network.id })));
    }
  }
  return { addresses, pools };
}

/** Those that Docker keeps for the network itself, and those of its containers. */
function addressesOf({ ipam, containers }: NetworkInspect): string[] {
  const texts = [
    ...ipam.pools.flatMap(({ gateway, auxiliary }) => [gateway, ...Object.values(auxiliary)]),
    ...containers.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]),
  ];
  return texts.flatMap((text) => {
    const address = parseAddress(text.split('/')[0] as string);
    return address ? [formatAddress(address)] : [];
  });
}

function canonical(subnet: string): string | null {
  const parsed = parseCidr(subnet);
  return parsed && formatPrefix(parsed.prefix);
}
