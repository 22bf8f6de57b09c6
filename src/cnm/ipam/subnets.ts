// SPDX-License-Identifier: Apache-2.0
/** Which subnet a network gets: one it asks for, or the first free block of the pools. */
import {
  type Address,
  bits,
  contains,
  formatAddress,
  formatPrefix,
  lastAddress,
  overlaps,
  type Prefix,
  parseAddress,
  parseCidr,
  parsePrefix,
  prefixOf,
  usableRange,
} from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';

/** Networks get blocks of prefix length `size` out of `cidr`. */
export interface Pool {
  readonly prefix: Prefix;
  readonly size: number;
}

/** In the order in which they are used up. */
export const DEFAULT_POOLS: readonly string[] = ['10.64.0.0/10,24', '172.16.0.0/12,24', '192.168.0.0/16,24'];

/** `CIDR,SIZE`. */
export function parsePool(text: string): Pool {
  const comma = text.indexOf(',');
  const prefix = parsePrefix(text.slice(0, comma).trim());
  const size = /^\d{1,3}$/.exec(text.slice(comma + 1).trim());
  if (comma < 0 || !prefix || !size) {
    throw new SluiceError('invalid_argument', `'${text}' is not an address pool`, {
      field: 'pool',
      hint: 'write CIDR,SIZE such as 10.64.0.0/10,24',
    });
  }
  if (prefix.family === 6) {
    throw new SluiceError('unsupported', `address pool '${text}': IPv6 networks are not supported yet`, {
      field: 'pool',
      hint: 'give IPv4 pools only',
    });
  }
  const length = Number(size[0]);
  if (length < prefix.length || length > bits(prefix.family) - 2) {
    throw new SluiceError('invalid_argument', `address pool '${text}': blocks of /${length} do not fit`, {
      field: 'pool',
      hint: `a size of ${prefix.length} to ${bits(prefix.family) - 2} fits`,
    });
  }
  return { prefix, size: length };
}

/** The lowest block of the first pool that meets nothing of `taken`; throws `pool_exhausted`. */
export function chooseSubnet(pools: readonly Pool[], taken: readonly Prefix[]): Prefix {
  for (const { prefix, size } of pools) {
    const block = 1n << BigInt(bits(prefix.family) - size);
    const obstacles = taken
      .filter((other) => overlaps(prefix, other))
      .sort((a, b) => (a.network < b.network ? -1 : a.network > b.network ? 1 : 0));
    let network = prefix.network;
    for (const obstacle of obstacles) {
      if (obstacle.network >= network + block) break;
      // To the first block that begins behind the obstacle.
      const end = lastAddress(obstacle) + 1n;
      if (end > network) network = ((end + block - 1n) / block) * block;
    }
    if (network + block - 1n <= lastAddress(prefix)) return { family: prefix.family, network, length: size };
  }
  throw new SluiceError(
    'pool_exhausted',
    'every block of the address pools is in use or routed on this host',
    {
      field: 'subnets',
      hint: 'give --subnet, or more pools to the daemon with --pool CIDR,SIZE',
    },
  );
}

/** Ranges that no host has: not for subnets. */
const RESERVED = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'].map((text) => parsePrefix(text) as Prefix);

/** A subnet as asked for. `field` is that of the subnet in the request (`subnets[0]`). */
export function parseSubnet(text: string, field: string): Prefix {
  const parsed = parseCidr(text);
  const where = `${field}.cidr`;
  if (!parsed) {
    throw new SluiceError('invalid_argument', `'${text}' is not a subnet`, {
      field: where,
      hint: 'write a network address and prefix length, such as 10.64.0.0/24',
    });
  }
  const { prefix } = parsed;
  if (prefix.family === 6) {
    throw new SluiceError('unsupported', `subnet ${text}: IPv6 networks are not supported yet`, {
      field: where,
      hint: 'give an IPv4 subnet',
    });
  }
  if (parsed.address.value !== prefix.network) {
    throw new SluiceError('invalid_argument', `subnet ${text} has bits behind its prefix`, {
      field: where,
      hint: `write ${formatPrefix(prefix)}`,
    });
  }
  const reserved = RESERVED.find((other) => overlaps(prefix, other));
  if (reserved) {
    throw new SluiceError(
      'invalid_argument',
      `subnet ${text} meets ${formatPrefix(reserved)}, which no host can use`,
      {
        field: where,
        hint: 'take a private range such as 10.64.0.0/24',
      },
    );
  }
  if (prefix.length === 32) {
    throw new SluiceError(
      'invalid_argument',
      `subnet ${text} has no room for an endpoint beside the gateway`,
      {
        field: where,
        hint: 'use a /31 or a larger subnet',
      },
    );
  }
  return prefix;
}

