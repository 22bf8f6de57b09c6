// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.

export interface Affinity {
  backend: number;
  seen: number;
}

export interface AffinityKey {
  service: number;
  endpoint: number;
  client: string;
}

export interface BackendLoad {
  picks: bigint;
  flows: bigint;
  sockets: bigint;
  active: number;
  counted: number;
}

export interface BackendTraffic {
  packets: bigint;
  bytes: bigint;
}

export interface CollectorState {
  passes: bigint;
  duration_ns: bigint;
  proven: number[];
  fresh: number[];
  ports: number[];
}

export interface Config {
  mark: number;
  l3_device: number;
  kern_ctx: number;
  csum_ipv6: number;
  fib_flags: number;
  host_conntrack: number;
  exempt: number;
  socket_services: number;
  snat_port_min: number;
  snat_port_max: number;
  tcp_established: number;
  tcp_transitory: number;
  udp_answered: number;
  udp_oneway: number;
  icmp: number;
  port_rest: number;
  collect_interval: number;
}

export interface Device {
  kind: number;
  id: number;
  flags: number;
  addr4: string;
  mac: string;
  addr6: string;
}

export interface Endpoint {
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

export interface EndpointLoad {
  flows: number;
  counted: number;
  tick: number;
  opened: number;
}

export interface ExemptKey {
  prefix_length: number;
  destination: string;
}

export interface Flow4 {
  sport: number;
  dport: number;
  addr_delta: number;
  port_delta: number;
  endpoint: number;
  generation: number;
  ifindex: number;
  mac: string;
  action: number;
  flags: number;
  seen: number;
  opened: number;
  publish: number;
  state: number;
  mtu: number;
  saddr: string;
  daddr: string;
  nexthop: string;
}

export interface Flow4Key {
  sport: number;
  dport: number;
  protocol: number;
  saddr: string;
  daddr: string;
}

export interface Flow6 {
  sport: number;
  dport: number;
  addr_delta: number;
  port_delta: number;
  endpoint: number;
  generation: number;
  ifindex: number;
  mac: string;
  action: number;
  flags: number;
  seen: number;
  opened: number;
  publish: number;
  state: number;
  mtu: number;
  saddr: string;
  daddr: string;
  nexthop: string;
}

export interface Flow6Key {
  sport: number;
  dport: number;
  protocol: number;
  saddr: string;
  daddr: string;
}

export interface FlowCounts {
  opened: bigint;
  promoted: bigint;
  expired: bigint;
  reset: bigint;
  unpromoted: bigint;
}

export interface FragmentKey {
  saddr: string;
  daddr: string;
  family: number;
  id: number;
  protocol: number;
}

export interface FragmentPair {
  saddr: string;
  daddr: string;
  family: number;
}

export interface FragmentPorts {
  sport: number;
  dport: number;
  protocol: number;
  again: number;
  answer: number;
}

export interface FragmentWay {
  ifindex: number;
  to: string;
  from: string;
}

export interface HostPrefix {
  kind: number;
  addr: string;
}

export interface HostPrefixKey {
  prefix_length: number;
  addr: string;
}

export interface MacKey {
  net: number;
  mac: string;
}

export interface MemberKey {
  net: number;
  member: number;
}

export interface Network {
  ifindex: number;
  flags: number;
  gateway4: string;
  members_end: number;
  mac: string;
  gateway6: string;
}

export interface Publish {
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

export interface PublishAddr4Key {
  addr: string;
  port: number;
  protocol: number;
}

export interface PublishAddr6Key {
  addr: string;
  port: number;
  protocol: number;
}

export interface PublishAllowKey {
  prefix_length: number;
  publish: number;
  source: string;
}

export interface Reassembly {
  ifindex: number;
  mtu: number[];
}

export interface RejectRate {
  tick: number;
  sent: number;
}

export interface Resolver {
  udp: number;
  tcp: number;
}

export interface Service4Key {
  addr: string;
  port: number;
  protocol: number;
}

export interface Service6Key {
  addr: string;
  port: number;
  protocol: number;
}

export interface ServiceBackend {
  endpoint: number;
  generation: number;
  service: number;
  idle: number;
  state: number;
}

export interface ServicePlaces {
  slot: number[];
}

export interface ServicePort {
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

export interface ServiceRefusals {
  count: bigint[];
}

export interface ServiceSlot {
  backend: number;
  seed: number;
  weight: number;
}

export interface ShareState {
  seed: bigint;
  half: number;
  proven: number[];
}

export interface SocketChoice {
  backend: number;
  generation: number;
}

export interface SocketChoiceKey {
  cookie: bigint;
  vip: string;
  port: number;
}

export interface SocketMemberKey {
  cookie: bigint;
  net: number;
}

export interface SocketPeer4 {
  addr: string;
  port: number;
  backend: number;
  client: number;
}

export interface SocketPeer4Key {
  cookie: bigint;
  addr: string;
  port: number;
}

export interface SocketPeer6 {
  addr: string;
  port: number;
  backend: number;
  client: number;
}

export interface SocketPeer6Key {
  cookie: bigint;
  addr: string;
  port: number;
}

export interface Traffic {
  packets: bigint;
  bytes: bigint;
}

export interface Waiting4 {
  sport: number;
  dport: number;
  protocol: number;
  saddr: string;
  daddr: string;
  at: number;
}

export interface Waiting6 {
  sport: number;
  dport: number;
  protocol: number;
  saddr: string;
  daddr: string;
  at: number;
}

export interface WaitingEnds {
  pushed: number;
  taken: number;
}
