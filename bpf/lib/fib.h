/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The kernel's routing decision, policy rules obeyed. */
#ifndef SLUICE_LIB_FIB_H
#define SLUICE_LIB_FIB_H

#include "../maps/device.h"
#include "../maps/flow.h"
#include "bpf.h"
#include "config.h"
#include "types.h"

#ifndef AF_INET
#define AF_INET 2
#endif

/* Newer than Debian's header; config.fib_flags has those the kernel knows. */
#define FIB_SKIP_NEIGH 4  /* 6.4: redirect_neigh resolves the next hop itself */
#define FIB_SRC	       16 /* 6.7: tell the preferred source address */

struct route4 {
	u32 ifindex;	   /* egress device */
	ipv4_addr nexthop; /* the destination itself if it is on link */
	ipv4_addr source;  /* preferred source address where asked for and known, else 0 */
};

/*
 * Routes a packet that entered from a network's bridge. Forwarding must be on
 * for `ifindex` or the helper refuses; it is for our bridges, and for no
 * other device of the host. Answers a BPF_FIB_LKUP_RET_*: SUCCESS with *route
 * set; NOT_FWDED for local, broadcast and multicast destinations and where
 * there is no route at all; a negative errno if the device is gone.
 */
static __always_inline int route4(struct __sk_buff *skb, u32 ifindex, const struct flow4_key *key,
				  u8 tos, bool want_source, struct route4 *route)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = key->protocol,
		.sport = key->sport,
		.dport = key->dport,
		.ifindex = ifindex,
		.tos = tos,
		.ipv4_src = key->saddr,
		.ipv4_dst = key->daddr,
	};
	u32 flags = config.fib_flags;
	int rc;

	if (!want_source)
		flags &= ~FIB_SRC;
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), flags);
	if (rc == BPF_FIB_LKUP_RET_NO_NEIGH)
		rc = BPF_FIB_LKUP_RET_SUCCESS;
	if (rc == BPF_FIB_LKUP_RET_SUCCESS) {
		route->ifindex = fib.ifindex;
		route->nexthop = fib.ipv4_dst;
		route->source = flags & FIB_SRC ? fib.ipv4_src : 0;
	}
	return rc;
}

#endif
