/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Published ports for sockets of the host itself, and services for those of
 * sandboxes too, one body for both families (see address.h). A socket is
 * translated once, when it names its peer; its packets then go to the container
 * like any others, and no hook sees what the program had named. The host is no
 * remote client: whom a publish or a service is limited to does not bind it.
 */
#ifndef SLUICE_LIB_SOCKET_PEER_H
#define SLUICE_LIB_SOCKET_PEER_H

#include "address.h"
#include "local.h"
#include "socket.h"
#include "socket_end.h"
#include "socket_service.h"

/* Id of the publish on this very address, 0 if there is none. */
static __always_inline u32 socket_publish_of_address(const struct socket_end *at, u8 protocol,
						     bool v6)
{
	u32 *id;

	if (v6) {
		struct publish_addr6_key key = {
			.addr = at->addr,
			.port = at->port,
			.protocol = protocol,
		};

		id = bpf_map_lookup_elem(&publish_addr6, &key);
	} else {
		struct publish_addr4_key key = {
			.addr = at->addr.word[0],
			.port = at->port,
			.protocol = protocol,
		};

		id = bpf_map_lookup_elem(&publish_addr4, &key);
	}
	return id ? *id : 0;
}

/*
 * The publish that answers a socket of the host at this address: as for
 * packets (publish_find()), and on loopback as well where it is on every
 * address.
 */
static __always_inline struct publish *socket_publish(struct bpf_sock_addr *ctx, u32 slot,
						      const struct socket_end *named, bool v6)
{
	u32 id = 0;

	if (slot & PORT_SLOT_BY_ADDRESS)
		id = socket_publish_of_address(named, ctx->protocol, v6);
	if (!id) {
		id = slot & PORT_SLOT_ID;
		if (!id || (!is_loopback(&named->addr, v6) && !addr_is_local(&named->addr, v6)))
			return NULL;
	}
	return bpf_map_lookup_elem(&publishes, &id);
}

/*
 * To the kernel, no destination is the host itself: the address that an IPv4
 * socket sends from, if it has one; with IPv6 always ::1.
 */
static __always_inline void socket_name_host(ipv6_addr *addr, const ipv6_addr *source, bool v6)
{
	if (addr_is_set(addr, v6))
		return;
	if (v6)
		addr->word[3] = bpf_htonl(1);
	else
		addr->word[0] = source->word[0] ? source->word[0] : bpf_htonl(INADDR_LOOPBACK);
}

/* A port of a service, published on this host: the host is a client of it like others. */
static __always_inline enum socket_verdict socket_serve_behind(struct bpf_sock_addr *ctx,
							       struct socket_call *call,
							       const struct publish *publish,
							       be16 port, bool v6)
{
	struct service_port *vip;

	addr_copy(&call->vip.addr,
		  v6 ? (const void *)&publish->addr6 : (const void *)&publish->addr4, v6);
	call->vip.port = port;
	vip = service_at(&call->vip.addr, 0, 0, v6);
	return vip ? socket_serve(ctx, call, vip->service, v6) : SOCKET_KEPT;
}

/* A socket of the host named a port that somebody has published. */
static __always_inline enum socket_verdict
socket_serve_published(struct bpf_sock_addr *ctx, struct socket_call *call, u32 slot, bool v6)
{
	struct socket_end *named = &call->named.end;
	struct bpf_sock *sk = ctx->sk;
	struct publish *publish;
	const void *addr;
	be16 port;

	if (!sk)
		return SOCKET_KEPT;
	if (!addr_is_set(&call->source, v6))
		socket_source(sk, &call->source, v6);
	if (!socket_can_reach(sk, &call->source, v6))
		return SOCKET_KEPT;
	/* its scope would be lost, and would not fit the container's address */
	if (v6 && is_link_local(&named->addr))
		return SOCKET_KEPT;
	socket_name_host(&named->addr, &call->source, v6);
	publish = socket_publish(ctx, slot, named, v6);
	if (!publish)
		return SOCKET_KEPT;
	addr = v6 ? (const void *)&publish->addr6 : (const void *)&publish->addr4;
	if (!addr_is_set(addr, v6))
		return SOCKET_KEPT;
	port = bpf_htons(bpf_ntohs(named->port) - publish->host_port + publish->port);
	if (publish->flags & PUBLISH_SERVICE)
		return socket_serve_behind(ctx, call, publish, port, v6);
	if (!publish_is_alive(publish))
		return SOCKET_KEPT;
	addr_copy(&call->peer.addr, addr, v6);
	call->peer.port = port;
	return socket_remember(ctx, &call->named, &call->peer, v6) ? SOCKET_RENAMED : SOCKET_KEPT;
}

