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
import type { HostRoutes } from '../host.js';

/** Networks get blocks of prefix length `size` out of `cidr`. */
export interface Pool {
  readonly prefix: Prefix;
  readonly size: number;
}

/** Of IPv4, in the order in which they are used up. */
export const DEFAULT_POOLS: readonly string[] = ['10.64.0.0/10,24', '172.16.0.0/12,24', '192.168.0.0/16,24'];

/** `CIDR,SIZE`. */
export function parsePool(text: string): Pool {
  const comma = text.indexOf(',');
  const prefix = parsePrefix(text.slice(0, comma).trim());
  const size = /^\d{1,3}$/.exec(text.slice(comma + 1).trim());
  if (comma < 0 || !prefix || !size) {
    throw new SluiceError('invalid_argument', `'${text}' is not an address pool`, {
      field: 'pool',
      hint: 'write CIDR,SIZE such as 10.64.0.0/10,24 or fd12:3456:789a::/48,64',
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

/** The lowest block of the first pool that meets nothing of `taken`; throws `pool_exhausted`. `pools` are of one family. */
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
    `every block of the IPv${pools[0]?.prefix.family} address pools is in use or routed on this host`,
    {
      field: 'subnets',
      hint: 'give --subnet, or more pools to the daemon with --pool CIDR,SIZE',
    },
  );
}

/** Ranges that are not for subnets, and why. */
const RESERVED = (
  [
    ['0.0.0.0/8', 'no host can use'],
    ['127.0.0.0/8', 'no host can use: it is loopback'],
    ['224.0.0.0/3', 'no host can use: it is multicast or reserved'],
    ['::1/128', 'no host can use: it is loopback'],
    ['::ffff:0:0/96', 'no host can use: it stands for IPv4'],
    ['::/8', 'no host can use'],
    ['fe80::/10', 'no network can have: it is link-local'],
    ['ff00::/8', 'no host can use: it is multicast'],
  ] as const
).map(([text, why]) => ({ reserved: parsePrefix(text) as Prefix, why }));

/** With room for a gateway and an endpoint; a router on a longer IPv6 prefix answers for its first address too. */
const LONGEST = { 4: 31, 6: 126 } as const;

/** A subnet as asked for. `field` is that of the subnet in the request (`subnets[0]`). */
export function parseSubnet(text: string, field: string): Prefix {
  const parsed = parseCidr(text);
  const where = `${field}.cidr`;
  if (!parsed) {
    throw new SluiceError('invalid_argument', `'${text}' is not a subnet`, {
      field: where,
      hint: 'write a network address and prefix length, such as 10.64.0.0/24 or fd12:3456:789a:1::/64',
    });
  }
  const { prefix } = parsed;
  if (parsed.address.value !== prefix.network) {
    throw new SluiceError('invalid_argument', `subnet ${text} has bits behind its prefix`, {
      field: where,
      hint: `write ${formatPrefix(prefix)}`,
    });
  }
  const met = RESERVED.find(({ reserved }) => overlaps(prefix, reserved));
  if (met) {
    throw new SluiceError(
      'invalid_argument',
      `subnet ${text} meets ${formatPrefix(met.reserved)}, which ${met.why}`,
      {
        field: where,
        hint: `take a private range such as ${prefix.family === 4 ? '10.64.0.0/24' : 'fd12:3456:789a:1::/64'}`,
      },
    );
  }
  const longest = LONGEST[prefix.family];
  if (prefix.length > longest) {
    throw new SluiceError(
      'invalid_argument',
      `subnet ${text} has no room for an endpoint beside the gateway`,
      {
        field: where,
        hint: `use a /${longest} or a larger subnet`,
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
      : `is the ${gateway.value < usable.first ? nameOfFirst(subnet) : 'broadcast'} address of ${formatPrefix(subnet)}`;
  const first = formatAddress({ family: subnet.family, value: usable.first });
  throw new SluiceError('invalid_argument', `gateway ${text} ${why}`, {
    field: `${field}.gateway`,
    hint: `give an address of the subnet, or none for ${first}`,
  });
}

/** What the lowest address of a subnet is, which no host of it may bear. */
export function nameOfFirst({ family }: Prefix): string {
  return family === 4 ? 'network' : 'subnet-router anycast';
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
  readonly networks: readonly { readonly name: string; readonly prefixes: readonly Prefix[] }[];
  readonly host: HostPrefixes;
  /** Pools of another engine. */
  readonly leased?: readonly Prefix[];
}

/**
 * Refuses a subnet that meets another network's, or is what the host routes or
 * is connected to, by name. Inside a broader route, and around a narrower one,
 * the longer prefix wins, so a subnet that was asked for may be there; answers
 * what is lost by it.
 */
export function checkOverlap(
  subnet: Prefix,
  { networks, host, leased = [] }: Neighbours,
  field: string,
): string[] {
  const text = formatPrefix(subnet);
  const refuse = (what: string): never => {
    throw new SluiceError('overlap', `subnet ${text} overlaps ${what}`, {
      field: `${field}.cidr`,
      hint: 'choose another subnet, or none for an automatic one',
    });
  };
  for (const { name, prefixes } of networks) {
    const met = prefixes.find((prefix) => overlaps(subnet, prefix));
    if (met) refuse(`${formatPrefix(met)} of network '${name}'`);
  }
  const pool = leased.find((prefix) => overlaps(subnet, prefix));
  if (pool) refuse(`${formatPrefix(pool)}, which is a pool of Docker's`);
  const link = host.connected.find((prefix) => overlaps(subnet, prefix) && !isPartOfLink(subnet, prefix));
  if (link) refuse(`${formatPrefix(link)}, which this host is connected to`);
  const own = host.addresses.find((prefix) => overlaps(subnet, prefix));
  if (own) refuse(`${formatPrefix(own)}, an address of this host`);
  const met = host.routes.filter((prefix) => overlaps(subnet, prefix));
  const same = met.find(({ length }) => length === subnet.length);
  if (same) refuse(`${formatPrefix(same)}, which this host routes`);
  return met.map((route) =>
    route.length < subnet.length
      ? `subnet ${text} lies in ${formatPrefix(route)}, which this host routes: machines there with such addresses are not reached from here any more`
      : `subnet ${text} contains ${formatPrefix(route)}, which this host routes elsewhere: containers with such addresses are not reached`,
  );
}

/** A provider's /64 has room for a routed part of it; of an IPv4 link every address may be a machine's. */
function isPartOfLink(subnet: Prefix, link: Prefix): boolean {
  return subnet.family === 6 && subnet.length > link.length;
}

/** On every link alike: they are nobody's range. */
const EVERYWHERE = ['fe80::/10', 'ff00::/8'].map((text) => parsePrefix(text) as Prefix);

/** The longest prefix that stands for a default route: all of 2000::/3 is what IPv6 has given out. */
const DEFAULT_ROUTE = { 4: 1, 6: 3 } as const;

/** What the host routes, its own addresses as prefixes of one address, and the prefixes of those. */
export interface HostPrefixes {
  readonly routes: readonly Prefix[];
  readonly addresses: readonly Prefix[];
  readonly connected: readonly Prefix[];
}

export const NO_PREFIXES: HostPrefixes = { routes: [], addresses: [], connected: [] };

/**
 * A default route is no prefix of the host's, nor is half of everything: pairs
 * of those are how VPN clients replace a default route.
 */
export function hostPrefixes({ cidrs, addresses, connected }: HostRoutes): HostPrefixes {
  const here = (prefixes: readonly Prefix[]): Prefix[] =>
    prefixes.filter((prefix) => !EVERYWHERE.some((range) => contains(range, prefix)));
  const parsed = (texts: readonly string[]) => here(texts.flatMap((text) => parseCidr(text)?.prefix ?? []));
  return {
    routes: parsed(cidrs).filter(({ family, length }) => length > DEFAULT_ROUTE[family]),
    addresses: here(
      addresses.flatMap((text) => {
        const address = parseAddress(text);
        return address ? [prefixOf(address, bits(address.family))] : [];
      }),
    ),
    connected: parsed(connected).filter(({ family, length }) => length < bits(family)),
  };
}

/** Nothing of these is chosen by itself. */
export function allOf({ routes, addresses }: HostPrefixes): Prefix[] {
  return [...routes, ...addresses];
}
