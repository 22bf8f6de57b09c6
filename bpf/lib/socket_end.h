/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A socket's other end as its program names it and as its packets bear it, and
 * the note that leads from the latter back to the former.
 */
#ifndef SLUICE_LIB_SOCKET_END_H
#define SLUICE_LIB_SOCKET_END_H

#include "address.h"
#include "socket.h"

/* A socket's other end, or an address to bind to; IPv4 is the first word, the others 0. */
struct socket_end {
	ipv6_addr addr;
	be16 port;
};

/* What a program named, and what was chosen for it: see struct socket_peer4. */
struct socket_named {
	struct socket_end end;
	u32 backend;
	u32 client;
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
					    struct socket_named *named, bool v6)
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
		named->end.addr = was->addr;
		named->end.port = was->port;
		named->backend = was->backend;
		named->client = was->client;
	} else {
		struct socket_peer4_key key = {
			.cookie = cookie,
			.addr = container->addr.word[0],
			.port = container->port,
		};
		struct socket_peer4 *was = bpf_map_lookup_elem(&socket_peers4, &key);

		if (!was)
			return false;
		named->end.addr.word[0] = was->addr;
		named->end.port = was->port;
		named->backend = was->backend;
		named->client = was->client;
	}
	return true;
}

static __always_inline bool socket_peer_set(u64 cookie, const struct socket_end *container,
					    const struct socket_named *named, bool v6)
{
	if (v6) {
		struct socket_peer6_key key = {
			.cookie = cookie,
			.addr = container->addr,
			.port = container->port,
		};
		struct socket_peer6 was = {
			.addr = named->end.addr,
			.port = named->end.port,
			.backend = named->backend,
			.client = named->client,
		};

		return !bpf_map_update_elem(&socket_peers6, &key, &was, BPF_ANY);
	}
	struct socket_peer4_key key = {
		.cookie = cookie,
		.addr = container->addr.word[0],
		.port = container->port,
	};
	struct socket_peer4 was = {
		.addr = named->end.addr.word[0],
		.port = named->end.port,
		.backend = named->backend,
		.client = named->client,
	};

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
					    const struct socket_named *named,
					    const struct socket_end *container, bool v6)
{
	u64 cookie = bpf_get_socket_cookie(ctx);
	struct socket_named known = {};

	/* an unconnected socket names its peer with every datagram */
	if (socket_peer_get(cookie, container, &known, v6) && known.end.port == named->end.port &&
	    addr_equal(&known.end.addr, &named->end.addr, v6) && known.backend == named->backend &&
	    known.client == named->client)
		return true;
	return socket_peer_set(cookie, container, named, v6);
}

#endif
