/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Where our resolver listens inside a network namespace. Programs there ask
 * 127.0.0.11:53, which may be somebody else's; the socket hooks lead them to
 * ours for as long as the daemon is alive.
 */
#ifndef SLUICE_MAPS_RESOLVER_H
#define SLUICE_MAPS_RESOLVER_H

#include "../lib/bpf.h"
#include "../lib/types.h"

#define MAX_RESOLVERS 16384

/* Ports on 127.0.0.11. */
struct resolver {
	be16 udp;
	be16 tcp;
};

/* By the cookie of the network namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_RESOLVERS);
	__type(key, u64);
	__type(value, struct resolver);
} resolvers SEC(".maps");

/* When the daemon last said that it answers, CLOCK_MONOTONIC in ns; 0: it does not. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} resolver_heartbeat SEC(".maps");

/*
 * SO_MARK of the daemon's own sockets that ask whoever is at 127.0.0.11:53 in a
 * container: the hooks leave them alone. Of a word that nobody has by chance.
 */
enum resolver_mark {
	RESOLVER_ASKS_OTHERS = 0x534c444e,
};

#endif
