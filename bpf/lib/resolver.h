/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Sockets inside sandboxes that name 127.0.0.11:53 are led to the port where
 * our resolver listens there, and told 127.0.0.11:53 as their peer. It needs no
 * memory of its own: in one namespace either end stands for the other.
 */
#ifndef SLUICE_LIB_RESOLVER_H
#define SLUICE_LIB_RESOLVER_H

#include "../maps/resolver.h"
#include "bpf.h"
#include "socket_peer.h"
#include "types.h"
#include <linux/in.h>

#define RESOLVER_ADDRESS 0x7f00000b /* 127.0.0.11 */
#define RESOLVER_PORT	 53
/* Three beats: one may come late. */
#define RESOLVER_FRESH_NS 3500000000ULL

static __always_inline bool is_resolver_address(const struct socket_end *end)
{
	return end->addr.word[0] == bpf_htonl(RESOLVER_ADDRESS);
}

/* Our resolver's port in the socket's namespace, for its protocol; 0: it has none there. */
static __always_inline be16 resolver_port(struct bpf_sock_addr *ctx)
{
	u64 cookie = bpf_get_netns_cookie(ctx);
	struct resolver *resolver = bpf_map_lookup_elem(&resolvers, &cookie);

	if (!resolver)
		return 0;
	if (ctx->protocol == IPPROTO_UDP)
		return resolver->udp;
	return ctx->protocol == IPPROTO_TCP ? resolver->tcp : 0;
}

static __always_inline bool resolver_answers(void)
{
	u32 only = 0;
	u64 *beat = bpf_map_lookup_elem(&resolver_heartbeat, &only);

	/* the coarse clock may lag behind the beat */
	return beat && *beat && bpf_ktime_get_coarse_ns() < *beat + RESOLVER_FRESH_NS;
}

/* `peer`, an IPv4 one, is 127.0.0.11:53 and becomes our resolver. False: it is to stay. */
static __always_inline bool resolver_translate(struct bpf_sock_addr *ctx, struct socket_end *peer)
{
	struct bpf_sock *sk = ctx->sk;
	be16 port;

	if (peer->port != bpf_htons(RESOLVER_PORT) || !is_resolver_address(peer))
		return false;
	if (!sk || sk->mark == RESOLVER_ASKS_OTHERS || !resolver_answers())
		return false;
	port = resolver_port(ctx);
	if (!port)
		return false;
	peer->port = port;
	return true;
}

/* The way back, also when the heartbeat has stopped since. False: `peer` is to stay. */
static __always_inline bool resolver_restore(struct bpf_sock_addr *ctx, struct socket_end *peer)
{
	if (!is_resolver_address(peer) || peer->port != resolver_port(ctx))
		return false;
	peer->port = bpf_htons(RESOLVER_PORT);
	return true;
}

#endif