/** The gateway asked for, or the first usable address. */
export function parseGateway(text: string | undefined, subnet: Prefix, field: string): Address {
  const usable = usableRange(subnet);
  if (text === undefined) return { family: subnet.family, value: usable.first };
  const gateway = parseAddress(text);
  if (gateway && contains(subnet, gateway) && gateway.value >= usable.first && gateway.value <= usable.last) {
    return gateway;
  }
  const why = !gateway
    ? 'is not an IP address'
    : !contains(subnet, gateway)
      ? `is outside of the subnet ${formatPrefix(subnet)}`
      : `is the ${gateway.value < usable.first ? 'network' : 'broadcast'} address of ${formatPrefix(subnet)}`;
  const first = formatAddress({ family: subnet.family, value: usable.first });
  throw new SluiceError('invalid_argument', `gateway ${text} ${why}`, {
    field: `${field}.gateway`,
    hint: `give an address of the subnet, or none for ${first}`,
  });
}

/** The ip-range asked for: within the subnet, and not empty once the gateway is taken. */
export function parseIpRange(text: string, subnet: Prefix, gateway: Address, field: string): Prefix {
  const refuse = (why: string, hint: string): never => {
    throw new SluiceError('invalid_argument', `ip-range ${text} ${why}`, { field: `${field}.ipRange`, hint });
  };
  const parsed = parseCidr(text);
  if (!parsed) return refuse('is not a range', `write a part of ${formatPrefix(subnet)} in CIDR notation`);
  const { prefix, address } = parsed;
  if (address.value !== prefix.network) refuse('has bits behind its prefix', `write ${formatPrefix(prefix)}`);
  if (!contains(subnet, prefix))
    refuse(`is outside of the subnet ${formatPrefix(subnet)}`, 'give a part of the subnet');
  const { first, last } = usableRange(subnet, prefix);
  const gateways = gateway.value >= first && gateway.value <= last ? 1n : 0n;
  if (last - first + 1n - gateways <= 0n) refuse('leaves no address for endpoints', 'give a larger range');
  return prefix;
}

export interface Neighbours {
  /** Subnets of the other networks. */
  readonly networks: readonly { readonly name: string; readonly prefix: Prefix }[];
  /** What the host routes, and its own addresses as prefixes of one address. */
  readonly routes: readonly Prefix[];
}

/** Refuses a subnet that meets another network's or what the host routes, by name. */
export function checkOverlap(subnet: Prefix, { networks, routes }: Neighbours, field: string): void {
  const text = formatPrefix(subnet);
  const refuse = (what: string): never => {
    throw new SluiceError('overlap', `subnet ${text} overlaps ${what}`, {
      field: `${field}.cidr`,
      hint: 'choose another subnet, or none for an automatic one',
    });
  };
  const network = networks.find(({ prefix }) => overlaps(subnet, prefix));
  if (network) refuse(`${formatPrefix(network.prefix)} of network '${network.name}'`);
  const route = routes.find((prefix) => overlaps(subnet, prefix));
  if (route) refuse(`${formatPrefix(route)}, which this host routes`);
}

/**
 * The host's routes and addresses as prefixes. A default route is none, nor is
 * half of everything: pairs of those are how VPN clients replace a default route.
 */
export function hostPrefixes(host: { cidrs: readonly string[]; addresses: readonly string[] }): Prefix[] {
  const routes = host.cidrs
    .flatMap((text) => parseCidr(text)?.prefix ?? [])
    .filter(({ length }) => length > 1);
  const addresses = host.addresses.flatMap((text) => {
    const address = parseAddress(text);
    return address ? [prefixOf(address, bits(address.family))] : [];
  });
  return [...routes, ...addresses];
}
