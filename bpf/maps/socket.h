/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the socket hooks know: whose sockets they serve, and what they have translated. */
#ifndef SLUICE_MAPS_SOCKET_H
#define SLUICE_MAPS_SOCKET_H

#include "../lib/types.h"
#include "../lib/bpf.h"
#include "publish.h"

#define MAX_SOCKET_PEERS 65536

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

/* A socket, and the container's address that its packets bear as peer. */
struct socket_peer4_key {
	u64 cookie;
	ipv4_addr addr;
	be16 port;
	u8 pad[2];
};

/* The peer as the program named it. */
struct socket_peer4 {
	ipv4_addr addr;
	be16 port;
	u8 pad[2];
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
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SOCKET_PEERS);
	__type(key, struct socket_peer6_key);
	__type(value, struct socket_peer6);
} socket_peers6 SEC(".maps");

/* What a hook has changed. Enumerator names become metric labels, so they are public. */
enum socket_event {
	SOCKET_CONNECT = 0,	/* translated */
	SOCKET_SENDMSG = 1,	/* translated */
	SOCKET_RECVMSG = 2,	/* translated back */
	SOCKET_GETPEERNAME = 3, /* translated back */
	SOCKET_BIND = 4,	/* refused */
	SOCKET_EVENTS = 5,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SOCKET_EVENTS);
	__type(key, u32);
	__type(value, u64);
} socket_events SEC(".maps");

#endif
