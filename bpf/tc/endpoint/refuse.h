/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What goes no further, or not in one piece. */
#ifndef SLUICE_TC_ENDPOINT_REFUSE_H
#define SLUICE_TC_ENDPOINT_REFUSE_H

#include "../../lib/fragment.h"
#include "../../lib/reject.h"
#include "host.h"

/* Drops the packet and says why, in the name of the network's gateway. */
static __always_inline int refuse(struct __sk_buff *skb, const struct endpoint *ep,
				  enum drop_reason reason, enum rejection why, u32 mtu, bool v6)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	if (!net || !addr_is_set(gateway_of(net, v6), v6))
		return drop(skb, HOOK, reason);
	return reject(skb, HOOK, reason, why, gateway_of(net, v6), mtu, v6);
}

/* More than the way out takes, in each of its segments; or a part of such a datagram. */
static __always_inline bool too_big(struct __sk_buff *skb, const struct packet *p, u32 mtu)
{
	u32 length = skb->len - ETH_HLEN;

	if (p->later == LATER_AGAIN)
		return true;
	if (!mtu || length <= mtu)
		return false;
	if (!skb->gso_size)
		return true;
	length = p->l4 - p->ip + skb->gso_size;
	if (p->key.protocol == IPPROTO_TCP)
		return length + sizeof(struct tcphdr) > mtu;
	return length + sizeof(struct udphdr) > mtu;
}

/* No flow leaves such a network, to what other ones publish neither. */
static __always_inline bool is_internal(const struct endpoint *ep)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	return net && net->flags & NETWORK_INTERNAL;
}

/* A packet that is too big: in fragments where its sender allows that, else not at all. */
static __always_inline int send_smaller(struct __sk_buff *skb, const struct endpoint *ep,
					const struct packet *p, u32 mtu, bool v6)
{
	int verdict = mtu ? fragment_send(skb, HOOK, mtu, v6) : FRAGMENT_STAYS;

	if (verdict != FRAGMENT_STAYS)
		return verdict;
	if (p->later)
		return drop(skb, HOOK, DROP_TOO_BIG);
	return refuse(skb, ep, DROP_TOO_BIG, REJECT_TOO_BIG, mtu, v6);
}

#endif
