/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The kernel's routing decision, policy rules obeyed. */
#ifndef SLUICE_LIB_FIB_H
#define SLUICE_LIB_FIB_H

#include "../maps/device.h"
#include "address.h"
#include "bpf.h"
#include "config.h"
#include "types.h"

#ifndef AF_INET
#define AF_INET	 2
#define AF_INET6 10
#endif

/* Newer than Debian's header; config.fib_flags has those the kernel knows. */
#define FIB_SKIP_NEIGH 4  /* 6.4: redirect_neigh resolves the next hop itself */
#define FIB_SRC	       16 /* 6.7: tell the preferred source address */

/* In bytes; 0 if the device is gone. */
static __always_inline u16 device_mtu(struct __sk_buff *skb, u32 ifindex)
{
	u32 mtu = 0;

	bpf_check_mtu(skb, ifindex, &mtu, 0, 0);
	return mtu > 0xffff ? 0 : mtu;
}

struct route_query {
	u32 ifindex; /* the bridge that the packet enters by */
	be16 sport;
	be16 dport;
	u8 protocol;
	u8 tos;
	const void *saddr;
	const void *daddr;
};

struct route {
	u32 ifindex; /* egress device */
	u16 mtu;     /* of the way, path MTU discovered included, but see route_lookup */
	u16 pad;
	/*
	 * The destination itself if it is on link; IPv4: the first word, and 0 where
	 * the next hop has an address of IPv6 (RFC 5549)
	 */
	ipv6_addr nexthop;
};

/*
 * Routes a packet that entered from a network's bridge. Forwarding must be on
 * for that or the helper refuses; it is for our bridges, and for no other
 * device of the host. Answers a BPF_FIB_LKUP_RET_*: SUCCESS with *route set;
 * NOT_FWDED for local, broadcast and multicast destinations and where there is
 * no route at all; a negative errno if the device is gone. Before 6.4 (without
 * FIB_SKIP_NEIGH) a next hop whose MAC is not known yet ends the helper before it
 * has written the MTU: that of the device stands for it then. `source`: room for
 * the preferred source address, written where the kernel tells it, or NULL.
 */
static __always_inline int route_lookup(struct __sk_buff *skb, const struct route_query *query,
					struct route *route, void *source, bool v6)
{
	struct bpf_fib_lookup fib = {
		.family = v6 ? AF_INET6 : AF_INET,
		.l4_protocol = query->protocol,
		.sport = query->sport,
		.dport = query->dport,
		.ifindex = query->ifindex,
		.tot_len = 1, /* fits: asks for the MTU */
	};
	u32 flags = config.fib_flags;
	bool unresolved;
	int rc;

	if (v6)
		fib.flowinfo = bpf_htonl((u32)query->tos << 20);
	else
		fib.tos = query->tos;
	addr_copy(fib.ipv6_src, query->saddr, v6);
	addr_copy(fib.ipv6_dst, query->daddr, v6);
	if (!source)
		flags &= ~FIB_SRC;
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), flags);
	unresolved = rc == BPF_FIB_LKUP_RET_NO_NEIGH;
	if (unresolved)
		rc = BPF_FIB_LKUP_RET_SUCCESS;
	if (rc == BPF_FIB_LKUP_RET_SUCCESS) {
		route->ifindex = fib.ifindex;
		route->mtu = unresolved ? device_mtu(skb, fib.ifindex) : fib.mtu_result;
		if (v6 || fib.family == AF_INET)
			addr_copy(&route->nexthop, fib.ipv6_dst, v6);
		if (flags & FIB_SRC)
			addr_copy(source, fib.ipv6_src, v6);
	}
	return rc;
}

#endif