/*
 * Replaces what the program named by the container behind it, noted for the
 * way back. `source` is the address that the message asks for, all zero for
 * that of the socket; `each`: the socket names its peer with each datagram.
 */
static __always_inline enum socket_verdict socket_translate(struct bpf_sock_addr *ctx,
							    struct socket_end *peer,
							    const ipv6_addr *source, bool each,
							    bool v6)
{
	struct socket_call call = {.named.end = *peer, .source = *source, .each = each};
	enum socket_verdict verdict = SOCKET_KEPT;
	u32 slot = socket_slot(ctx, peer->port, v6);

	if (slot && socket_is_host(ctx))
		verdict = socket_serve_published(ctx, &call, slot, v6);
	if (verdict == SOCKET_KEPT && !is_loopback(&peer->addr, v6))
		verdict = socket_serve_named(ctx, &call, v6);
	if (verdict == SOCKET_RENAMED)
		*peer = call.peer;
	return verdict;
}

/* What sendmsg() of either family does. */
static __always_inline enum socket_verdict
socket_send(struct bpf_sock_addr *ctx, struct socket_end *peer, const ipv6_addr *source, bool v6)
{
	enum socket_verdict verdict = SOCKET_KEPT;

	if (socket_is_ours(ctx))
		verdict = socket_translate(ctx, peer, source, true, v6);
	if (verdict == SOCKET_RENAMED)
		count_socket(SOCKET_SENDMSG);
	return verdict;
}

/* Replaces the peer that packets bear by what the program named. False: it is to stay. */
static __always_inline bool socket_restore(struct bpf_sock_addr *ctx, struct socket_end *peer,
					   bool v6)
{
	struct socket_named named = {};

	if (!socket_is_ours(ctx) || !socket_peer_get(bpf_get_socket_cookie(ctx), peer, &named, v6))
		return false;
	*peer = named.end;
	return true;
}

/* A socket that connects to the container's own address is told that address. */
static __always_inline void socket_forget(struct bpf_sock_addr *ctx, const struct socket_end *peer,
					  bool v6)
{
	if (!is_loopback(&peer->addr, v6) && ep_of(&peer->addr, v6))
		socket_peer_delete(bpf_get_socket_cookie(ctx), peer, v6);
}

/* What connect() of either family does. */
static __always_inline enum socket_verdict socket_connect(struct bpf_sock_addr *ctx,
							  struct socket_end *peer, bool v6)
{
	enum socket_verdict verdict;
	ipv6_addr source = {};

	/* sockets of other namespaces are done with here */
	if (!socket_is_ours(ctx))
		return SOCKET_KEPT;
	verdict = socket_translate(ctx, peer, &source, false, v6);
	if (verdict == SOCKET_RENAMED)
		count_socket(SOCKET_CONNECT);
	else if (verdict == SOCKET_KEPT)
		socket_forget(ctx, peer, v6);
	return verdict;
}

/* A publish has this port on an address that a socket bound to `at` would share. */
static __always_inline bool socket_is_published(struct bpf_sock_addr *ctx,
						const struct socket_end *at, bool v6)
{
	u32 slot = socket_slot(ctx, at->port, v6);

	if (!slot || !socket_is_host(ctx))
		return false;
	if (!addr_is_set(&at->addr, v6) || slot & PORT_SLOT_ID)
		return true;
	return socket_publish_of_address(at, ctx->protocol, v6);
}

static __always_inline int socket_refuse_bind(void)
{
	count_socket(SOCKET_BIND);
	bpf_set_retval(-EADDRINUSE);
	return SOCKET_REFUSE;
}

#endif
