/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Flows. Each has two entries, its halves, one a direction, keyed by the
 * addresses and ports that the packet carries where our hook first sees it and
 * holding what the packet carries afterwards. A half says enough to rebuild
 * the other one.
 *
 * Two tables. `flows4` never evicts and holds only proven flows; half-open,
 * one-way, short and closing ones live in the LRU `flows4_new`, so that a
 * flood of new flows can only evict such. Connections that have just been
 * established wait there too, in a queue: `waiting4`, see lib/waiting.h.
 */
#ifndef SLUICE_MAPS_FLOW_H
#define SLUICE_MAPS_FLOW_H

#include "../lib/types.h"
#include "../lib/bpf.h"

/* Defaults; user space sizes both by the machine's memory before load. */
#define MAX_FLOWS     262144
#define MAX_FLOWS_NEW 131072

/*
 * Echo requests carry their identifier as sport and 0 as dport, replies the
 * other way round: a reply's key is the request's reversed, as with ports.
 *
 * What both families share comes first, so that one body of code serves both
 * (lib/address.h).
 */
struct flow_key {
	be16 sport;
	be16 dport;
	u8 protocol;
	u8 pad[3];
};

struct flow4_key {
	struct flow_key;
	ipv4_addr saddr;
	ipv4_addr daddr;
};
_Static_assert(sizeof(struct flow4_key) == 16, "two 64-bit words to hash");

struct flow6_key {
	struct flow_key;
	ipv6_addr saddr;
	ipv6_addr daddr;
};

union any_key {
	struct flow_key;
	struct flow4_key v4;
	struct flow6_key v6;
};

/* How a packet leaves the program. */
enum flow_action {
	FLOW_TO_ENDPOINT = 1,  /* redirect_peer to flow.endpoint */
	FLOW_TO_NEIGHBOUR = 2, /* redirect_neigh to flow.nexthop on flow.ifindex */
	FLOW_TO_MAC = 3,       /* redirect to flow.mac on flow.ifindex: the way the request came */
	FLOW_TO_L3 = 4,	       /* redirect to flow.ifindex, a device without link layer */
	FLOW_TO_HOST = 5,      /* on to the host's own stack */
	FLOW_ON = 6,	       /* on its way, translated: the host's own packets */
};

enum flow_flag {
	FLOW_REPLY = 1,	      /* this half is the answer's direction */
	FLOW_SNAT = 2,	      /* holds a source port that the allocator picked */
	FLOW_PUBLISHED = 4,   /* opened through a published port */
	FLOW_AT_ENDPOINT = 8, /* its packets enter by an endpoint's hook, and only there */
	FLOW_AT_HOST = 16,    /* its packets are the host's own, translated on their way out */
	FLOW_SERVICE = 32,    /* opened through a service: `publish` is its backend's id */
	/*
	 * Both: no packet is this half's. The mapping is over and its port rests:
	 * only the flow that had it gets it back before the rest is over.
	 */
	FLOW_RESTS = FLOW_AT_ENDPOINT | FLOW_AT_HOST,
	/*
	 * Of TCP, towards an endpoint, which needs no next hop: the first word of
	 * nexthop is the sequence number (host order) that the endpoint waited for
	 * when it was last looked at.
	 */
	FLOW_EXPECTS = 64,
};

/* What the flow has been through; both halves hold the same set. */
enum flow_state {
	FLOW_ANSWERED = 1,    /* a packet came back */
	FLOW_ESTABLISHED = 2, /* TCP: handshake complete; others: answered */
	FLOW_FIN_ORIG = 4,
	FLOW_FIN_REPLY = 8,
	FLOW_RST = 16,
};

struct flow {
	be16 sport; /* the packet's fields after translation */
	be16 dport;
	u16 addr_delta; /* checksum differences, one's complement, see lib/csum.h */
	u16 port_delta;
	u32 endpoint;	/* slot of the container whose flow it is, or the receiving one */
	u32 generation; /* of that endpoint */
	u32 ifindex;	/* egress device; for FLOW_TO_ENDPOINT the device the flow came in by */
	mac_addr mac;	/* of who sent the first packet, for FLOW_TO_MAC */
	u8 action;	/* enum flow_action */
	u8 flags;	/* enum flow_flag */
	u32 seen;	/* tick of the last packet, see lib/clock.h */
	u32 opened;	/* tick of the first packet */
	u32 publish; /* id of the publish that it came through, of the backend (FLOW_SERVICE), or 0
		      */
	u16 state;   /* enum flow_state */
	u16 mtu;     /* of the way out, as of the last look at the route; 0: not checked */
};

struct flow4 {
	struct flow;
	ipv4_addr saddr; /* the packet's fields after translation */
	ipv4_addr daddr;
	ipv4_addr nexthop;
};
_Static_assert(sizeof(struct flow4) == 56, "entry header + key + value: two cache lines");

struct flow6 {
	struct flow;
	ipv6_addr saddr;
	ipv6_addr daddr;
	ipv6_addr nexthop;
};

union any_flow {
	struct flow;
	struct flow4 v4;
	struct flow6 v6;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow4_key);
	__type(value, struct flow4);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS_NEW);
	__type(key, struct flow4_key);
	__type(value, struct flow4);
} flows4_new SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow6_key);
	__type(value, struct flow6);
} flows6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS_NEW);
	__type(key, struct flow6_key);
	__type(value, struct flow6);
} flows6_new SEC(".maps");

/*
 * Rings of established connections that are still in the table of new flows,
 * in the order in which they were established. A power of two; twice what may
 * wait, so that two that push at a time never meet who takes.
 */
#define WAITING_SLOTS 1024

struct waiting4 {
	struct flow4_key;
	u32 at; /* the position that is complete here */
};

struct waiting6 {
	struct flow6_key;
	u32 at;
};

/* Positions, which wrap; position p is in slot p % WAITING_SLOTS. From 1 on: 0 is an empty slot. */
struct waiting_ends {
	u32 pushed; /* of the newest one */
	u32 taken;  /* of the last one that was taken */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAITING_SLOTS);
	__type(key, u32);
	__type(value, struct waiting4);
} waiting4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAITING_SLOTS);
	__type(key, u32);
	__type(value, struct waiting6);
} waiting6 SEC(".maps");

/* Of IPv4, of IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct waiting_ends);
} waiting_ends SEC(".maps");

#endif
