// SPDX-License-Identifier: Apache-2.0
/**
 * What the reconciler uses of the kernel, as interfaces: src/link, src/maps and
 * src/loader fulfil them, tests put their own in place.
 */

import type { Hook, SocketHook } from '../cnm/rows.js';
import type { Announcer } from '../link/announce.js';
import type { Netlink } from '../link/netlink.js';
import type { Netns } from '../link/netns.js';
import type { HostSocket } from '../link/sockets.js';
import type { Attacher } from '../loader/attach.js';
import type { Guards } from '../loader/guards.js';
import type { Program } from '../loader/programs.js';
import type { Layer } from './layer.js';

export type { AddressInfo, AdvertisedRoute, LinkInfo, RouteInfo } from '../link/netlink.js';

/** Of one network namespace. */
export type NetlinkApi = Pick<Netlink, keyof Netlink>;

export type NetnsApi = Pick<
  Netns,
  'createNetns' | 'deleteNetns' | 'isNetns' | 'info' | 'writeSysctlIn' | 'defragmentIn' | 'defragmentsIn'
> & {
  netlinkIn(path: string): Promise<NetlinkApi>;
};

export type AnnounceApi = Pick<Announcer, 'announce'>;

/** A typed map, as far as rows need it. */
export interface KernelMap<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  delete(key: K): boolean;
  setBatch(pairs: readonly (readonly [K, V])[]): void;
  deleteBatch(keys: readonly K[]): void;
  entries(): AsyncIterable<[K, V]>;
  /** Of an array: the elements that are not all zero. */
  used(): AsyncIterable<[K, V]>;
  /** Of an array: so many elements from `first` on. */
  slice(first: number, count: number): V[];
  /** Of an array, of every CPU too: sets elements to zero. */
  zero(keys: readonly K[]): void;
}

export type AttachApi = Pick<
  Attacher,
  | 'attachTc'
  | 'attachXdp'
  | 'attachSocketHook'
  | 'attachDefragmentation'
  | 'holdDefragmentation'
  | 'detach'
  | 'deviceOf'
  | 'rename'
  | 'listAttachments'
  | 'listSocketHooks'
>;

export type GuardsApi = Pick<Guards, 'put' | 'hold'>;

/** The programs of the hooks, for devices with and without Ethernet header. */
export interface Programs {
  loaded(hook: Hook, layer: Layer): Program | undefined;
  load(hook: Hook, layer: Layer): Promise<Program>;
}

/** The programs of the socket hooks, and the cgroup they belong on. */
export interface SocketPrograms {
  /** Its directory; null: this host has none. */
  readonly cgroup: string | null;
  socketProgram(hook: SocketHook): Program;
}

/** Listening TCP and bound UDP sockets of the daemon's namespace. */
export type HostSockets = () => Promise<readonly HostSocket[]>;

export interface DeviceValue {
  kind: number;
  id: number;
  flags: number;
  addr4: string;
  mac: string;
  addr6: string;
}
export interface NetworkValue {
  ifindex: number;
  flags: number;
  gateway4: string;
  members_end: number;
  mac: string;
  gateway6: string;
}
export interface EndpointValue {
  ifindex: number;
  generation: number;
  net: number;
  sandbox: number;
  addr4: string;
  mac: string;
  gateway_mac: string;
  member: number;
  addr6: string;
  max_flows: number;
  max_new_flows: number;
}
export interface PublishValue {
  endpoint: number;
  generation: number;
  addr4: string;
  host_port: number;
  host_port_end: number;
  port: number;
  protocol: number;
  flags: number;
  addr6: string;
}
export interface ReassemblyValue {
  ifindex: number;
  mtu: number[];
}
export interface AllowKey {
  prefix_length: number;
  publish: number;
  source: string;
}
export interface ServiceKey {
  addr: string;
  port: number;
  protocol: number;
}
export interface ServicePortValue {
  service: number;
  net: number;
  slots: number;
  count: number;
  weights: number;
  table: number;
  places: number;
  affinity: number;
  port: number;
  flags: number;
}
export interface ServiceSlotValue {
  backend: number;
  seed: number;
  weight: number;
}
export interface ServiceBackendValue {
  endpoint: number;
  generation: number;
  service: number;
  idle: number;
  state: number;
}

/** IPv4 as ::ffff:a.b.c.d. */
export interface HostPrefixKey {
  prefix_length: number;
  addr: string;
}

export interface HostPrefixValue {
  kind: number;
  addr: string;
}

/** The maps that rows are written to. */
export interface KernelMaps {
  readonly endpoints: KernelMap<number, EndpointValue>;
  readonly ep_mac: KernelMap<{ net: number; mac: string }, number>;
  readonly ep_addr4: KernelMap<string, number>;
  readonly ep_addr6: KernelMap<string, number>;
  readonly members: KernelMap<{ net: number; member: number }, number>;
  readonly devices: KernelMap<number, DeviceValue>;
  readonly networks: KernelMap<number, NetworkValue>;
  readonly host_addr4: KernelMap<string, number>;
  readonly host_addr6: KernelMap<string, number>;
  readonly host_prefixes: KernelMap<HostPrefixKey, HostPrefixValue>;
  readonly port_slots: KernelMap<number, number>;
  readonly publish_addr4: KernelMap<{ addr: string; port: number; protocol: number }, number>;
  readonly publish_addr6: KernelMap<{ addr: string; port: number; protocol: number }, number>;
  readonly publish_allow: KernelMap<AllowKey, number>;
  readonly publishes: KernelMap<number, PublishValue>;
  readonly reassembly: KernelMap<number, ReassemblyValue>;
  readonly services4: KernelMap<ServiceKey, ServicePortValue>;
  readonly services6: KernelMap<ServiceKey, ServicePortValue>;
  readonly service_slots: KernelMap<number, ServiceSlotValue>;
  readonly service_table: KernelMap<number, { slot: number[] }>;
  readonly service_backends: KernelMap<number, ServiceBackendValue>;
  readonly backend_endpoints: KernelMap<number, number>;
  readonly backend_load: Pick<KernelMap<number, unknown>, 'zero'>;
  readonly backend_traffic: Pick<KernelMap<number, unknown>, 'zero'>;
  readonly service_refusals: Pick<KernelMap<number, unknown>, 'used' | 'zero'>;
  readonly socket_netns: KernelMap<number, bigint>;
  readonly socket_namespaces: KernelMap<number, number>;
  readonly socket_members: KernelMap<{ cookie: bigint; net: number }, number>;
}
