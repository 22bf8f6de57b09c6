/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the socket hooks know: whose sockets they serve, and what they have translated. */
#ifndef SLUICE_MAPS_SOCKET_H
#define SLUICE_MAPS_SOCKET_H

#include "../lib/types.h"
#include "../lib/bpf.h"
#include "publish.h"

#define MAX_SOCKET_PEERS   65536
#define MAX_SOCKET_MEMBERS 16384 /* MAX_ENDPOINTS */
#define MAX_SOCKET_CHOICES 16384
#define SOCKET_NAMESPACES  4096 /* a power of two */

/*
 * Cookie of the daemon's own network namespace; 0: none yet. The hooks see the
 * sockets of the whole machine and leave those of other namespaces alone. A
 * cookie is never given twice while the kernel lives.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} socket_netns SEC(".maps");

/*
 * Index: the low bits of a namespace's cookie. 0: no namespace with these bits
 * is ours, which ends the work for sockets of all others with a load. The
 * kernel counts cookies up, so two of ours seldom share a place.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOCKET_NAMESPACES);
	__type(key, u32);
	__type(value, u32);
} socket_namespaces SEC(".maps");

struct socket_member_key {
	u64 cookie; /* of the sandbox's namespace */
	u32 net;
	u32 pad;
};

/* Which sandboxes' sockets may use the VIPs of a network, and by which endpoint: its slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_SOCKET_MEMBERS);
	__type(key, struct socket_member_key);
	__type(value, u32);
} socket_members SEC(".maps");

/* A socket, and the container's address that its packets bear as peer. */
struct socket_peer4_key {
	u64 cookie;
	ipv4_addr addr;
	be16 port;
	u8 pad[2];
};

/* The peer as the program named it, and what was chosen for it. */
struct socket_peer4 {
	ipv4_addr addr;
	be16 port;
	u8 pad[2];
	u32 backend; /* of a service; 0: none, the port is published by the container itself */
	u32 client;  /* slot of the socket's sandbox's endpoint; 0: the host */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SOCKET_PEERS);
	__type(key, struct socket_peer4_key);
	__type(value, struct socket_peer4);
} socket_peers4 SEC(".maps");

struct socket_peer6_key {
	u64 cookie;
	ipv6_addr addr;
	be16 port;
	u8 pad[6];
};

struct socket_peer6 {
	ipv6_addr addr;
	be16 port;
	u8 pad[2];
	u32 backend;
	u32 client;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SOCKET_PEERS);
	__type(key, struct socket_peer6_key);
	__type(value, struct socket_peer6);
} socket_peers6 SEC(".maps");

/* A socket that names a VIP with each datagram; IPv4 as ::ffff:a.b.c.d. */
struct socket_choice_key {
	u64 cookie;
	ipv6_addr vip;
	be16 port;
	u8 pad[6];
};

/* The backend that it keeps for as long as that is there. */
struct socket_choice {
	u32 backend;
	u32 generation; /* of the backend's endpoint */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SOCKET_CHOICES);
	__type(key, struct socket_choice_key);
	__type(value, struct socket_choice);
} socket_choices SEC(".maps");

/* What a hook has changed. Enumerator names become metric labels, so they are public. */
enum socket_event {
	SOCKET_CONNECT = 0,	/* translated */
	SOCKET_SENDMSG = 1,	/* translated */
	SOCKET_RECVMSG = 2,	/* translated back */
	SOCKET_GETPEERNAME = 3, /* translated back */
	SOCKET_BIND = 4,	/* refused */
	SOCKET_REFUSED = 5,	/* a service refused: see service_refusals */
	SOCKET_EVENTS = 6,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SOCKET_EVENTS);
	__type(key, u32);
	__type(value, u64);
} socket_events SEC(".maps");

#endif
