/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a backend of services sends within its network. */
#ifndef SLUICE_TC_ENDPOINT_SERVED_H
#define SLUICE_TC_ENDPOINT_SERVED_H

#include "../../lib/broadcast.h"
#include "routed.h"

/* Not a verdict: the frame is no answer of a service. */
#define NOT_SERVED (-100)

/*
 * What a backend sends straight to a neighbour, and may be an answer that the
 * neighbour expects from a VIP. A SYN with ACK on a connection that is closed
 * answers another one, which the neighbour has opened to the backend's own
 * address meanwhile. Verified on its own, parses again.
 */
static __always_inline int served_family(struct __sk_buff *skb, u32 ep_slot, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct endpoint *owner;
	enum parsed parsed;
	struct flow *flow;
	struct packet p;

	if (!ep)
		return NOT_SERVED;
	parsed = parse_in_order(skb, &p, v6);
	if (parsed == PARSED_FRAGMENT && skb->cb[0] != FRAGMENTS_FIRST)
		return p.ttl > 1 ? fragment_send(skb, HOOK, 0, v6) : NOT_SERVED;
	if (parsed == PARSED_ICMP_ERROR)
		return icmp_error(skb, HOOK, &p, v6);
	if (parsed != PARSED_FLOW)
		return NOT_SERVED;
	flow = flow_find(&p.key, v6);
	if (!flow || !(flow->flags & FLOW_SERVICE) || !(flow->flags & FLOW_AT_ENDPOINT))
		return NOT_SERVED;
	if (p.tcp_flags & TCP_SYN && flow_closing(flow->state)) {
		flow_forget(&p.key, v6);
		return NOT_SERVED;
	}
	if (p.ttl <= 1)
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, v6);
	flow = flow_goes_on(skb, ep, &p, flow, &owner, v6);
	if (!flow)
		return NOT_SERVED;
	return v6 ? deliver_first6(skb, HOOK, &p, flow, owner)
		  : deliver_first4(skb, HOOK, &p, flow, owner);
}

__noinline int served4(struct __sk_buff *skb, u32 ep_slot)
{
	return served_family(skb, ep_slot, false);
}

__noinline int served6(struct __sk_buff *skb, u32 ep_slot)
{
	return served_family(skb, ep_slot, true);
}

_Static_assert(NOT_SERVED == FRAGMENT_STAYS && NOT_SERVED == ERROR_OF_NO_FLOW, "handed on");

/* The endpoint may have flows with clients of a service. */
static __always_inline bool is_backend(const struct endpoint *ep, u32 ep_slot)
{
	u32 *generation = bpf_map_lookup_elem(&backend_endpoints, &ep_slot);

	return generation && *generation == ep->generation;
}

/* To one neighbour, from a backend, IP. */
static __always_inline bool may_be_served(struct __sk_buff *skb, const struct endpoint *ep,
					  u32 ep_slot)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end || is_multicast(eth->h_dest))
		return false;
	return (eth->h_proto == bpf_htons(ETH_P_IP) || eth->h_proto == bpf_htons(ETH_P_IPV6)) &&
	       is_backend(ep, ep_slot);
}

/* Who asks for the MAC of a VIP; VIP_NOT_ASKED for any other such frame. */
static __always_inline int vip_answer_link(struct __sk_buff *skb, const struct endpoint *ep)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return VIP_NOT_ASKED;
	return eth->h_proto == bpf_htons(ETH_P_ARP) ? vip_answer_arp(skb, ep, HOOK)
						    : vip_answer_neighbour(skb, ep, HOOK);
}

#endif
