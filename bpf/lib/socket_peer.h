/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Published ports for sockets of the host itself, one body for both families
 * (see address.h). A socket is translated once, when it names its peer; its
 * packets then go to the container over the network's bridge like any other of
 * the host's, and no hook sees them. The host is no remote client: whom a
 * publish is limited to does not bind it.
 */
#ifndef SLUICE_LIB_SOCKET_PEER_H
#define SLUICE_LIB_SOCKET_PEER_H

#include "address.h"
#include "socket.h"

/* A socket's other end, or an address to bind to; IPv4 is the first word, the others 0. */
struct socket_end {
	ipv6_addr addr;
	be16 port;
};

static __always_inline bool is_loopback(const ipv6_addr *addr, bool v6)
{
	if (v6)
		return !(addr->word[0] | addr->word[1] | addr->word[2]) &&
		       addr->word[3] == bpf_htonl(1);
	return (addr->word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* Of IPv6: an address that says nothing without a device, fe80::/10. */
static __always_inline bool is_link_local(const ipv6_addr *addr)
{
	return (addr->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline bool is_mapped(const ipv6_addr *addr)
{
	return !(addr->word[0] | addr->word[1]) && addr->word[2] == bpf_htonl(0xffff);
}

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
		if (!id || (!is_loopback(&named->addr, v6) && !addr_is_host(&named->addr, v6)))
			return NULL;
	}
	return bpf_map_lookup_elem(&publishes, &id);
}

/* The address that the socket is bound to; all zero: the route decides. */
static __always_inline void socket_source(const struct bpf_sock *sk, ipv6_addr *source, bool v6)
{
	if (v6) {
		source->word[0] = sk->src_ip6[0];
		source->word[1] = sk->src_ip6[1];
		source->word[2] = sk->src_ip6[2];
		source->word[3] = sk->src_ip6[3];
	} else {
		source->word[0] = sk->src_ip4;
	}
}

/*
 * The socket must be able to reach a container: what leaves with a loopback or
 * link-local source has no way back, one bound to a device would not take the
 * bridge, and one bound to a mapped address speaks no IPv6.
 */
static __always_inline bool socket_can_reach(const struct bpf_sock *sk, const ipv6_addr *source,
					     bool v6)
{
	if (v6 && (is_link_local(source) || is_mapped(source)))
		return false;
	return !is_loopback(source, v6) && !sk->bound_dev_if;
}

/* What the program named where its packets bear `container`, or false. */
static __always_inline bool socket_peer_get(u64 cookie, const struct socket_end *container,
					    struct socket_end *named, bool v6)
{
	if (v6) {
		struct socket_peer6_key key = {
			.cookie = cookie,
			.addr = container->addr,
			.port = container->port,
		};
		struct socket_peer6 *was = bpf_map_lookup_elem(&socket_peers6, &key);

		if (!was)
			return false;
		named->addr = was->addr;
		named->port = was->port;
	} else {
		struct socket_peer4_key key = {
			.cookie = cookie,
			.addr = container->addr.word[0],
			.port = container->port,
		};
		struct socket_peer4 *was = bpf_map_lookup_elem(&socket_peers4, &key);

		if (!was)
			return false;
		named->addr.word[0] = was->addr;
		named->port = was->port;
	}
	return true;
}

static __always_inline bool socket_peer_set(u64 cookie, const struct socket_end *container,
					    const struct socket_end *named, bool v6)
{
	if (v6) {
		struct socket_peer6_key key = {
			.cookie = cookie,
			.addr = container->addr,
			.port = container->port,
		};
		struct socket_peer6 was = {.addr = named->addr, .port = named->port};

		return !bpf_map_update_elem(&socket_peers6, &key, &was, BPF_ANY);
	}
	struct socket_peer4_key key = {
		.cookie = cookie,
		.addr = container->addr.word[0],
		.port = container->port,
	};
	struct socket_peer4 was = {.addr = named->addr.word[0], .port = named->port};

	return !bpf_map_update_elem(&socket_peers4, &key, &was, BPF_ANY);
}

static __always_inline void socket_peer_delete(u64 cookie, const struct socket_end *container,
					       bool v6)
{
	if (v6) {
		struct socket_peer6_key key = {
			.cookie = cookie,
			.addr = container->addr,
			.port = container->port,
		};

		bpf_map_delete_elem(&socket_peers6, &key);
	} else {
		struct socket_peer4_key key = {
			.cookie = cookie,
			.addr = container->addr.word[0],
			.port = container->port,
		};

		bpf_map_delete_elem(&socket_peers4, &key);
	}
}

static __always_inline bool socket_remember(struct bpf_sock_addr *ctx,
					    const struct socket_end *named,
					    const struct socket_end *container, bool v6)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct socket_end known = {};

	/* an unconnected socket names its peer with every datagram */
	if (socket_peer_get(cookie, container, &known, v6) && known.port == named->port &&
	    addr_equal(&known.addr, &named->addr, v6))
		return true;
	return socket_peer_set(cookie, container, named, v6);
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

/*
 * Replaces what the program named by the container behind it, noted for the
 * way back. False: the address is to stay. `source` is the one that the message
 * asks for, all zero for that of the socket.
 */
static __always_inline bool socket_translate(struct bpf_sock_addr *ctx, struct socket_end *peer,
					     ipv6_addr *source, bool v6)
{
	struct socket_end container = {};
	struct bpf_sock *sk = ctx->sk;
	struct publish *publish;
	const void *addr;
	u32 slot;

	/* what nobody published goes no further, for any socket of the machine */
	slot = socket_slot(ctx, peer->port, v6);
	if (!slot || !sk || !socket_is_host(ctx))
		return false;
	if (!addr_is_set(source, v6))
		socket_source(sk, source, v6);
	if (!socket_can_reach(sk, source, v6))
		return false;
	/* its scope would be lost, and would not fit the container's address */
	if (v6 && is_link_local(&peer->addr))
		return false;
	socket_name_host(&peer->addr, source, v6);
	publish = socket_publish(ctx, slot, peer, v6);
	if (!publish)
		return false;
	addr = v6 ? (const void *)&publish->addr6 : (const void *)&publish->addr4;
	if (!addr_is_set(addr, v6) || !publish_is_alive(publish))
		return false;
	addr_copy(&container.addr, addr, v6);
	container.port = bpf_htons(bpf_ntohs(peer->port) - publish->host_port + publish->port);
	if (!socket_remember(ctx, peer, &container, v6))
		return false;
	*peer = container;
	return true;
}

/* Replaces the peer that packets bear by what the program named. False: it is to stay. */
static __always_inline bool socket_restore(struct bpf_sock_addr *ctx, struct socket_end *peer,
					   bool v6)
{
	struct socket_end named = {};

	if (!socket_is_host(ctx) || !socket_peer_get(bpf_get_socket_cookie(ctx), peer, &named, v6))
		return false;
	*peer = named;
	return true;
}

/* A socket that connects to the container's own address is told that address. */
static __always_inline void socket_forget(struct bpf_sock_addr *ctx, const struct socket_end *peer,
					  bool v6)
{
	if (ep_of(&peer->addr, v6) && socket_is_host(ctx))
		socket_peer_delete(bpf_get_socket_cookie(ctx), peer, v6);
}

/* What connect() of either family does. True: `peer` is to be written back. */
static __always_inline bool socket_connect(struct bpf_sock_addr *ctx, struct socket_end *peer,
					   bool v6)
{
	ipv6_addr source = {};

	if (socket_translate(ctx, peer, &source, v6)) {
		count_socket(SOCKET_CONNECT);
		return true;
	}
	socket_forget(ctx, peer, v6);
	return false;
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
