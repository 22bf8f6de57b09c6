/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the socket hooks of both address families have in common. */
#ifndef SLUICE_LIB_SOCKET_H
#define SLUICE_LIB_SOCKET_H

#include "../maps/endpoint.h"
#include "../maps/publish.h"
#include "../maps/socket.h"
#include "bpf.h"
#include "types.h"
#include <linux/in.h>

/* include/uapi/asm-generic/errno.h */
#define EADDRINUSE   98
#define ECONNREFUSED 111

/* What a hook answers; refusing without an errno of its own is EPERM. */
#define SOCKET_REFUSE 0
#define SOCKET_ALLOW  1

/* What becomes of the peer that a program named. */
enum socket_verdict {
	SOCKET_KEPT = 0,
	SOCKET_RENAMED = 1,
	SOCKET_DENIED = 2, /* with an errno set */
};

/* False: the socket's namespace is neither the daemon's nor a sandbox's. True: perhaps. */
static __always_inline bool socket_is_ours(struct bpf_sock_addr *ctx)
{
	u32 index = bpf_get_netns_cookie(ctx) & (SOCKET_NAMESPACES - 1);
	u32 *ours = bpf_map_lookup_elem(&socket_namespaces, &index);

	return ours && *ours;
}

/* A socket of the daemon's own network namespace. */
static __always_inline bool socket_is_host(struct bpf_sock_addr *ctx)
{
	u32 only = 0;
	u64 *own = bpf_map_lookup_elem(&socket_netns, &only);

	return own && bpf_get_netns_cookie(ctx) == *own;
}

/* The slot of a port for the socket's protocol in one family; 0: nobody publishes it. */
static __always_inline u32 socket_slot(struct bpf_sock_addr *ctx, be16 port, bool v6)
{
	u32 index = bpf_ntohs(port) + (v6 ? PORT_TABLES_FAMILY * 65536 : 0);
	u32 *slot;

	if (ctx->protocol == IPPROTO_TCP)
		index += PORT_TABLE_TCP * 65536;
	else if (ctx->protocol == IPPROTO_UDP)
		index += PORT_TABLE_UDP * 65536;
	else
		return 0;
	slot = bpf_map_lookup_elem(&port_slots, &index);
	return slot ? *slot : 0;
}

/* The container is still the one that the port was published for. */
static __always_inline bool publish_is_alive(const struct publish *publish)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &publish->endpoint);

	return ep && ep->generation == publish->generation;
}

/* What a hook that may refuse answers. */
static __always_inline int socket_answer(enum socket_verdict verdict)
{
	return verdict == SOCKET_DENIED ? SOCKET_REFUSE : SOCKET_ALLOW;
}

static __always_inline void count_socket(enum socket_event event)
{
	u32 index = event;
	u64 *count = bpf_map_lookup_elem(&socket_events, &index);

	if (count)
		(*count)++;
}

#endif
