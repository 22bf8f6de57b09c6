// SPDX-License-Identifier: Apache-2.0
/**
 * Desired rows: what drivers plan and the reconciler realises. Plain data in
 * the words of the field; no ifindex, file descriptor or map layout appears
 * here. What only the kernel knows is a symbolic reference: `link` fields name
 * a link of the daemon's own network namespace, `netns` fields a path.
 *
 * Addresses are text (`10.64.0.2`), prefixes CIDR text (`10.64.0.2/24`), MACs
 * lower-case colon text, ports and ids numbers in host byte order.
 */

/** The object a row belongs to. A change of the object replaces exactly its rows. */
export interface Owner {
  readonly kind: 'node' | 'network' | 'sandbox' | 'endpoint' | 'service';
  readonly id: string;
}

/** A network namespace that we create, bound at `path` (`/run/netns/NAME`). */
export interface NetnsRow {
  readonly kind: 'netns';
  readonly path: string;
}

/** What a process in a sandbox reads: /etc/netns/NAME/{resolv.conf,hosts,hostname}. */
export interface SandboxFilesRow {
  readonly kind: 'sandbox-files';
  /** The name under /etc/netns. */
  readonly name: string;
  readonly resolvConf: string;
  readonly hosts: string;
  readonly hostname: string;
}

/** A network's bridge, with learning and flooding left to its ports' settings. */
export interface BridgeRow {
  readonly kind: 'bridge';
  readonly link: string;
  readonly mac: string;
  /** Bytes; null: the lowest MTU of the links to the world, followed as they change. */
  readonly mtu: number | null;
  /** The gateway addresses, CIDR. Empty: the host has no address there. */
  readonly addresses: readonly string[];
}

/** One end of a veth pair on a bridge, the other end configured in a sandbox. */
export interface PortRow {
  readonly kind: 'port';
  /** Host-side name. */
  readonly link: string;
  readonly bridge: string;
  /** Path of the sandbox's namespace, and the interface's name inside (`eth0`). */
  readonly netns: string;
  readonly interface: string;
  /** Of the inner end. */
  readonly mac: string;
  /** Bytes; null: the lowest MTU of the links to the world. */
  readonly mtu: number | null;
  /** Inner addresses, CIDR. */
  readonly addresses: readonly string[];
  /** Inner default gateways; only on the endpoint that holds the default route. */
  readonly gateways: readonly string[];
  readonly ipv6: boolean;
}

/**
 * As a port, but whoever asked for it takes the other end away, names it and
 * configures it. That end is born in the daemon's own namespace, and is not
 * looked at again.
 */
export interface LentPortRow {
  readonly kind: 'lent-port';
  /** Host-side name. */
  readonly link: string;
  readonly bridge: string;
  /** The name that the other end is born with. */
  readonly peer: string;
  /** Of the other end. */
  readonly mac: string;
  /** Bytes; null: the lowest MTU of the links to the world when it is made. It then stays, as that of the other end does. */
  readonly mtu: number | null;
  /** False: a pair that is missing is lost, and is not made again. */
  readonly make: boolean;
}

export type MacvlanMode = 'bridge' | 'private' | 'vepa' | 'passthru';

/** A macvlan link in a sandbox, on a link of the host. */
export interface MacvlanRow {
  readonly kind: 'macvlan';
  readonly parent: string;
  readonly mode: MacvlanMode;
  /** Path of the sandbox's namespace, and the link's name inside (`eth0`). */
  readonly netns: string;
  readonly interface: string;
  readonly mac: string;
  /** Bytes; null: the parent's. */
  readonly mtu: number | null;
  /** CIDR. */
  readonly addresses: readonly string[];
  /** Default gateways; only on the endpoint that holds the default route. */
  readonly gateways: readonly string[];
  readonly ipv6: boolean;
}

/** As a macvlan link, but whoever asked for it takes it away, names it and configures it. */
export interface LentMacvlanRow {
  readonly kind: 'lent-macvlan';
  /** The name that it is born with, in the daemon's own namespace, and may come back with. */
  readonly link: string;
  readonly parent: string;
  readonly mode: MacvlanMode;
  readonly mac: string;
  /** Bytes; null: the parent's. */
  readonly mtu: number | null;
  /** False: it has been taken away, wherever that is. */
  readonly make: boolean;
}

/** A permanent neighbour entry of the host. */
export interface NeighbourRow {
  readonly kind: 'neighbour';
  readonly link: string;
  readonly address: string;
  readonly mac: string;
}

/** A static forwarding entry: `mac` is behind bridge port `link`. */
export interface FdbRow {
  readonly kind: 'fdb';
  readonly link: string;
  readonly mac: string;
}

