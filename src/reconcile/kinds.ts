// SPDX-License-Identifier: Apache-2.0
/** The operations of every kind of row, put together. */
import type { PublishRow, Row, ServiceRow } from '../cnm/rows.js';
import type { Announce } from './announcements.js';
import type { Awaited } from './awaited.js';
import type { HostAddresses } from './host-addresses.js';
import type { Identity } from './identity.js';
import type {
  AttachApi,
  GuardsApi,
  HostSockets,
  KernelMaps,
  NetlinkApi,
  NetnsApi,
  Programs,
  SocketPrograms,
} from './kernel.js';
import type { LinkTable } from './links.js';
import { AttachmentOps } from './ops/attachment.js';
import { BridgeOps } from './ops/bridge.js';
import { DataplaneEndpointOps } from './ops/dp-endpoint.js';
import { DataplaneNetworkOps } from './ops/dp-network.js';
import { FdbOps } from './ops/fdb.js';
import { GuardedPublishOps } from './ops/guarded-publish.js';
import { HostAddressOps } from './ops/host-address.js';
import { HostPrefixOps } from './ops/host-prefix.js';
import { LentMacvlanOps } from './ops/lent-macvlan.js';
import { LentPortOps } from './ops/lent-port.js';
import { MacvlanOps } from './ops/macvlan.js';
import { NeighbourOps } from './ops/neighbour.js';
import { NetnsOps } from './ops/netns.js';
import { PortOps } from './ops/port.js';
import { PublishSocketOps } from './ops/publish-sockets.js';
import { ReassemblyOps } from './ops/reassembly.js';
import { SandboxFilesOps } from './ops/sandbox-files.js';
import { SocketHookOps } from './ops/socket-hook.js';
import { SocketMemberOps } from './ops/socket-member.js';
import { UplinkOps } from './ops/uplink.js';
import type { Ops, OpsByKind } from './ops.js';
import type { ReservedPorts } from './reserved-ports.js';
import type { Tables } from './tables.js';
import type { UdpTargets } from './udp-targets.js';

export interface LinkKernel {
  netlink: NetlinkApi;
  netns: NetnsApi;
  attach: AttachApi;
  guards: Pick<GuardsApi, 'put'>;
  links: LinkTable;
  tables: Tables;
  identity: Identity;
  /** Directory of the pinned links. */
  pins: string;
  /** Of the links to the world. */
  mtu(): number;
  /** The host has IPv6. */
  ipv6: boolean;
  programs: Programs;
  sockets: SocketPrograms;
  announcements: Announce;
  /** A file under /proc/sys of the daemon's own namespace. */
  writeSysctl(key: string, value: string): Promise<void>;
}

/** What else holds ports of the host. */
export interface PortKernel {
  hostSockets: HostSockets;
  reserved: Pick<ReservedPorts, 'changed'>;
  targets: Pick<UdpTargets, 'changed'>;
  addresses: Pick<HostAddresses, 'unpublished'>;
  publishes: Ops<PublishRow>;
}

/** Everything. */
export function allOps(
  kernel: LinkKernel,
  maps: KernelMaps,
  ports: PortKernel,
  services: Ops<ServiceRow>,
  awaited: Awaited,
): OpsByKind {
  const { netns, links, tables, announcements } = kernel;
  return {
    ...linkOps(kernel),
    reassembly: new ReassemblyOps(kernel, maps.reassembly),
    'dp-network': new DataplaneNetworkOps(maps, links, tables),
    'dp-endpoint': new DataplaneEndpointOps(maps, { links, tables, announcements }),
    uplink: new UplinkOps(maps, links, tables),
    'host-address': new HostAddressOps(maps, links),
    'host-prefix': new HostPrefixOps(maps),
    'socket-member': new SocketMemberOps({ maps, netns, tables, awaited }),
    service: services,
    publish: new PublishSocketOps(
      new GuardedPublishOps(ports.publishes, ports.hostSockets, ports.reserved),
      ports.targets,
      ports.addresses,
    ),
  };
}

/** What is left to remove when the maps go as a whole. */
export function opsWithoutMaps(kernel: LinkKernel): OpsByKind {
  const nothing: Ops<Row> = {
    update() {},
    delete() {},
    read: async () => ({ holds: () => true, strays: () => [] }),
  };
  return {
    ...linkOps(kernel),
    reassembly: new ReassemblyOps(kernel, null),
    'dp-network': nothing,
    'dp-endpoint': nothing,
    uplink: nothing,
    'host-address': nothing,
    'host-prefix': nothing,
    'socket-member': nothing,
    service: nothing,
    publish: nothing,
  };
}

function linkOps(kernel: LinkKernel) {
  const { netlink, netns, links, tables, identity } = kernel;
  return {
    netns: new NetnsOps(netns, identity),
    'sandbox-files': new SandboxFilesOps(identity),
    bridge: new BridgeOps(kernel),
    port: new PortOps(kernel),
    'lent-port': new LentPortOps(kernel),
    macvlan: new MacvlanOps(kernel),
    'lent-macvlan': new LentMacvlanOps(kernel),
    neighbour: new NeighbourOps(netlink, links, tables),
    fdb: new FdbOps(netlink, links, tables),
    attachment: new AttachmentOps(kernel),
    'socket-hook': new SocketHookOps(kernel),
  };
}
