// SPDX-License-Identifier: Apache-2.0
/**
 * What the model must know of the host to refuse what cannot work. Each answer
 * is of the moment; the model asks before it decides and keeps none of them.
 */
import { SluiceError } from '../base/errors.js';

export interface HostSocket {
  /** The bound address; `0.0.0.0` or `::` for every address. */
  readonly address: string;
  readonly port: number;
  /** It takes no IPv4, though bound to `::`. */
  readonly v6only?: boolean;
}

export interface HostLink {
  /** `veth`, `bridge`, `vlan`…; null for a device without link operations. */
  readonly kind: string | null;
  /** It has Ethernet frames and is not the loopback interface. */
  readonly ethernet: boolean;
  /** The bridge or bond that it is a port of. */
  readonly master: string | null;
}

export function requireIpv6({ ipv6 }: HostView): void {
  if (ipv6) return;
  throw new SluiceError('invalid_argument', 'this host has no IPv6', {
    field: 'ipv6',
    hint: 'leave IPv6 out, or start the host without ipv6.disable=1 on the kernel command line',
  });
}

/** `own`: of this host; `broadcast`: of one of its links; `elsewhere`: neither. */
export type AddressPlace = 'own' | 'broadcast' | 'elsewhere';

/** What the kernel picks source ports of sockets from. */
export interface PortRanges {
  /** net.ipv4.ip_local_port_range, inclusive. */
  readonly automatic: { readonly first: number; readonly last: number };
  /** net.ipv4.ip_local_reserved_ports, in its notation. */
  readonly reserved: string;
}

export interface HostRoutes {
  readonly cidrs: readonly string[];
  readonly addresses: readonly string[];
  readonly connected: readonly string[];
}

export interface HostView {
  /** Whether the host speaks IPv6. */
  readonly ipv6: boolean;
  /**
   * `cidrs`: destinations of the host's routes, both families, default routes
   * excepted. `addresses`: the host's own, without prefix length. `connected`:
   * the prefixes of those. `except`: a link whose routes and addresses are left
   * out.
   */
  addressesAndRoutes(except?: string): Promise<HostRoutes>;
  /** Whether packets to `address` reach this host itself, by an address or by a local route alone. */
  placeOf(address: string): Promise<AddressPlace>;
  /** The link of that name in the daemon's namespace; null: there is none. */
  link(name: string): Promise<HostLink | null>;
  /** Whether anything at all is at `path`. */
  pathExists(path: string): Promise<boolean>;
  /** Whether `path` is a network namespace (absent: false). */
  isNetns(path: string): Promise<boolean>;
  /** Whether `path` is the network namespace that the daemon itself runs in. */
  isOwnNetns(path: string): Promise<boolean>;
  /** Names of the links inside a namespace that we did not make. */
  linksIn(netns: string): Promise<readonly string[] | null>;
  /** Listening TCP or bound UDP sockets of the daemon's namespace on ports `first`…`last`, both families. */
  socketsOn(protocol: 'tcp' | 'udp', first: number, last: number): Promise<readonly HostSocket[]>;
  portRanges(): Promise<PortRanges>;
  /** Whether the daemon's namespace has a link of that name. */
  linkExists(name: string): Promise<boolean>;
  /** Text of the host's resolv.conf; '' if there is none. */
  resolvConf(): Promise<string>;
}