/** A network as the programs know it. */
export interface DataplaneNetworkRow {
  readonly kind: 'dp-network';
  /** 1…4095. */
  readonly net: number;
  /** The bridge. */
  readonly link: string;
  readonly mac: string;
  /** Gateway addresses, or null. */
  readonly gateway4: string | null;
  readonly gateway6: string | null;
  /** False: containers' own addresses are routed, in both directions. */
  readonly masquerade: boolean;
  /** No way out, and none in from anywhere but the network itself. */
  readonly internal: boolean;
  /** False: containers of the network do not reach one another. */
  readonly icc: boolean;
  /** False: containers do not reach the host's own services. */
  readonly hostAccess: boolean;
}

/** An endpoint as the programs know it. */
export interface DataplaneEndpointRow {
  readonly kind: 'dp-endpoint';
  /** Index into the endpoint table, 1…16383. */
  readonly slot: number;
  /** Differs from that of every earlier holder of the slot; 1…2^32-1. */
  readonly generation: number;
  readonly net: number;
  /** Place in the network's member list for broadcast, 1…1023. */
  readonly member: number;
  /** Equal for all endpoints of one sandbox; 1…2^32-1. */
  readonly sandbox: number;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string | null;
  /** Host-side veth. */
  readonly link: string;
  /** Most flows that it may have open at a time; null: no limit of its own. */
  readonly maxFlows: number | null;
  /** Most flows that it may open in a second; null: no limit. */
  readonly newFlowsPerSecond: number | null;
}

/** A backend of a service, as the programs know it. */
export interface BackendRow {
  /** 1…131071; not that of another backend before all others have been given. */
  readonly id: number;
  /** What tells it from the others on every node and after every restart. */
  readonly name: string;
  /** Its endpoint's slot and generation. */
  readonly slot: number;
  readonly generation: number;
  /** 0: as draining. */
  readonly weight: number;
  /** `draining`: keeps its flows and gets no new ones. */
  readonly state: 'active' | 'draining';
}

/** A service with an address, all its ports and backends. */
export interface ServiceRow {
  readonly kind: 'service';
  /** 1…65535. */
  readonly number: number;
  /** The network that its address is of; only its members and the host use it. */
  readonly net: number;
  readonly vip4: string;
  readonly vip6: string | null;
  readonly ports: readonly {
    readonly port: number;
    readonly backendPort: number;
    readonly protocol: 'tcp' | 'udp' | 'sctp';
  }[];
  readonly algorithm: 'random' | 'maglev';
  /** Seconds after its last new connection for which a client keeps its backend; null: it does not. */
  readonly affinity: number | null;
  /** Seconds without a packet until an established flow ends; null: as without services. */
  readonly idleTimeout: number | null;
  /** Sources that may use it, CIDR; empty: all. */
  readonly allow: readonly string[];
  readonly backends: readonly BackendRow[];
}

/** A published port or range; one row however long the range is. */
export interface PublishRow {
  readonly kind: 'publish';
  /** 1…2^31-1. */
  readonly id: number;
  /** True: leads to a service. `port` is that of its address, `ipv4` and `ipv6` are that address, `allow` is empty. */
  readonly service: boolean;
  /** The endpoint's slot and generation; of a service 0. */
  readonly slot: number;
  readonly generation: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** null: every address of the host, in the families that the endpoint has; `0.0.0.0` or `::`: of one family. */
  readonly hostIp: string | null;
  readonly hostPort: number;
  /** Inclusive; equal to hostPort for a single port. */
  readonly hostPortEnd: number;
  /** Container port that hostPort maps to; the offset is constant over the range. */
  readonly port: number;
  /** Addresses of the endpoint, or of the service. */
  readonly ipv4: string;
  readonly ipv6: string | null;
  /** Sources that may use it, CIDR; empty: all. */
  readonly allow: readonly string[];
}

/** A program on a link. Uplinks get theirs from the daemon's uplink follower. */
export interface AttachmentRow {
  readonly kind: 'attachment';
  readonly link: string;
  readonly hook: Hook;
}
export type Hook =
  | 'endpoint_ingress'
  | 'bridge_egress'
  | 'uplink_ingress'
  | 'uplink_egress'
  | 'uplink_xdp'
  | 'reassembly_ingress';

/** The node's reassembly namespace, where fragments are put in order, and the way there. */
export interface ReassemblyRow {
  readonly kind: 'reassembly';
  readonly netns: string;
  /** The host's end of the veth pair. */
  readonly link: string;
  /** What has the namespace put fragments together. */
  readonly by: 'link' | 'nftables';
}

