/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Hop counts that end here. */
#ifndef SLUICE_TC_ENDPOINT_EXPIRED_H
#define SLUICE_TC_ENDPOINT_EXPIRED_H

#include "../../lib/fragment.h"
#include "../../lib/publish.h"
#include "refuse.h"

/*
 * A hop count that ends at the gateway on the way to somewhere else. The
 * host's stack would answer where it forwards, which for IPv6 it does not
 * unless all devices do.
 */
static __always_inline bool ends_here(const struct endpoint *ep, const struct packet *p)
{
	const void *to = &p->key.v6.daddr;

	return *(const u8 *)to != 0xff && !is_link_local(to) && !is_internal(ep) &&
	       !addr_is_host(to, true);
}

/*
 * A packet whose hop count ends here. The host's stack says so for the gateway;
 * but of flows and published ports it knows nothing, and where they are at the
 * host's own address it would say that the port is closed.
 */
static __always_inline int expired_family(struct __sk_buff *skb, const struct endpoint *ep,
					  const struct packet *p, bool v6)
{
	u32 slot = port_slot(p->key.protocol, p->key.dport, v6);
	struct flow *flow = flow_find(&p->key, v6);
	u32 id;

	if ((flow && flow->flags & FLOW_AT_ENDPOINT) ||
	    (slot && publish_find(&p->key, slot, &id, v6)))
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, v6);
	if (v6 && ends_here(ep, p))
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, true);
	return to_host(skb, ep, p, PARSED_FLOW, v6);
}

static __noinline int expired4(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p)
{
	return expired_family(skb, ep, p, false);
}

static __noinline int expired6(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p)
{
	return expired_family(skb, ep, p, true);
}

static __always_inline int expired(struct __sk_buff *skb, const struct endpoint *ep,
				   const struct packet *p, bool v6)
{
	return v6 ? expired6(skb, ep, p) : expired4(skb, ep, p);
}

/*
 * Whether this IPv6 fragment is the first of a datagram that has ports or an
 * identifier: one about which its sender may be told. A call, for the stack.
 */
static __noinline int fragment6_is_first(struct __sk_buff *skb)
{
	struct fragment_key key = {};
	struct fragment_ports ports = {};
	u8 tcp_flags;
	int l4 = fragment_identify(skb, &key, &ports.protocol, true);

	return l4 > 0 && !read_ports(skb, l4, &ports, &tcp_flags, true);
}

/*
 * The same of a fragment. What of it is for a published port only all of its
 * datagram could tell, so what is for the host's own address is the host's.
 */
static __noinline int expired_fragment6(struct __sk_buff *skb, const struct endpoint *ep,
					const struct packet *p)
{
	if (!ends_here(ep, p))
		return to_host(skb, ep, p, PARSED_FRAGMENT, true);
	if (!fragment6_is_first(skb))
		return drop(skb, HOOK, DROP_TTL);
	return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, true);
}

#endif
