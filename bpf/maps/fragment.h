/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments, and what has to be fragmented, pass a network namespace of ours
 * that reassembles and fragments again. What comes back from there is in
 * order, and has to be sent on the way that it would have taken without.
 */
#ifndef SLUICE_MAPS_FRAGMENT_H
#define SLUICE_MAPS_FRAGMENT_H

#include "../lib/types.h"
#include "../lib/bpf.h"

#define REASSEMBLY_MTUS 16

/* The way into that namespace. */
struct reassembly {
	u32 ifindex; /* our end of the veth; 0: there is none */
	/* Ascending; a packet with mark n is cut to the n-th, with mark 0 as it came. */
	u32 mtu[REASSEMBLY_MTUS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reassembly);
} reassembly SEC(".maps");

/* IPv4 addresses are in the first word. */
struct fragment_pair {
	ipv6_addr saddr;
	ipv6_addr daddr;
	u32 family; /* 4 or 6 */
};

/* Where fragments between two addresses came in, to go on from there. */
struct fragment_way {
	u32 ifindex;
	mac_addr to; /* the Ethernet header as it was */
	mac_addr from;
};
_Static_assert(sizeof(struct fragment_way) == 16, "compared in words");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_pair);
	__type(value, struct fragment_way);
} fragment_ways SEC(".maps");

/* A datagram. RFC 791 has the protocol too, RFC 8200 has not: 0 there. */
struct fragment_key {
	struct fragment_pair;
	be32 id;
	u32 protocol;
};

/* What the first fragment says and the later ones do not. */
struct fragment_ports {
	be16 sport;
	be16 dport;
	u8 protocol;
	u8 again;  /* too big for the way out: all of it goes back, to be cut smaller */
	u8 answer; /* an echo reply: opens no flow */
	u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragment_ports SEC(".maps");

#endif
