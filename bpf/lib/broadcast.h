/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Broadcast and multicast within a network. The bridge would send them
 * through netfilter's FORWARD (br_netfilter), where Docker drops; so its ports
 * do not flood and every member gets a copy from here.
 */
#ifndef SLUICE_LIB_BROADCAST_H
#define SLUICE_LIB_BROADCAST_H

#include "../maps/device.h"
#include "../maps/endpoint.h"

struct clone_context {
	struct __sk_buff *skb;
	u32 net;
	u32 self;
};

static long clone_to_member(u32 index, struct clone_context *c)
{
	struct member_key key = {.net = c->net, .member = index + 1};
	u32 *slot = bpf_map_lookup_elem(&members, &key);
	struct endpoint *ep = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;

	if (ep && key.member != c->self)
		bpf_clone_redirect(c->skb, ep->ifindex, 0);
	return 0;
}

/* `self`: the sender's place, which gets none. Voids all packet pointers. */
static __always_inline void clone_to_members(struct __sk_buff *skb, u32 net_id, u32 self)
{
	struct network *net = bpf_map_lookup_elem(&networks, &net_id);
	struct clone_context context = {.skb = skb, .net = net_id, .self = self};

	if (net && net->members_end > 1 && net->members_end <= MAX_MEMBERS)
		bpf_loop(net->members_end - 1, clone_to_member, &context, 0);
}

#endif
