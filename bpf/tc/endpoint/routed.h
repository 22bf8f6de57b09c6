/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a container sends through its gateway. */
#ifndef SLUICE_TC_ENDPOINT_ROUTED_H
#define SLUICE_TC_ENDPOINT_ROUTED_H

#include "../../lib/icmp.h"
#include "../../lib/maintain.h"
#include "expired.h"
#include "open.h"

/* What has no ports of its own. */
static __always_inline int routed_other(struct __sk_buff *skb, const struct endpoint *ep,
					struct packet *p, enum parsed parsed, bool v6)
{
	if (parsed == PARSED_LINK) {
		enum drop_reason reason = check_neighbour(ep, p, (void *)(long)skb->data_end);
		int verdict;

		if (reason != DROP_NONE)
			return drop(skb, HOOK, reason);
		verdict = vip_answer_neighbour(skb, ep, HOOK);
		return verdict == VIP_NOT_ASKED ? pass(skb, HOOK) : verdict;
	}
	if (parsed == PARSED_ICMP_ERROR) {
		int verdict = icmp_error(skb, HOOK, p, v6);

		if (verdict != ERROR_OF_NO_FLOW)
			return verdict;
	}
	if (addr_is_host(key_daddr(&p->key, v6), v6))
		return to_host(skb, ep, p, parsed, v6);
	return drop(skb, HOOK,
		    parsed == PARSED_FRAGMENT	  ? DROP_FRAGMENT
		    : parsed == PARSED_ICMP_ERROR ? DROP_NOT_A_FLOW
						  : DROP_UNKNOWN_PROTOCOL);
}

/*
 * The flow of a packet that enters by it, once the packet is noted, and who
 * gets the packet; NULL: the flow was dead, and is forgotten.
 */
static __always_inline struct flow *flow_goes_on(struct __sk_buff *skb, const struct endpoint *ep,
						 const struct packet *p, struct flow *flow,
						 struct endpoint **owner, bool v6)
{
	if (flow->flags & FLOW_SERVICE && !service_goes_on(skb, p, flow, ep, v6))
		goto dead;
	if (!p->later && flow_due(flow, p)) {
		flow = flow_maintain(skb, p, v6);
		if (!flow)
			return NULL;
	}
	*owner = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (*owner && !flow_dead(flow, *owner))
		return flow;
dead:
	flow_forget(&p->key, v6);
	return NULL;
}

/* Not a verdict, as OPENS_FLOW: the packet is for a VIP. */
#define OPENS_SERVICE (-102)

static __always_inline int routed_family(struct __sk_buff *skb, const struct endpoint *ep, bool v6)
{
	struct packet packet;
	struct packet *p = &packet;
	enum parsed parsed = parse_in_order(skb, p, v6);
	enum drop_reason reason;
	struct flow *flow;

	if (parsed == PARSED_MALFORMED)
		return drop(skb, HOOK, DROP_MALFORMED);
	reason = check_ip_source(ep, p, v6);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	if (parsed == PARSED_FRAGMENT) {
		int verdict;

		if (p->ttl <= 1)
			return v6 ? expired_fragment6(skb, ep, p)
				  : to_host(skb, ep, p, parsed, false);
		verdict = fragment_send(skb, HOOK, 0, v6);
		if (verdict != FRAGMENT_STAYS)
			return verdict;
	}
	if (parsed != PARSED_FLOW)
		return routed_other(skb, ep, p, parsed, v6);
	if (v6 && is_link_local(&p->key.v6.daddr))
		return to_host(skb, ep, p, parsed, v6);
	if (p->ttl <= 1)
		return is_vip(&p->key, v6) ? OPENS_SERVICE : expired(skb, ep, p, v6);

	flow = flow_find(&p->key, v6);
	if (flow && flow->flags & FLOW_AT_ENDPOINT) {
		struct endpoint *owner;

		flow = flow_goes_on(skb, ep, p, flow, &owner, v6);
		if (flow) {
			if (too_big(skb, p, flow->mtu))
				return send_smaller(skb, ep, p, flow->mtu, v6);
			return deliver(skb, HOOK, p, flow, owner, v6);
		}
	}
	return is_vip(&p->key, v6) ? OPENS_SERVICE : OPENS_FLOW;
}

/* Calls, for the stack. Answer a verdict, OPENS_FLOW or OPENS_SERVICE. */
static __noinline int routed_known4(struct __sk_buff *skb, const struct endpoint *ep)
{
	return routed_family(skb, ep, false);
}

static __noinline int routed_known6(struct __sk_buff *skb, const struct endpoint *ep)
{
	return routed_family(skb, ep, true);
}

/* IP to the gateway's MAC. */
static __always_inline int routed(struct __sk_buff *skb, const struct endpoint *ep, u32 ep_slot,
				  bool v6)
{
	int verdict = v6 ? routed_known6(skb, ep) : routed_known4(skb, ep);

	if (verdict == OPENS_FLOW)
		return v6 ? open_flow6(skb, ep_slot) : open_flow4(skb, ep_slot);
	return verdict == OPENS_SERVICE ? open_service(skb, ep_slot, v6) : verdict;
}

#endif
