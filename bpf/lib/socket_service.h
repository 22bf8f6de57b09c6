/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Services for sockets: a VIP that a program names becomes a backend, chosen
 * once for each connection, and no packet bears the VIP. One body for both
 * families, see address.h.
 */
#ifndef SLUICE_LIB_SOCKET_SERVICE_H
#define SLUICE_LIB_SOCKET_SERVICE_H

#include "address.h"
#include "config.h"
#include "service_choose.h"
#include "socket.h"
#include "socket_end.h"

/* What a program asks for, on the way to a backend. */
struct socket_call {
	struct socket_named named;
	struct socket_end vip;	/* not what was named where that is a published port */
	struct socket_end peer; /* the container's, in place of what was named */
	ipv6_addr source;	/* that the program has asked for; all zero: the route decides */
	bool each; /* the socket names its peer with each datagram, and keeps its backend */
};

/* By which endpoint the socket is on the network, in *client. False: it is not. */
static __always_inline bool socket_client(struct bpf_sock_addr *ctx, u32 net, u32 *client)
{
	struct socket_member_key key = {.net = net};
	u32 *slot;

	*client = 0;
	if (socket_is_host(ctx))
		return true;
	if (!config.socket_services)
		return false;
	key.cookie = bpf_get_netns_cookie(ctx);
	slot = bpf_map_lookup_elem(&socket_members, &key);
	if (!slot)
		return false;
	*client = *slot;
	return true;
}

/* Whether --allow lists the client; the host is never asked. */
static __always_inline bool socket_is_allowed(const struct socket_call *call,
					      const struct service_port *at, bool v6)
{
	const void *addr = &call->source;
	struct endpoint *ep;
	ipv6_addr source;

	if (!call->named.client || !(at->flags & SERVICE_LIMITED))
		return true;
	if (!addr_is_set(addr, v6)) {
		ep = bpf_map_lookup_elem(&endpoints, &call->named.client);
		if (!ep)
			return false;
		addr = ep_addr(ep, v6);
	}
	addr_mapped(&source, addr, v6);
	return service_allows(at, &source);
}

static __always_inline enum socket_verdict socket_deny(u32 service, enum service_refusal why)
{
	service_count_refusal(service, why);
	count_socket(SOCKET_REFUSED);
	bpf_set_retval(-ECONNREFUSED);
	return SOCKET_DENIED;
}

/*
 * Nobody answers. A UDP socket that connects has sent nothing yet, and its
 * connect() fails at no other address either (ping begins with one): what it
 * sends is refused packet by packet. For the host's own there is no such path.
 */
static __always_inline enum socket_verdict socket_refuse(struct bpf_sock_addr *ctx,
							 const struct socket_call *call,
							 u32 service, enum service_refusal why)
{
	if (ctx->protocol == IPPROTO_UDP && !call->each && call->named.client)
		return SOCKET_KEPT;
	return socket_deny(service, why);
}

/* The backend that the socket had for the VIP before, if it may keep it; else 0. */
static __always_inline u32 socket_kept(const struct socket_choice_key *key, u32 service)
{
	struct socket_choice *kept = bpf_map_lookup_elem(&socket_choices, key);
	struct service_backend *backend;

	if (!kept)
		return 0;
	backend = backend_alive(kept->backend, service);
	return backend && backend->generation == kept->generation ? kept->backend : 0;
}

static __always_inline void count_translated(u32 id)
{
	struct backend_load *load = bpf_map_lookup_elem(&backend_load, &id);

	if (load)
		__sync_fetch_and_add(&load->sockets, 1);
}

/* The id of a backend, 0 if nobody is there. There is no source port to hash yet. */
static __always_inline u32 socket_backend(struct bpf_sock_addr *ctx, const struct socket_call *call,
					  const struct service_port *at, bool v6)
{
	struct affinity_key client = {.service = at->service, .endpoint = call->named.client};
	struct socket_choice_key key = {.port = call->vip.port};
	struct socket_choice choice = {};
	struct service_backend *backend;
	u32 id;

	if (call->each) {
		key.cookie = bpf_get_socket_cookie(ctx);
		addr_mapped(&key.vip, &call->vip.addr, v6);
		id = socket_kept(&key, at->service);
		if (id)
			return id;
	}
	id = service_choose(at, &client, random_u64());
	backend = bpf_map_lookup_elem(&service_backends, &id);
	if (!id || !backend)
		return 0;
	count_translated(id);
	if (call->each) {
		choice.backend = id;
		choice.generation = backend->generation;
		bpf_map_update_elem(&socket_choices, &key, &choice, BPF_ANY);
	}
	return id;
}

/* Replaces the VIP by a backend in call->peer, noted for the way back. */
static __always_inline enum socket_verdict
socket_serve(struct bpf_sock_addr *ctx, struct socket_call *call, u32 service, bool v6)
{
	struct service_port *at = service_at(&call->vip.addr, call->vip.port, ctx->protocol, v6);
	struct service_backend *backend;
	struct endpoint *ep;
	u32 id;

	if (!at)
		return socket_refuse(ctx, call, service, SERVICE_REFUSED_PORT);
	/* its packets are dropped and counted one by one, as those of anybody outside */
	if (!socket_is_allowed(call, at, v6))
		return SOCKET_KEPT;
	id = socket_backend(ctx, call, at, v6);
	backend = bpf_map_lookup_elem(&service_backends, &id);
	if (!id || !backend)
		return socket_refuse(ctx, call, service, SERVICE_REFUSED_NO_BACKEND);
	ep = bpf_map_lookup_elem(&endpoints, &backend->endpoint);
	if (!ep || !addr_is_set(ep_addr(ep, v6), v6))
		return socket_refuse(ctx, call, service, SERVICE_REFUSED_NO_BACKEND);
	addr_copy(&call->peer.addr, ep_addr(ep, v6), v6);
	call->peer.port = at->port;
	call->named.backend = id;
	return socket_remember(ctx, &call->named, &call->peer, v6) ? SOCKET_RENAMED : SOCKET_KEPT;
}

/*
 * A VIP of a network that the socket's sandbox is on, or of any for a socket of
 * the host, that the program has named. What SOCKET_KEPT leaves is served, or
 * refused, packet by packet.
 */
static __always_inline enum socket_verdict socket_serve_named(struct bpf_sock_addr *ctx,
							      struct socket_call *call, bool v6)
{
	struct service_port *vip = service_at(&call->named.end.addr, 0, 0, v6);
	struct bpf_sock *sk = ctx->sk;

	if (!vip || !sk || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP))
		return SOCKET_KEPT;
	if (!socket_client(ctx, vip->net, &call->named.client))
		return SOCKET_KEPT;
	if (!addr_is_set(&call->source, v6))
		socket_source(sk, &call->source, v6);
	if (!socket_can_reach(sk, &call->source, v6))
		return SOCKET_KEPT;
	call->vip = call->named.end;
	return socket_serve(ctx, call, vip->service, v6);
}

#endif
