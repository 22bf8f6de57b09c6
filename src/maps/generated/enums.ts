// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.

export const backend_state = {
  BACKEND_NONE: 0,
  BACKEND_ACTIVE: 1,
  BACKEND_DRAINING: 2,
} as const;

export const device_flag = {
  DEVICE_L3: 1,
} as const;

export const device_kind = {
  DEVICE_ENDPOINT: 1,
  DEVICE_BRIDGE: 2,
  DEVICE_UPLINK: 3,
} as const;

export const drop_reason = {
  DROP_NONE: 0,
  DROP_MALFORMED: 1,
  DROP_SPOOFED_MAC: 2,
  DROP_SPOOFED_ADDRESS: 3,
  DROP_NO_IPV6: 4,
  DROP_ISOLATED: 5,
  DROP_DIRECT_ROUTING: 6,
  DROP_NO_ROUTE: 7,
  DROP_NO_UPLINK: 8,
  DROP_NO_PORT: 9,
  DROP_TABLE_FULL: 10,
  DROP_NOT_A_FLOW: 11,
  DROP_UNKNOWN_PROTOCOL: 12,
  DROP_TTL: 13,
  DROP_NO_ENDPOINT: 14,
  DROP_FRAGMENT: 15,
  DROP_INTERNAL: 16,
  DROP_NO_HOST_ACCESS: 17,
  DROP_ROGUE: 18,
  DROP_NOT_ALLOWED: 19,
  DROP_MARTIAN: 20,
  DROP_LIMIT: 21,
  DROP_TOO_BIG: 22,
  DROP_NO_BACKEND: 23,
  DROP_NO_SERVICE: 24,
  DROP_TAGGED: 25,
  DROP_LINK_PROTOCOL: 26,
  DROP_NO_PROGRAM: 27,
  DROP_REASONS: 32,
} as const;

export const flow_action = {
  FLOW_TO_ENDPOINT: 1,
  FLOW_TO_NEIGHBOUR: 2,
  FLOW_TO_MAC: 3,
  FLOW_TO_L3: 4,
  FLOW_TO_HOST: 5,
  FLOW_ON: 6,
} as const;

export const flow_flag = {
  FLOW_REPLY: 1,
  FLOW_SNAT: 2,
  FLOW_PUBLISHED: 4,
  FLOW_AT_ENDPOINT: 8,
  FLOW_AT_HOST: 16,
  FLOW_SERVICE: 32,
  FLOW_RESTS: 24,
  FLOW_EXPECTS: 64,
} as const;

export const flow_protocol = {
  FLOW_PROTOCOL_TCP: 0,
  FLOW_PROTOCOL_UDP: 1,
  FLOW_PROTOCOL_ICMP: 2,
  FLOW_PROTOCOL_SCTP: 3,
  FLOW_PROTOCOLS: 4,
} as const;

export const flow_state = {
  FLOW_ANSWERED: 1,
  FLOW_ESTABLISHED: 2,
  FLOW_FIN_ORIG: 4,
  FLOW_FIN_REPLY: 8,
  FLOW_RST: 16,
} as const;

export const hook = {
  HOOK_ENDPOINT_INGRESS: 0,
  HOOK_BRIDGE_EGRESS: 1,
  HOOK_UPLINK_INGRESS: 2,
  HOOK_UPLINK_EGRESS: 3,
  HOOK_UPLINK_XDP: 4,
  HOOK_REASSEMBLY_INGRESS: 5,
  HOOKS: 6,
} as const;

export const host_prefix_kind = {
  HOST_PREFIX_LOCAL: 1,
  HOST_PREFIX_BROADCAST: 2,
} as const;

export const network_flag = {
  NETWORK_MASQUERADE: 1,
  NETWORK_INTERNAL: 2,
  NETWORK_NO_ICC: 4,
  NETWORK_NO_HOST_ACCESS: 8,
} as const;

export const outcome = {
  OUTCOME_PASSED: 0,
  OUTCOME_TO_ENDPOINT: 1,
  OUTCOME_TO_UPLINK: 2,
  OUTCOME_DROPPED: 3,
  OUTCOME_TO_REASSEMBLY: 4,
  OUTCOMES: 5,
} as const;

export const port_slot = {
  PORT_SLOT_BY_ADDRESS: 2147483648,
  PORT_SLOT_ID: 2147483647,
} as const;

export const port_table = {
  PORT_TABLE_TCP: 0,
  PORT_TABLE_UDP: 1,
  PORT_TABLE_SCTP: 2,
  PORT_TABLES_FAMILY: 3,
  PORT_TABLES: 6,
} as const;

export const port_use_of = {
  PORT_USE_DESTINATION: 0,
  PORT_USE_ENDPOINT: 1,
  PORT_USES: 2,
} as const;

export const publish_flag = {
  PUBLISH_LIMITED: 1,
  PUBLISH_SERVICE: 2,
} as const;

export const resolver_mark = {
  RESOLVER_ASKS_OTHERS: 1397507150,
} as const;

export const service_flag = {
  SERVICE_LIMITED: 1,
  SERVICE_BY_FLOW: 2,
} as const;

export const service_refusal = {
  SERVICE_REFUSED_NO_BACKEND: 0,
  SERVICE_REFUSED_PORT: 1,
  SERVICE_REFUSED_SOURCE: 2,
  SERVICE_REFUSALS: 3,
} as const;

export const socket_event = {
  SOCKET_CONNECT: 0,
  SOCKET_SENDMSG: 1,
  SOCKET_RECVMSG: 2,
  SOCKET_GETPEERNAME: 3,
  SOCKET_BIND: 4,
  SOCKET_REFUSED: 5,
  SOCKET_EVENTS: 6,
} as const;
