// SPDX-License-Identifier: Apache-2.0
/**
 * Links, addresses, routes, neighbours and forwarding entries of one network
 * namespace. Failures are NativeErrors with the kernel's errno (`EEXIST`,
 * `ENODEV`…) and its own words in `log`.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { isNativeError, SluiceError } from '../base/errors.js';
import { missingModule } from '../base/modules.js';
import type { NetNative, NetSocket } from '../native/net.js';
import * as a from './addressing.js';
import * as r from './advertised.js';
import * as l from './links.js';
import { messageType } from './message.js';
import * as tc from './tc.js';
import { NETLINK_ROUTE, RTM } from './uapi.js';

export type { AddressInfo, FdbInfo, NeighbourInfo, RouteInfo, RouteSpec, RuleInfo } from './addressing.js';
export type { AdvertisedRoute } from './advertised.js';
export type { BridgePortFlags, LinkInfo, LinkSettings, MacvlanMode } from './links.js';

/** What the route that was found answers: there is none, unreachable, prohibit, blackhole. */
const NO_ROUTE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL']);

export class Netlink {
  readonly #native: NetNative;
  readonly #socket: NetSocket;

  readonly #netns: string | null;

  private constructor(native: NetNative, socket: NetSocket, netns: string | null) {
    this.#native = native;
    this.#socket = socket;
    this.#netns = netns;
  }

  /** `netns`: path of a namespace, null for the one of this process. */
  static async open(native: NetNative, netns: string | null = null): Promise<Netlink> {
    return new Netlink(native, await native.netOpen(NETLINK_ROUTE, netns), netns);
  }

  close(): void {
    this.#native.netClose(this.#socket);
  }

