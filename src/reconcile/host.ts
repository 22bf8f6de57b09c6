// SPDX-License-Identifier: Apache-2.0
import { readFileSync, statSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { AddressPlace, HostLink, HostRoutes, HostSocket, HostView, PortRanges } from '../cnm/host.js';
import { isErrno } from './files.js';
import type { HostSockets, NetlinkApi, NetnsApi } from './kernel.js';
import { layerOf } from './layer.js';
import { ifThere } from './ops/inside.js';
import { automaticPorts, RESERVED_PORTS, type Sysctls } from './reserved-ports.js';

/** RT_TABLE_LOCAL: the host's own addresses, which `addresses` tells of. */
const LOCAL = 255;

export interface HostViewOptions {
  sockets: HostSockets;
  sysctls: Pick<Sysctls, 'read'>;
  ipv6: boolean;
  /** Path of the host's resolv.conf. */
  resolvConf: string;
}

/** The model's questions about the host, answered from the kernel each time. */
export class KernelHostView implements HostView {
  readonly #netlink: NetlinkApi;
  readonly #netns: NetnsApi;
  readonly #o: HostViewOptions;

  constructor(netlink: NetlinkApi, netns: NetnsApi, options: HostViewOptions) {
    this.#netlink = netlink;
    this.#netns = netns;
    this.#o = options;
  }

  get ipv6(): boolean {
    return this.#o.ipv6;
  }

  async addressesAndRoutes(except?: string): Promise<HostRoutes> {
    const [routes, addresses, link] = await Promise.all([
      this.#netlink.routes(),
      this.#netlink.addresses(),
      except === undefined ? undefined : this.#netlink.linkByName(except),
    ]);
    const cidrs = routes
      .filter((r) => r.dst !== null && r.table !== LOCAL && r.type === 'unicast')
      .filter((r) => r.ifindex !== link?.ifindex)
      .map((r) => r.dst as string);
    const own = addresses.filter((a) => a.ifindex !== link?.ifindex);
    return {
      cidrs: [...new Set(cidrs)],
      addresses: own.map((a) => a.address),
      connected: own.map((a) => `${a.address}/${a.prefixLength}`),
    };
  }

  /** What is local in a table of its own, as that of a VRF, only the addresses tell. */
  async placeOf(address: string): Promise<AddressPlace> {
    const type = (await this.#netlink.routeTo(address))?.type;
    if (type === 'local') return 'own';
    if (type === 'broadcast') return 'broadcast';
    return (await this.#netlink.addresses()).some((own) => own.address === address) ? 'own' : 'elsewhere';
  }

  async link(name: string): Promise<HostLink | null> {
    const link = await this.#netlink.linkByName(name);
    if (link === undefined) return null;
    return {
      kind: link.kind,
      ethernet: !link.loopback && layerOf(link) === 'ethernet',
      master: link.master === 0 ? null : await this.#masterOf(link.master),
    };
  }

  async #masterOf(ifindex: number): Promise<string> {
    const links = await this.#netlink.links();
    return links.find((link) => link.ifindex === ifindex)?.name ?? `interface ${ifindex}`;
  }

  async pathExists(path: string): Promise<boolean> {
    try {
      await lstat(path);
      return true;
    } catch (e) {
      if (isErrno(e, 'ENOENT', 'ENOTDIR')) return false;
      throw e;
    }
  }

  isNetns(path: string): Promise<boolean> {
    return this.#netns.isNetns(path);
  }

  async isOwnNetns(path: string): Promise<boolean> {
    const own = statSync('/proc/self/ns/net', { bigint: true });
    try {
      const other = statSync(path, { bigint: true });
      return own.dev === other.dev && own.ino === other.ino;
    } catch (e) {
      if (isErrno(e, 'ENOENT', 'ENOTDIR')) return false;
      throw e;
    }
  }

  async linksIn(netns: string): Promise<string[] | null> {
    const links = await ifThere(this.#netns, netns, (inner) => inner.links());
    return links?.map((link) => link.name) ?? null;
  }

  async socketsOn(protocol: 'tcp' | 'udp', first: number, last: number): Promise<HostSocket[]> {
    return (await this.#o.sockets())
      .filter((s) => s.protocol === protocol && s.port >= first && s.port <= last)
      .map(({ address, port, v6only }) => ({ address, port, v6only }));
  }

  async portRanges(): Promise<PortRanges> {
    const [automatic, reserved] = await Promise.all([
      automaticPorts(this.#o.sysctls),
      this.#o.sysctls.read(RESERVED_PORTS),
    ]);
    return { automatic, reserved };
  }

  async linkExists(name: string): Promise<boolean> {
    return (await this.#netlink.linkByName(name)) !== undefined;
  }

  async resolvConf(): Promise<string> {
    try {
      return readFileSync(this.#o.resolvConf, 'utf8');
    } catch (e) {
      if (isErrno(e, 'ENOENT')) return '';
      throw e;
    }
  }
}
