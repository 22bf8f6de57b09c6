/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Services: an address (VIP) and port that stand for several backends. User
 * space writes backends first, then slots and table, then the port that leads
 * to them; it removes in reverse. A change writes a new region of slots and
 * then replaces the port's entry, so a program sees the old choice or the new
 * one; a region that was left is not used again for a while.
 */
#ifndef SLUICE_MAPS_SERVICE_H
#define SLUICE_MAPS_SERVICE_H

#include "../lib/types.h"
#include "../lib/bpf.h"

#define MAX_SERVICES	     65536  /* numbers of services; 0 is none */
#define MAX_SERVICE_PORTS    262144 /* of each family, the addresses themselves included */
#define MAX_SERVICE_BACKENDS 131072 /* ids of backends; 0 is none */
#define MAX_SERVICE_SLOTS    262144
#define MAX_SERVICE_TABLE    524288 /* entries of four places */
#define MAX_SERVICE_AFFINITY 65536
#define SERVICE_RENDEZVOUS   32 /* up to so many backends are chosen from without a table */

/* Port 0 and protocol 0: the address itself, whatever the port. */
struct service4_key {
	ipv4_addr addr;
	be16 port;
	u8 protocol;
	u8 pad;
};

struct service6_key {
	ipv6_addr addr;
	be16 port;
	u8 protocol;
	u8 pad;
};

enum service_flag {
	SERVICE_LIMITED = 1, /* only for sources in publish_allow, under PUBLISH_ALLOW_SERVICE */
	SERVICE_BY_FLOW = 2, /* `maglev`: the same flow chooses the same backend; else at random */
};

/* What answers at a port of a VIP. */
struct service_port {
	u32 service;  /* its number */
	u32 net;      /* whose members may use the VIP */
	u32 slots;    /* the first of its backends in service_slots */
	u32 count;    /* of them; 0: nobody is there */
	u32 weights;  /* their sum */
	u32 table;    /* the first of its places in service_table, a multiple of four */
	u32 places;   /* of them, a prime; 0: no table */
	u32 affinity; /* seconds after its last new connection for which a client keeps its backend;
			 0: not */
	be16 port;    /* where the backends listen */
	u8 flags;     /* enum service_flag */
	u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SERVICE_PORTS);
	__type(key, struct service4_key);
	__type(value, struct service_port);
} services4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SERVICE_PORTS);
	__type(key, struct service6_key);
	__type(value, struct service_port);
} services6 SEC(".maps");

/* One of the backends that a service chooses from. */
struct service_slot {
	u32 backend; /* its id */
	u32 seed;    /* of its name: the same on every node and after every restart */
	u32 weight;  /* 1…1000 */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICE_SLOTS);
	__type(key, u32);
	__type(value, struct service_slot);
} service_slots SEC(".maps");

/* Four places of a Maglev table; each is an index into the service's own slots. */
struct service_places {
	u16 slot[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICE_TABLE);
	__type(key, u32);
	__type(value, struct service_places);
} service_table SEC(".maps");

enum backend_state {
	BACKEND_NONE = 0, /* no such backend: its flows are dead */
	BACKEND_ACTIVE = 1,
	BACKEND_DRAINING = 2, /* keeps its flows, and is in no slot */
};

/* Index: the backend's id, which flows carry as `publish`. One service, one endpoint. */
struct service_backend {
	u32 endpoint;	/* slot */
	u32 generation; /* of the endpoint */
	u32 service;	/* number */
	u32 idle;	/* seconds without a packet until an established flow ends; 0: the usual */
	u32 state;	/* enum backend_state */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICE_BACKENDS);
	__type(key, u32);
	__type(value, struct service_backend);
} service_backends SEC(".maps");

/* What a backend got, by its id. User space clears it when the id is given to another backend. */
struct backend_load {
	u64 picks;   /* how often it was chosen: neither affinity nor an earlier choice counts */
	u64 flows;   /* opened, packet by packet */
	u64 sockets; /* translated as they connected */
	u32 active;  /* flows open, as of the collector's last pass */
	u32 counted; /* by the collector's pass that is under way */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICE_BACKENDS);
	__type(key, u32);
	__type(value, struct backend_load);
} backend_load SEC(".maps");

/* Both directions, by a backend's id: of flows translated packet by packet. */
struct backend_traffic {
	u64 packets;
	u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SERVICE_BACKENDS);
	__type(key, u32);
	__type(value, struct backend_traffic);
} backend_traffic SEC(".maps");

/*
 * By an endpoint's slot: the generation of the one that is a backend, or was.
 * Its answers are looked at; also when it is none any more, for flows that it has.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384); /* MAX_ENDPOINTS */
	__type(key, u32);
	__type(value, u32); /* 0: none */
} backend_endpoints SEC(".maps");

/* Why a service refused. Enumerator names become metric labels, so they are public. */
enum service_refusal {
	SERVICE_REFUSED_NO_BACKEND = 0,
	SERVICE_REFUSED_PORT = 1,   /* the VIP has no such port */
	SERVICE_REFUSED_SOURCE = 2, /* --allow does not list the client */
	SERVICE_REFUSALS = 3,
};

/* By a service's number. */
struct service_refusals {
	u64 count[SERVICE_REFUSALS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVICES);
	__type(key, u32);
	__type(value, struct service_refusals);
} service_refusals SEC(".maps");

/* Who keeps which backend. */
struct affinity_key {
	u32 service;
	u32 endpoint; /* slot of the client's sandbox's endpoint; 0: the host, or somebody outside
		       */
	ipv6_addr client; /* of somebody outside, IPv4 as ::ffff:a.b.c.d; else :: */
};

struct affinity {
	u32 backend;
	u32 seen; /* tick of the client's last new connection */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SERVICE_AFFINITY);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} service_affinity SEC(".maps");

#endif
