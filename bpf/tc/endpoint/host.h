/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a container sends to the host itself. */
#ifndef SLUICE_TC_ENDPOINT_HOST_H
#define SLUICE_TC_ENDPOINT_HOST_H

#include "../../lib/flow.h"
#include "../../lib/holders.h"
#include "../../lib/parse.h"

#define HOOK HOOK_ENDPOINT_INGRESS

/* The host asked for this packet: it answers a socket or an echo of the host's. */
static __always_inline bool answers_host(struct __sk_buff *skb, const struct packet *p,
					 enum parsed parsed, bool v6)
{
	if (parsed == PARSED_LINK || parsed == PARSED_ICMP_ERROR)
		return true;
	if (parsed != PARSED_FLOW)
		return false;
	if (p->key.protocol == IPPROTO_TCP)
		return !opens_flow(p);
	if (p->key.protocol == IPPROTO_UDP)
		return host_asked(skb, &p->key, v6);
	return p->answer;
}

/* On to the host's own stack, where the network lets its containers do that. */
static __always_inline int to_host_family(struct __sk_buff *skb, const struct endpoint *ep,
					  const struct packet *p, enum parsed parsed, bool v6)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	if (net && net->flags & (NETWORK_INTERNAL | NETWORK_NO_HOST_ACCESS) &&
	    !answers_host(skb, p, parsed, v6))
		return drop(skb, HOOK, DROP_NO_HOST_ACCESS);
	return pass(skb, HOOK);
}

static __noinline int to_host4(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p, enum parsed parsed)
{
	return to_host_family(skb, ep, p, parsed, false);
}

static __noinline int to_host6(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p, enum parsed parsed)
{
	return to_host_family(skb, ep, p, parsed, true);
}

static __always_inline int to_host(struct __sk_buff *skb, const struct endpoint *ep,
				   const struct packet *p, enum parsed parsed, bool v6)
{
	return v6 ? to_host6(skb, ep, p, parsed) : to_host4(skb, ep, p, parsed);
}

#endif
