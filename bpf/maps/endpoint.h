/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Endpoints, and the ways to find one. A slot of `endpoints` is reused, so
 * whatever refers to an endpoint keeps its generation beside the slot and
 * compares: a flow of a departed endpoint is dead without being looked for.
 */
#ifndef SLUICE_MAPS_ENDPOINT_H
#define SLUICE_MAPS_ENDPOINT_H

#include "../lib/types.h"
#include "../lib/bpf.h"

#define MAX_ENDPOINTS 16384
/* The kernel's limit of ports on one bridge (BR_MAX_PORTS). */
#define MAX_MEMBERS 1024

/* One cache line: every packet of a container reads it. */
struct endpoint {
	u32 ifindex;	/* host-side veth */
	u32 generation; /* 0: the slot is free */
	u32 net;
	u32 sandbox;	 /* equal for all endpoints of one sandbox */
	ipv4_addr addr4; /* 0: none */
	mac_addr mac;
	mac_addr gateway_mac; /* the bridge's */
	u32 member;	      /* place in the network's member list */
	ipv6_addr addr6;      /* ::, none */
	u32 max_flows;	      /* open flows allowed; 0: no limit */
	u32 max_new_flows;    /* new flows allowed in a tick; 0: no limit */
	u32 pad;
};
_Static_assert(sizeof(struct endpoint) == 64, "an endpoint is one cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* What a container with a limit has open: only such are counted. */
struct endpoint_load {
	u32 flows;   /* open, as of the collector's last pass and what opened since */
	u32 counted; /* by the collector's pass that is under way */
	u32 tick;    /* in which `opened` were opened */
	u32 opened;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, u32);
	__type(value, struct endpoint_load);
} endpoint_load SEC(".maps");

/* Unicast within a network: who has this MAC. */
struct mac_key {
	u32 net;
	mac_addr mac;
	u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, struct mac_key);
	__type(value, u32); /* slot */
} ep_mac SEC(".maps");

/* Whose address is this. Networks of one node never overlap. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, ipv4_addr);
	__type(value, u32); /* slot */
} ep_addr4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, ipv6_addr);
	__type(value, u32); /* slot */
} ep_addr6 SEC(".maps");

/* The endpoints of a network, for broadcast; a missing entry is a hole. */
struct member_key {
	u32 net;
	u32 member;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, struct member_key);
	__type(value, u32); /* slot */
} members SEC(".maps");

#endif