  async #change(name: string, message: Buffer): Promise<void> {
    await this.#native.netRequest(this.#socket, name, message);
  }

  async #dump<T>(name: string, message: Buffer, type: number, decode: (m: Buffer) => T): Promise<T[]> {
    const answer = await this.#native.netRequest(this.#socket, name, message);
    return answer.filter((m) => messageType(m) === type).map(decode);
  }

  links(): Promise<l.LinkInfo[]> {
    return this.#dump('RTM_GETLINK', l.getLinks(), RTM.NEWLINK, l.decodeLink);
  }

  async linkByName(name: string): Promise<l.LinkInfo | undefined> {
    try {
      const found = await this.#dump('RTM_GETLINK', l.getLink(name), RTM.NEWLINK, l.decodeLink);
      return found[0];
    } catch (e) {
      if (isNativeError(e) && e.code === 'ENODEV') return undefined;
      throw e;
    }
  }

  /** Answers the new link. Down, as the kernel makes it. */
  createBridge(bridge: { name: string; mac: string; mtu?: number }): Promise<l.LinkInfo> {
    return orMissing(
      'bridge',
      this.#create(bridge.name, l.createBridge(bridge.name, bridge.mac, bridge.mtu)),
    );
  }

  /** One request makes both ends, the peer in `peer.netns` at once, null: beside ours; answers ours. */
  async createVeth(veth: {
    name: string;
    mtu: number;
    peer: l.VethCreate['peer'] & { netns: string | null };
  }): Promise<l.LinkInfo> {
    const create = (fd: number | null) => orMissing('veth', this.#create(veth.name, l.createVeth(veth, fd)));
    return veth.peer.netns === null ? create(null) : withNetns(veth.peer.netns, create);
  }

  /** In the namespace at `netns` from the start, null: beside its parent; down, as the kernel makes it. */
  createMacvlan({ netns, ...link }: l.MacvlanCreate & { netns: string | null }): Promise<void> {
    const create = (fd: number | null) =>
      orMissing('macvlan', this.#change('RTM_NEWLINK', l.createMacvlan(link, fd)));
    return netns === null ? create(null) : withNetns(netns, create);
  }

  /** Made and looked at in one exchange. */
  async #create(name: string, message: Buffer): Promise<l.LinkInfo> {
    const both = Buffer.concat([message, l.getLink(name)]);
    const [link] = await this.#dump('RTM_NEWLINK', both, RTM.NEWLINK, l.decodeLink);
    return link as l.LinkInfo;
  }

  /** What an interface that has nothing yet is given, in one exchange: addresses, up, default routes. */
  configure(
    ifindex: number,
    { addresses, gateways }: { addresses: readonly string[]; gateways: readonly string[] },
  ) {
    return this.#change(
      'RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE',
      Buffer.concat([
        ...addresses.map((cidr) => a.changeAddress(true, ifindex, cidr)),
        l.setLink(ifindex, { up: true }),
        ...gateways.map((gateway) => a.changeRoute(true, { dst: null, gateway, ifindex })),
      ]),
    );
  }

  setLink(ifindex: number, settings: l.LinkSettings): Promise<void> {
    return this.#change('RTM_NEWLINK', l.setLink(ifindex, settings));
  }

  deleteLink(link: number | string): Promise<void> {
    return this.#change('RTM_DELLINK', l.deleteLink(link));
  }

  async addresses(ifindex?: number): Promise<a.AddressInfo[]> {
    const all = await this.#dump('RTM_GETADDR', a.getAddresses(), RTM.NEWADDR, a.decodeAddress);
    return ifindex === undefined ? all : all.filter((x) => x.ifindex === ifindex);
  }

  addAddress(ifindex: number, cidr: string): Promise<void> {
    return this.#change('RTM_NEWADDR', a.changeAddress(true, ifindex, cidr));
  }

  deleteAddress(ifindex: number, cidr: string): Promise<void> {
    return this.#change('RTM_DELADDR', a.changeAddress(false, ifindex, cidr));
  }

  /** Every table's routes, those of the local table included. */
  routes(): Promise<a.RouteInfo[]> {
    return this.#dump('RTM_GETROUTE', a.getRoutes(), RTM.NEWROUTE, a.decodeRoute);
  }

  /** Those of the local table that make an address the host's own; no others are read. */
  async localRoutes(): Promise<a.RouteInfo[]> {
    const socket = await this.#native.netOpen(NETLINK_ROUTE, this.#netns, true);
    try {
      const answer = await this.#native.netRequest(socket, 'RTM_GETROUTE', a.getLocalRoutes());
      return answer.filter((m) => messageType(m) === RTM.NEWROUTE).map(a.decodeRoute);
    } finally {
      this.#native.netClose(socket);
    }
  }

  /** Of a packet to `address` that this host sends; undefined: none leads there, or one that refuses. */
  async routeTo(address: string): Promise<a.RouteInfo | undefined> {
    try {
      return (await this.#dump('RTM_GETROUTE', a.getRoute(address), RTM.NEWROUTE, a.decodeRoute))[0];
    } catch (e) {
      if (isNativeError(e) && NO_ROUTE.has(e.code)) return undefined;
      throw e;
    }
  }

  addRoute(route: a.RouteSpec): Promise<void> {
    return this.#change('RTM_NEWROUTE', a.changeRoute(true, route));
  }

  deleteRoute(route: a.RouteSpec): Promise<void> {
    return this.#change('RTM_DELROUTE', a.changeRoute(false, route));
  }

  rules(family: 4 | 6): Promise<a.RuleInfo[]> {
    return this.#dump('RTM_GETRULE', a.getRules(family), RTM.NEWRULE, a.decodeRule);
  }

  addRule(family: 4 | 6, rule: a.RuleInfo): Promise<void> {
    return this.#change('RTM_NEWRULE', a.addRule(family, rule));
  }

  /** What routers told of, of the main table. */
  async advertisedRoutes(): Promise<r.AdvertisedRoute[]> {
    const all = await this.#dump('RTM_GETROUTE', a.getRoutes(), RTM.NEWROUTE, r.decodeAdvertised);
    return all.filter((x) => x !== null);
  }

  addAdvertised(route: r.AdvertisedRoute): Promise<void> {
    return this.#change('RTM_NEWROUTE', r.changeAdvertised(true, route));
  }

  deleteAdvertised(route: r.AdvertisedRoute): Promise<void> {
    return this.#change('RTM_DELROUTE', r.changeAdvertised(false, route));
  }

  /** The devices that forward IPv4. */
  forwarding4(): Promise<ReadonlySet<number>> {
    return this.#forwarding(4);
  }

  async #forwarding(family: 4 | 6): Promise<ReadonlySet<number>> {
    const message = r.getForwarding(family);
    const all = await this.#dump('RTM_GETNETCONF', message, RTM.NEWNETCONF, r.decodeForwarding);
    return new Set(all.filter((x) => x !== null));
  }

  /** The devices that forward IPv6. */
  async forwarding6(): Promise<ReadonlySet<number>> {
    try {
      return await this.#forwarding(6);
    } catch (e) {
      // with ipv6.disable=1 nobody answers for that family
      if (isNativeError(e) && e.code === 'EOPNOTSUPP') return new Set();
      throw e;
    }
  }

  async neighbours(ifindex?: number): Promise<a.NeighbourInfo[]> {
    const all = await this.#dump('RTM_GETNEIGH', a.getNeighbours(), RTM.NEWNEIGH, a.decodeNeighbour);
    return ifindex === undefined ? all : all.filter((x) => x.ifindex === ifindex);
  }

  /** Permanent; replaces what is there. */
  setNeighbour(ifindex: number, address: string, mac: string): Promise<void> {
    return this.#change('RTM_NEWNEIGH', a.changeNeighbour(ifindex, address, mac));
  }

  deleteNeighbour(ifindex: number, address: string): Promise<void> {
    return this.#change('RTM_DELNEIGH', a.changeNeighbour(ifindex, address, null));
  }

  async fdb(ifindex?: number): Promise<a.FdbInfo[]> {
    const all = await this.#dump('RTM_GETNEIGH', a.getFdb(), RTM.NEWNEIGH, a.decodeFdb);
    return all.filter((x) => x !== null && (ifindex === undefined || x.ifindex === ifindex)) as a.FdbInfo[];
  }

  /** A static entry on a bridge port. */
  setFdb(ifindex: number, mac: string): Promise<void> {
    return this.#change('RTM_NEWNEIGH', a.changeFdb(true, ifindex, mac));
  }

  deleteFdb(ifindex: number, mac: string): Promise<void> {
    return this.#change('RTM_DELNEIGH', a.changeFdb(false, ifindex, mac));
  }

  /** False: the device has one. */
  async createClsact(ifindex: number): Promise<boolean> {
    try {
      await this.#change('RTM_NEWQDISC', tc.createClsact(ifindex));
      return true;
    } catch (e) {
      if (!isNativeError(e) || e.code !== 'EEXIST') throw e;
    }
    const [kind] = await this.#dump('RTM_GETQDISC', tc.getClsact(ifindex), RTM.NEWQDISC, tc.decodeQdiscKind);
    if (kind === 'clsact') return false;
    // it takes filters of either direction, and runs them all on the way in
    throw new SluiceError('conflict', `interface ${ifindex} has a qdisc \`${kind}\` in place of clsact`, {
      hint: 'replace it by clsact, which takes the same filters: tc qdisc add dev NAME clsact',
    });
  }

  /** Absent is success. */
  async deleteClsact(ifindex: number): Promise<void> {
    try {
      await this.#change('RTM_DELQDISC', tc.deleteClsact(ifindex));
    } catch (e) {
      if (!isNativeError(e) || !['ENOENT', 'EINVAL', 'ENODEV'].includes(e.code)) throw e;
    }
  }

  /** On its clsact qdisc, in either direction, whosever they are. */
  async hasFilters(ifindex: number): Promise<boolean> {
    const requests = Buffer.concat(tc.CLSACT_PARENTS.map((parent) => tc.getFilters(ifindex, parent)));
    const found = await this.#dump('RTM_GETTFILTER', requests, RTM.NEWTFILTER, () => true);
    return found.length > 0;
  }
}

/** The module of a kind of link has the kind's name. */
async function orMissing<T>(kind: string, creation: Promise<T>): Promise<T> {
  try {
    return await creation;
  } catch (e) {
    if (isNativeError(e) && e.code === 'EOPNOTSUPP' && /unknown device type/i.test(e.log))
      throw missingModule(kind, `no ${kind} can be made`, e);
    throw e;
  }
}

async function withNetns<T>(path: string, task: (fd: number) => Promise<T>): Promise<T> {
  // O_NONBLOCK: the path of a FIFO would wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await task(fd);
  } finally {
    closeSync(fd);
  }
}
