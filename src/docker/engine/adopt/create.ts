// SPDX-License-Identifier: Apache-2.0
/** `docker network create` for a network like one that there is. */
import type { NetworkInspect } from '../shapes.js';

const BRIDGE = 'com.docker.network.bridge.';
const NAME = `${BRIDGE}name`;
/** Those that Sluice has under Docker's own names. */
const KEPT: readonly string[] = [
  'com.docker.network.driver.mtu',
  `${BRIDGE}enable_icc`,
  `${BRIDGE}enable_ip_masquerade`,
  `${BRIDGE}host_binding_ipv4`,
];
const OF_DEFAULT_BRIDGE = `${BRIDGE}default_bridge`;

export interface CreateOptions {
  readonly name: string;
  readonly driver: readonly string[];
  /** Subnets and the bridge's name: only for one that takes the other's place. */
  readonly sameAddresses: boolean;
}

/** The words after `docker network create`. */
export function createWords(network: NetworkInspect, options: CreateOptions): string[] {
  const { sameAddresses } = options;
  const kept = Object.entries(network.options).filter(
    ([key]) => KEPT.includes(key) || (sameAddresses && key === NAME),
  );
  return [
    ...options.driver,
    ...(network.internal ? ['--internal'] : []),
    ...(network.ipv6 ? ['--ipv6'] : []),
    ...(network.attachable ? ['--attachable'] : []),
    ...(sameAddresses ? network.ipam.pools.flatMap(poolWords) : []),
    ...kept.flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    ...Object.entries(network.labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    options.name,
  ];
}

/** As it was, for the way back: every option. */
export function recreateWords(network: NetworkInspect): string[] {
  return [
    ...['-d', network.driver],
    ...(network.internal ? ['--internal'] : []),
    ...(network.ipv6 ? ['--ipv6'] : []),
    ...(network.attachable ? ['--attachable'] : []),
    ...network.ipam.pools.flatMap(poolWords),
    ...Object.entries(network.options).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    ...Object.entries(network.labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    network.name,
  ];
}

/** What the new network does not have of the old one. */
export function leftOut(network: NetworkInspect, sameAddresses: boolean): string[] {
  const lost = Object.keys(network.options).filter(
    (key) => !KEPT.includes(key) && key !== OF_DEFAULT_BRIDGE && !(sameAddresses && key === NAME),
  );
  return [
    ...lost.map((key) => `option ${key}=${network.options[key]} of the network is not carried over`),
    ...(network.ipam.driver === 'default' || network.ipam.driver === ''
      ? []
      : [`the network's addresses are handed out by '${network.ipam.driver}', the new one's by Sluice`]),
  ];
}

function poolWords({
  subnet,
  gateway,
  ipRange,
  auxiliary,
}: NetworkInspect['ipam']['pools'][number]): string[] {
  return [
    ...(subnet ? ['--subnet', subnet] : []),
    // Docker writes the gateway of an IPv6 subnet with its prefix at times.
    ...(gateway ? ['--gateway', gateway.split('/')[0] as string] : []),
    ...(ipRange ? ['--ip-range', ipRange] : []),
    ...Object.entries(auxiliary).flatMap(([key, value]) => ['--aux-address', `${key}=${value}`]),
  ];
}