/** A program on the sockets of the host, by the root cgroup. */
export interface SocketHookRow {
  readonly kind: 'socket-hook';
  readonly hook: SocketHook;
}
export type SocketHook =
  | 'connect4'
  | 'sendmsg4'
  | 'recvmsg4'
  | 'getpeername4'
  | 'bind4'
  | 'connect6'
  | 'sendmsg6'
  | 'recvmsg6'
  | 'getpeername6'
  | 'bind6';

/**
 * Sockets of a namespace may use the addresses of a network's services. Where
 * its path leads to nothing yet, or never does, the row is done all the same:
 * its packets are served one by one.
 */
export interface SocketMemberRow {
  readonly kind: 'socket-member';
  readonly netns: string;
  readonly net: number;
  /** Of the sandbox's endpoint on the network. */
  readonly slot: number;
}

/** A device towards the world, as the programs know it. */
export interface UplinkRow {
  readonly kind: 'uplink';
  readonly link: string;
  /** `l3`: the device's packets carry no Ethernet header (tun, wireguard). */
  readonly layer: 'ethernet' | 'l3';
  /** Masquerade address where the kernel cannot tell by route (before 6.7). */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

/** An address of the host itself: ports published on every address answer there. */
export interface HostAddressRow {
  readonly kind: 'host-address';
  readonly address: string;
  readonly link: string;
}

/** What else is the host's: addresses by a local route alone (`address` null), or a link's broadcast address. */
export interface HostPrefixRow {
  readonly kind: 'host-prefix';
  /** CIDR. */
  readonly prefix: string;
  /** The host's own address that a broadcast is for. */
  readonly address: string | null;
}

export type Row =
  | NetnsRow
  | SandboxFilesRow
  | BridgeRow
  | PortRow
  | LentPortRow
  | MacvlanRow
  | LentMacvlanRow
  | NeighbourRow
  | FdbRow
  | DataplaneNetworkRow
  | DataplaneEndpointRow
  | UplinkRow
  | HostAddressRow
  | HostPrefixRow
  | AttachmentRow
  | SocketHookRow
  | SocketMemberRow
  | ReassemblyRow
  | ServiceRow
  | PublishRow;
export type RowKind = Row['kind'];

/** Identifies a row among those of its kind, whatever its content. */
export function rowKey(row: Row): string {
  switch (row.kind) {
    case 'netns':
      return row.path;
    case 'sandbox-files':
      return row.name;
    case 'bridge':
    case 'port':
    case 'lent-port':
    case 'lent-macvlan':
    case 'uplink':
    case 'reassembly':
      return row.link;
    case 'macvlan':
      return `${row.netns}/${row.interface}`;
    case 'neighbour':
      return `${row.link}/${row.address}`;
    case 'fdb':
      return `${row.link}/${row.mac}`;
    case 'host-address':
      return row.address;
    case 'host-prefix':
      return row.prefix;
    case 'dp-network':
      return String(row.net);
    case 'dp-endpoint':
    case 'socket-member':
      return String(row.slot);
    case 'attachment':
      return `${row.link}/${row.hook}`;
    case 'socket-hook':
      return row.hook;
    case 'service':
      return String(row.number);
    case 'publish':
      return String(row.id);
  }
}

/**
 * Bring-up order of the kinds; tear-down goes in reverse. Data before the
 * programs that read it; publishes last, so that a port opens only when its
 * endpoint can answer.
 */
export const ROW_ORDER: readonly RowKind[] = [
  'netns',
  'sandbox-files',
  'reassembly',
  'bridge',
  'dp-network',
  'port',
  'lent-port',
  'macvlan',
  'lent-macvlan',
  'neighbour',
  'fdb',
  'dp-endpoint',
  'uplink',
  'host-address',
  'host-prefix',
  'attachment',
  'socket-hook',
  'socket-member',
  'service',
  'publish',
];

export type RowState = 'pending' | 'done' | 'error';
export interface RowStatus {
  readonly owner: Owner;
  readonly row: Row;
  readonly state: RowState;
  /** Why, when state is `error`. */
  readonly error?: string;
}

/**
 * What the model needs of the reconciler; src/reconcile implements it.
 * `apply` replaces the rows of one owner (empty: removes them all) and
 * resolves when each is done; if one fails it rejects with the first cause and
 * the rows stay in state `error`, to be retried by the next pass, until the
 * caller applies something else (an undo applies the previous rows).
 */
export interface Realizer {
  apply(owner: Owner, rows: readonly Row[]): Promise<void>;
  status(): readonly RowStatus[];
  /** Of `status` what is not done; costs nothing where all is, however many rows there are. */
  problems(): readonly RowStatus[];
}
