/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What each of our links is, by ifindex, and the networks behind bridges. */
#ifndef SLUICE_MAPS_DEVICE_H
#define SLUICE_MAPS_DEVICE_H

#include "../lib/types.h"
#include "../lib/bpf.h"

#define MAX_DEVICES  32768
#define MAX_NETWORKS 4096

enum device_kind {
	DEVICE_ENDPOINT = 1, /* id: slot of the endpoint */
	DEVICE_BRIDGE = 2,   /* id: the network */
	DEVICE_UPLINK = 3,   /* id: unused */
};

enum device_flag {
	DEVICE_L3 = 1, /* packets carry no Ethernet header */
};

struct device {
	u32 kind; /* enum device_kind */
	u32 id;
	u32 flags;	 /* enum device_flag */
	ipv4_addr addr4; /* uplink: masquerade address where the kernel cannot tell by route */
	mac_addr mac;
	u8 pad[2];
	ipv6_addr addr6; /* as addr4 */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_DEVICES);
	__type(key, u32); /* ifindex */
	__type(value, struct device);
} devices SEC(".maps");

enum network_flag {
	NETWORK_MASQUERADE = 1,
	NETWORK_INTERNAL = 2,	    /* nothing leaves it, nothing but the host enters */
	NETWORK_NO_ICC = 4,	    /* containers do not reach one another */
	NETWORK_NO_HOST_ACCESS = 8, /* containers do not reach the host's own services */
};

struct network {
	u32 ifindex;	    /* the bridge; 0: no such network */
	u32 flags;	    /* enum network_flag */
	ipv4_addr gateway4; /* 0: none */
	u32 members_end;    /* all members are below */
	mac_addr mac;	    /* the bridge's */
	u8 pad[2];
	ipv6_addr gateway6; /* ::, none */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_NETWORKS);
	__type(key, u32);
	__type(value, struct network);
} networks SEC(".maps");

/*
 * The host's own unicast addresses: where a port published on every address
 * answers. bpf_fib_lookup gives one code for "local" and "no route".
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, ipv4_addr);
	__type(value, u32); /* ifindex that carries it */
} host_addr4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, ipv6_addr);
	__type(value, u32); /* ifindex that carries it */
} host_addr6 SEC(".maps");

enum host_prefix_kind {
	HOST_PREFIX_LOCAL = 1, /* the host's own by a local route alone, which no link carries */
	HOST_PREFIX_BROADCAST = 2, /* of a link */
};

struct host_prefix_key {
	u32 prefix_length; /* bits */
	ipv6_addr addr;	   /* IPv4 as ::ffff:a.b.c.d */
};

struct host_prefix {
	u32 kind;	/* enum host_prefix_kind */
	ipv4_addr addr; /* broadcast: the host's own address there; else 0 */
};

/* Read where host_addr has no entry for the address of a published port. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct host_prefix_key);
	__type(value, struct host_prefix);
} host_prefixes SEC(".maps");

#endif
