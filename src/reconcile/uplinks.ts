// SPDX-License-Identifier: Apache-2.0
/**
 * The ways to the world. Every interface that is up and neither loopback, ours
 * nor part of another one (a bridge port or bond slave has no addresses of its
 * own) is an uplink, and every address of the host answers published ports.
 * The port by which a bridge reaches the world is half of one.
 */
import {
  bits,
  formatAddress,
  formatPrefix,
  lastAddress,
  parseAddress,
  parsePrefix,
  prefixOf,
} from '../base/addresses.js';
import type { Clock, Timer } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { Owner, Realizer, Row } from '../cnm/rows.js';
import type { Identity } from './identity.js';
import type { AddressInfo, LinkInfo, NetlinkApi, RouteInfo } from './kernel.js';
import { layerOf } from './layer.js';
import type { LinkTable } from './links.js';
import { DEFAULT_MTU, leadsToTheWorld, uplinkMtu } from './uplink-mtu.js';

/** The owner of all that the follower wants. */
export const NODE: Owner = { kind: 'node', id: 'node' };

/** Links come in bursts: created, renamed, addressed, set up. */
const SETTLE_MS = 50;

export interface UplinkOptions {
  netlink: Pick<NetlinkApi, 'addresses' | 'routes' | 'localRoutes'>;
  links: LinkTable;
  realizer: Realizer;
  identity: Identity;
  /** Only these; empty: all that look like one. */
  names: readonly string[];
  /** Rows of the node that do not depend on its links. */
  fixed: readonly Row[];
  /** Drop at XDP what is for containers' own addresses. */
  xdp: boolean;
  /** Links that rows of ours make or will make. */
  wanted(name: string): boolean;
  /** The MTU of networks that are given none has changed. */
  onMtu(mtu: number): void;
  /** The host has these addresses; called before rows that follow from it are answered. */
  onAddresses?(addresses: ReadonlySet<string>): Promise<void>;
  /** What follows from the addresses is in the kernel. */
  onApplied?(): void;
  clock: Clock;
  log: Log;
}

