/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Published ports. One array answers "is this port ours" for every protocol
 * and port at the cost of a load, whatever the number of ports; the rest is
 * read for new flows only.
 */
#ifndef SLUICE_MAPS_PUBLISH_H
#define SLUICE_MAPS_PUBLISH_H

#include "../lib/types.h"
#include "../lib/bpf.h"

#define MAX_PUBLISHES	      131072
#define MAX_PUBLISH_ADDRESSES 131072

enum port_table {
	PORT_TABLE_TCP = 0,
	PORT_TABLE_UDP = 1,
	PORT_TABLE_SCTP = 2,
	PORT_TABLES_FAMILY = 3, /* IPv6's follow IPv4's in the same order */
	PORT_TABLES = 6,
};

/*
 * A slot's value: the id of the publish on every address (0: none), and
 * whether some address has a publish of its own in publish_addr4.
 */
enum port_slot {
	PORT_SLOT_BY_ADDRESS = 0x80000000,
	PORT_SLOT_ID = 0x7fffffff,
};

/* Index: port_table * 65536 + port (host order). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_TABLES * 65536);
	__type(key, u32);
	__type(value, u32);
} port_slots SEC(".maps");

struct publish_addr4_key {
	ipv4_addr addr;
	be16 port;
	u8 protocol;
	u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PUBLISH_ADDRESSES);
	__type(key, struct publish_addr4_key);
	__type(value, u32); /* publish id */
} publish_addr4 SEC(".maps");

struct publish_addr6_key {
	ipv6_addr addr;
	be16 port;
	u8 protocol;
	u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PUBLISH_ADDRESSES);
	__type(key, struct publish_addr6_key);
	__type(value, u32); /* publish id */
} publish_addr6 SEC(".maps");

enum publish_flag {
	PUBLISH_LIMITED = 1, /* only for sources in publish_allow */
	/*
	 * Leads to a service: addr4 and addr6 are its VIPs, port is the VIP's,
	 * endpoint and generation are 0. Whom the service is limited to binds.
	 */
	PUBLISH_SERVICE = 2,
};

/* host port p maps to container port p - host_port + port. */
struct publish {
	u32 endpoint;	 /* slot */
	u32 generation;	 /* of the endpoint */
	ipv4_addr addr4; /* the endpoint's; 0: not published in this family */
	u16 host_port;
	u16 host_port_end; /* inclusive */
	u16 port;
	u8 protocol;
	u8 flags;	 /* enum publish_flag */
	ipv6_addr addr6; /* the endpoint's; ::, not published in this family */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PUBLISHES);
	__type(key, u32); /* publish id */
	__type(value, struct publish);
} publishes SEC(".maps");

/*
 * Who may use a limited publish. IPv4 sources as ::ffff:a.b.c.d; read for the
 * first packet of a flow only.
 */
#define PUBLISH_ALLOW_SERVICE 0x80000000

struct publish_allow_key {
	u32 prefix_length; /* bits: 32 of the id, then those of the prefix */
	be32 publish; /* the trie compares bytes; of a service: PUBLISH_ALLOW_SERVICE + number */
	ipv6_addr source;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PUBLISH_ADDRESSES);
	__type(key, struct publish_allow_key);
	__type(value, u32); /* 1 */
} publish_allow SEC(".maps");

#endif
