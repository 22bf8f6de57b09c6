/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Published ports for sockets of the host itself, IPv4. A socket is translated
 * once, when it names its peer; its packets then go to the container over the
 * network's bridge like any other of the host's, and no hook sees them.
 */
#ifndef SLUICE_LIB_SOCKET4_H
#define SLUICE_LIB_SOCKET4_H

#include "../maps/device.h"
#include "socket.h"

struct peer4 {
	ipv4_addr addr;
	be16 port;
};

static __always_inline bool is_loopback4(ipv4_addr addr)
{
	return (addr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

/* Id of the publish on this very address, 0 if there is none. */
static __always_inline u32 publish4_own(ipv4_addr addr, be16 port, u8 protocol)
{
	struct publish_addr4_key at = {.addr = addr, .port = port, .protocol = protocol};
	u32 *id = bpf_map_lookup_elem(&publish_addr4, &at);

	return id ? *id : 0;
}

/*
 * The publish that answers a socket of the host at this address: as for
 * packets (publish4_find()), and on loopback as well where it is on every
 * address.
 */
static __always_inline struct publish *socket4_publish(struct bpf_sock_addr *ctx, u32 slot,
						       const struct peer4 *named)
{
	u32 id = 0;

	if (slot & PORT_SLOT_BY_ADDRESS)
		id = publish4_own(named->addr, named->port, ctx->protocol);
	if (!id) {
		id = slot & PORT_SLOT_ID;
		if (!id ||
		    (!is_loopback4(named->addr) && !bpf_map_lookup_elem(&host_addr4, &named->addr)))
			return NULL;
	}
	return bpf_map_lookup_elem(&publishes, &id);
}

/*
 * The socket must be able to reach a container: what leaves with a loopback
 * source has no way back, and one bound to a device would not take the bridge.
 */
static __always_inline bool socket4_can_reach(const struct bpf_sock *sk, ipv4_addr source)
{
	return !is_loopback4(source) && !sk->bound_dev_if;
}

static __always_inline bool socket4_remember(struct bpf_sock_addr *ctx, const struct peer4 *named,
					     const struct peer4 *container)
{
	struct socket_peer4_key key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.addr = container->addr,
		.port = container->port,
	};
	struct socket_peer4 was = {.addr = named->addr, .port = named->port};
	struct socket_peer4 *known = bpf_map_lookup_elem(&socket_peers4, &key);

	/* an unconnected socket names its peer with every datagram */
	if (known && known->addr == was.addr && known->port == was.port)
		return true;
	return !bpf_map_update_elem(&socket_peers4, &key, &was, BPF_ANY);
}

/*
 * The container behind what the program named, in *container, noted for the
 * way back. False: the address is to stay. `source` is the address that the
 * socket will send from, 0 if the route decides.
 */
static __always_inline bool socket4_translate(struct bpf_sock_addr *ctx, ipv4_addr addr,
					      ipv4_addr source, struct peer4 *container)
{
	struct peer4 named = {.addr = addr, .port = ctx->user_port};
	struct bpf_sock *sk = ctx->sk;
	struct publish *publish;
	u32 slot;

	if (!sk || !socket_is_host(ctx))
		return false;
	slot = socket_slot(ctx, named.port);
	if (!slot)
		return false;
	if (!source)
		source = sk->src_ip4;
	if (!socket4_can_reach(sk, source))
		return false;
	/* to the kernel, no destination is the host itself */
	if (!named.addr)
		named.addr = source ? source : bpf_htonl(INADDR_LOOPBACK);
	publish = socket4_publish(ctx, slot, &named);
	if (!publish || !publish->addr4 || !publish_is_alive(publish))
		return false;
	container->addr = publish->addr4;
	container->port = bpf_htons(bpf_ntohs(named.port) - publish->host_port + publish->port);
	return socket4_remember(ctx, &named, container);
}

/* What the program named when this is the peer that its packets bear. */
static __always_inline bool socket4_restore(struct bpf_sock_addr *ctx, ipv4_addr addr,
					    struct peer4 *named)
{
	struct socket_peer4_key key = {.addr = addr, .port = ctx->user_port};
	struct socket_peer4 *was;

	if (!socket_is_host(ctx))
		return false;
	key.cookie = bpf_get_socket_cookie(ctx);
	was = bpf_map_lookup_elem(&socket_peers4, &key);
	if (!was)
		return false;
	named->addr = was->addr;
	named->port = was->port;
	return true;
}

/* A socket that connects to the container's own address is told that address. */
static __always_inline void socket4_forget(struct bpf_sock_addr *ctx, ipv4_addr addr)
{
	struct socket_peer4_key key = {.addr = addr, .port = ctx->user_port};

	if (!bpf_map_lookup_elem(&ep_addr4, &addr) || !socket_is_host(ctx))
		return;
	key.cookie = bpf_get_socket_cookie(ctx);
	bpf_map_delete_elem(&socket_peers4, &key);
}

/* A publish has this port on an address that a socket bound to `addr` would share. */
static __always_inline bool socket4_is_published(struct bpf_sock_addr *ctx, ipv4_addr addr)
{
	be16 port = ctx->user_port;
	u32 slot = socket_slot(ctx, port);

	if (!slot || !socket_is_host(ctx))
		return false;
	if (!addr || slot & PORT_SLOT_ID)
		return true;
	return publish4_own(addr, port, ctx->protocol);
}

static __always_inline int socket_refuse_bind(void)
{
	count_socket(SOCKET_BIND);
	bpf_set_retval(-EADDRINUSE);
	return SOCKET_REFUSE;
}

#endif
