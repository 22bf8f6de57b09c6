/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is counted. Enumerator names become metric labels, so they are public. */
#ifndef SLUICE_MAPS_METRICS_H
#define SLUICE_MAPS_METRICS_H

#include "../lib/types.h"
#include "../lib/bpf.h"

/* Where a program sits. */
enum hook {
	HOOK_ENDPOINT_INGRESS = 0,
	HOOK_BRIDGE_EGRESS = 1,
	HOOK_UPLINK_INGRESS = 2,
	HOOK_UPLINK_EGRESS = 3,
	HOOK_UPLINK_XDP = 4,
	HOOK_REASSEMBLY_INGRESS = 5,
	HOOKS = 6,
};

/* What became of a packet. */
enum outcome {
	OUTCOME_PASSED = 0, /* on to the host's stack or the next program */
	OUTCOME_TO_ENDPOINT = 1,
	OUTCOME_TO_UPLINK = 2,
	OUTCOME_DROPPED = 3,
	OUTCOME_TO_REASSEMBLY = 4, /* fragments; they come back to the same hook */
	OUTCOMES = 5,
};

/* Append only: the numbers are in pinned maps across upgrades. */
enum drop_reason {
	DROP_NONE = 0,
	DROP_MALFORMED = 1, /* lengths that contradict each other */
	DROP_SPOOFED_MAC = 2,
	DROP_SPOOFED_ADDRESS = 3,
	DROP_NO_IPV6 = 4,	 /* IPv6 on a network without it */
	DROP_ISOLATED = 5,	 /* from one network to another */
	DROP_DIRECT_ROUTING = 6, /* from outside to a container's own address */
	DROP_NO_ROUTE = 7,
	DROP_NO_UPLINK = 8, /* the route leads to a device that is no uplink */
	DROP_NO_PORT = 9,   /* masquerade: every try found the port taken */
	DROP_TABLE_FULL = 10,
	DROP_NOT_A_FLOW = 11,	    /* neither opens a flow nor belongs to one */
	DROP_UNKNOWN_PROTOCOL = 12, /* masquerade knows TCP, UDP and echo */
	DROP_TTL = 13,		    /* would leave with a TTL of 0 */
	DROP_NO_ENDPOINT = 14,	    /* the container left meanwhile */
	DROP_FRAGMENT = 15,	    /* a fragment whose ports cannot be told */
	DROP_INTERNAL = 16,	    /* out of, or into, an internal network */
	DROP_NO_HOST_ACCESS = 17,   /* the network may not reach the host's services */
	DROP_ROGUE = 18,	 /* router advertisement, redirect or DHCP offer of a container */
	DROP_NOT_ALLOWED = 19,	 /* the publish does not list the source */
	DROP_MARTIAN = 20,	 /* a source that cannot be */
	DROP_LIMIT = 21,	 /* the container's limit on flows */
	DROP_TOO_BIG = 22,	 /* larger than the way out takes; the sender was told */
	DROP_NO_BACKEND = 23,	 /* a service without a backend; the client was told */
	DROP_NO_SERVICE = 24,	 /* a port that the VIP does not have; the client was told */
	DROP_TAGGED = 25,	 /* a container's frame with a VLAN tag */
	DROP_LINK_PROTOCOL = 26, /* a container's frame that is neither ARP nor IP, or to bridges */
	DROP_NO_PROGRAM = 27,	 /* came past a program of ours that is not there */
	DROP_REASONS = 32,
};

struct traffic {
	u64 packets;
	u64 bytes;
};

/* Index: hook * OUTCOMES + outcome. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS *OUTCOMES);
	__type(key, u32);
	__type(value, struct traffic);
} hook_traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, u32);
	__type(value, struct traffic);
} drops SEC(".maps");

enum flow_protocol {
	FLOW_PROTOCOL_TCP = 0,
	FLOW_PROTOCOL_UDP = 1,
	FLOW_PROTOCOL_ICMP = 2,
	FLOW_PROTOCOL_SCTP = 3,
	FLOW_PROTOCOLS = 4,
};

struct flow_counts {
	u64 opened;
	u64 promoted;	/* proven, moved to the table that never evicts */
	u64 expired;	/* removed by the collector after their time */
	u64 reset;	/* reopened or dropped before their time, by RST or a departed endpoint */
	u64 unpromoted; /* tries of an established flow to move there that found it full */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_PROTOCOLS);
	__type(key, u32);
	__type(value, struct flow_counts);
} flow_events SEC(".maps");

/* Index: random picks needed, 0 where the own port was free; the last counts exhaustion. */
#define SNAT_TRIES 32
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SNAT_TRIES + 1);
	__type(key, u32);
	__type(value, u64);
} snat_tries SEC(".maps");

#endif
