/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the two ends of the way through the reassembly namespace agree on. */
#ifndef SLUICE_LIB_FRAGMENT_WAY_H
#define SLUICE_LIB_FRAGMENT_WAY_H

#include "../maps/fragment.h"
#include "config.h"
#include "parse.h"

/* On a packet that has been there, while it is handed to the hook that it came in by. */
static __always_inline u32 mark_in_order(void)
{
	return config.mark | 1;
}

/* Reads the addresses of the packet. */
static __always_inline int read_pair(struct __sk_buff *skb, struct fragment_pair *pair, bool v6)
{
	u32 at = l2_length() +
		 (v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr));
	u32 size = v6 ? sizeof(ipv6_addr) : sizeof(ipv4_addr);

	pair->family = v6 ? 6 : 4;
	return bpf_skb_load_bytes(skb, at, &pair->saddr, size) ||
			       bpf_skb_load_bytes(skb, at + size, &pair->daddr, size)
		       ? -1
		       : 0;
}

#endif