export class UplinkFollower {
  readonly #o: UplinkOptions;
  #uplinks: LinkInfo[] = [];
  /** By ifindex: what has been an uplink and is the port of a bridge now. */
  #formerly = new Set<number>();
  #addresses: AddressInfo[] = [];
  #localRoutes: readonly RouteInfo[] = [];
  #mtu = DEFAULT_MTU;
  /** What the MTU was found for; null: to be found anew. */
  #mtuOf: string | null = null;
  #timer: Timer | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: UplinkOptions) {
    this.#o = options;
  }

  /** Of networks that are given none. */
  get mtu(): number {
    return this.#mtu;
  }

  get uplinks(): readonly LinkInfo[] {
    return this.#uplinks;
  }

  /** The first uplink's first address, for a node that was given none. */
  get address(): string | null {
    for (const link of this.#uplinks) {
      const own = this.#addresses.find(
        (a) => a.ifindex === link.ifindex && a.family === 4 && a.scope === 'global',
      );
      if (own !== undefined) return own.address;
    }
    return null;
  }

  addressesOf(ifindex: number): string[] {
    return this.#addresses.filter((a) => a.ifindex === ifindex).map((a) => `${a.address}/${a.prefixLength}`);
  }

  /** Looks at the host as it is now, and answers the rows it calls for. */
  async look(): Promise<Row[]> {
    this.#addresses = await this.#o.netlink.addresses();
    await this.#o.onAddresses?.(new Set(this.#addresses.map(({ address }) => address)));
    this.#localRoutes = await this.#o.netlink.localRoutes();
    const links = this.#o.links.all().sort((a, b) => a.ifindex - b.ifindex);
    this.#uplinks = links.filter((link) => this.#isUplink(link));
    const ports = links.filter((link) => this.#isBridgedUplink(link));
    this.#formerly = new Set([...this.#uplinks, ...ports].map(({ ifindex }) => ifindex));
    await this.#noteMtu();
    return [
      ...this.#o.fixed,
      ...this.#uplinks.flatMap((link) => this.#uplinkRows(link)),
      ...ports.flatMap((link) => this.#portRows(link)),
      ...this.#addressRows(),
      ...this.#prefixRows(),
    ];
  }

  /** Call on every route event; null: some were lost. */
  routeChanged(route: RouteInfo | null): void {
    if (route?.type === 'local') {
      this.changed();
      return;
    }
    if (route !== null && !leadsToTheWorld(route) && !this.#holdsMtuDown(route)) return;
    this.#mtuOf = null;
    this.changed();
  }

  /** Call on every link and address event. */
  changed(): void {
    if (this.#stopped || this.#timer !== null) return;
    this.#timer = this.#o.clock.after(SETTLE_MS, () => this.#follow());
  }

  /** Call when an address is gone: until it is seen to, packets leave under it. */
  addressGone(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = this.#o.clock.after(0, () => this.#follow());
  }

  #follow(): void {
    this.#timer = null;
    this.#running = this.#running
      .then(async () => this.#o.realizer.apply(NODE, await this.look()))
      // The rows stay in error and are tried again; a link may well be gone already.
      .catch((e: unknown) => this.#o.log.warn('an uplink is not in place', { err: e }))
      .then(() => this.#o.onApplied?.());
  }

  #holdsMtuDown({ via }: RouteInfo): boolean {
    return this.#uplinks.some(({ ifindex, mtu }) => mtu <= this.#mtu && via.includes(ifindex));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #isUplink(link: LinkInfo): boolean {
    const { names, identity, wanted } = this.#o;
    if (!link.up || link.loopback || link.master !== 0) return false;
    if (names.length > 0 && !names.includes(link.name)) return false;
    if (layerOf(link) === null) return false;
    return !wanted(link.name) && !identity.owns(link);
  }

  /**
   * A port of a bridge that gets what is for the host: it has the bridge's MAC,
   * or was an uplink before it was put there. It keeps the program on its way
   * in, which sees a packet before the bridge does, so that there is no moment
   * without one when the link is moved in or out.
   */
  #isBridgedUplink(link: LinkInfo): boolean {
    const { links, names, identity, wanted } = this.#o;
    const bridge = links.byIndex(link.master);
    if (!link.up || bridge?.kind !== 'bridge' || identity.owns(bridge) || wanted(bridge.name)) return false;
    if (layerOf(link) !== 'ethernet' || wanted(link.name) || identity.owns(link)) return false;
    if (names.length > 0 && !names.includes(link.name) && !names.includes(bridge.name)) return false;
    return link.mac === bridge.mac || this.#formerly.has(link.ifindex);
  }

  /** Nothing on the way out: what the bridge sends has been looked at there. */
  #portRows(link: LinkInfo): Row[] {
    return [
      { kind: 'uplink', link: link.name, layer: 'ethernet', ipv4: null, ipv6: null },
      { kind: 'attachment', link: link.name, hook: 'uplink_ingress' },
    ];
  }

  #uplinkRows(link: LinkInfo): Row[] {
    const layer = layerOf(link) ?? 'ethernet';
    const isGlobal = (a: AddressInfo, family: 4 | 6): boolean => a.family === family && a.scope === 'global';
    // An unnumbered link sends under an address of loopback, as the kernel chooses it.
    const own = (family: 4 | 6): string | null =>
      (
        this.#addresses.find((a) => a.ifindex === link.ifindex && isGlobal(a, family)) ??
        this.#addresses.find((a) => isGlobal(a, family) && this.#o.links.byIndex(a.ifindex)?.loopback)
      )?.address ?? null;
    return [
      { kind: 'uplink', link: link.name, layer, ipv4: own(4), ipv6: own(6) },
      { kind: 'attachment', link: link.name, hook: 'uplink_ingress' },
      { kind: 'attachment', link: link.name, hook: 'uplink_egress' },
      ...(this.#o.xdp && layer === 'ethernet'
        ? [{ kind: 'attachment', link: link.name, hook: 'uplink_xdp' } as const]
        : []),
    ];
  }

  #addressRows(): Row[] {
    const rows = new Map<string, Row>();
    for (const { address, ifindex } of this.#addresses) {
      const link = this.#o.links.byIndex(ifindex);
      if (link?.up !== true || rows.has(address)) continue;
      if (!isUnicast(address)) continue;
      rows.set(address, { kind: 'host-address', address, link: link.name });
    }
    return [...rows.values()];
  }

  /** Broadcast addresses of uplinks, and what is the host's by a local route alone. */
  #prefixRows(): Row[] {
    const rows = new Map<string, Row>();
    const carried = new Set(this.#addresses.map(({ address }) => address));
    for (const { dst } of this.#localRoutes) {
      const prefix = dst === null ? null : parsePrefix(dst);
      if (prefix === null || prefix.length === 0) continue;
      const address = formatAddress({ family: prefix.family, value: prefix.network });
      const single = prefix.length === bits(prefix.family);
      if ((single && carried.has(address)) || !isUnicast(address)) continue;
      rows.set(formatPrefix(prefix), { kind: 'host-prefix', prefix: formatPrefix(prefix), address: null });
    }
    const uplinks = new Set(this.#uplinks.map(({ ifindex }) => ifindex));
    for (const { family, address, prefixLength, ifindex } of this.#addresses) {
      const parsed = parseAddress(address);
      if (family !== 4 || parsed === null || prefixLength > 30 || !uplinks.has(ifindex)) continue;
      const value = lastAddress(prefixOf(parsed, prefixLength));
      const prefix = `${formatAddress({ family, value })}/32`;
      if (!rows.has(prefix)) rows.set(prefix, { kind: 'host-prefix', prefix, address });
    }
    return [...rows.values()];
  }

  /**
   * Routes are asked for where they make a difference and may have changed:
   * a router has a million of them. Those of IPv4 go without an event where
   * their link or address goes.
   */
  async #noteMtu(): Promise<void> {
    const uplinks = this.#uplinks.map(({ ifindex, mtu }) => `${ifindex} ${mtu}`);
    const addresses = this.#addresses.map((a) => `${a.ifindex} ${a.address}`);
    const text = [...uplinks, ...addresses].join();
    if (text === this.#mtuOf) return;
    this.#mtuOf = text;
    const one = new Set(this.#uplinks.map(({ mtu }) => mtu)).size <= 1;
    const mtu = uplinkMtu(this.#uplinks, one ? [] : await this.#routes());
    if (mtu === this.#mtu) return;
    this.#mtu = mtu;
    this.#o.onMtu(mtu);
  }

  async #routes(): Promise<readonly RouteInfo[]> {
    try {
      return await this.#o.netlink.routes();
    } catch (e) {
      this.#mtuOf = null;
      throw e;
    }
  }
}

function isUnicast(text: string): boolean {
  return text.includes(':') ? isUnicast6(text) : isUnicast4(text);
}

/** Loopback addresses are the same on every host and answer nobody outside. */
function isUnicast4(text: string): boolean {
  const first = Number((parseAddress(text)?.value ?? 0n) >> 24n);
  return first > 0 && first !== 127 && first < 224;
}

/** Link-local addresses are the link's: the host's stack alone answers there. */
function isUnicast6(text: string): boolean {
  const value = parseAddress(text)?.value ?? 0n;
  return value > 1n && value >> 118n !== 0x3fan && value >> 120n !== 0xffn;
}
