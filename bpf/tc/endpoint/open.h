/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The first packet of a flow, of a service or not. */
#ifndef SLUICE_TC_ENDPOINT_OPEN_H
#define SLUICE_TC_ENDPOINT_OPEN_H

#include "../../lib/deliver.h"
#include "../../lib/plan.h"
#include "../../lib/publish.h"
#include "../../lib/reset.h"
#include "../../lib/service.h"
#include "../../lib/snat.h"
#include "../../lib/vip.h"
#include "refuse.h"

/* deliver() as a call, for a flow's first packet: its stack is free again when the flow is opened.
 */
static __noinline int deliver_first4(struct __sk_buff *skb, enum hook hook, struct packet *p,
				     const struct flow *flow, const struct endpoint *ep)
{
	return deliver(skb, hook, p, flow, ep, false);
}

static __noinline int deliver_first6(struct __sk_buff *skb, enum hook hook, struct packet *p,
				     const struct flow *flow, const struct endpoint *ep)
{
	return deliver(skb, hook, p, flow, ep, true);
}

/*
 * Opens a flow for a packet that has none, or passes or drops it. A call that
 * is verified on its own; it parses again, since packet pointers do not pass.
 */
static __always_inline int open_flow_family(struct __sk_buff *skb, u32 ep_slot, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct flow_scratch *scratch = flow_scratch_get();
	struct endpoint *owner;
	struct flow *flow;
	struct packet p;
	int reason;

	if (!ep || !scratch || parse_in_order(skb, &p, v6) != PARSED_FLOW)
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	if (addr_is_local(key_daddr(&p.key, v6), v6))
		reason = plan_published(skb, &p, ep, ep_slot, v6);
	else
		reason = v6 ? plan_outbound6(skb, &p, ep, ep_slot)
			    : plan_outbound4(skb, &p, ep, ep_slot);
	if (reason == PASS)
		return to_host(skb, ep, &p, PARSED_FLOW, v6);
	if (reason == DROP_NONE && is_internal(ep))
		return drop(skb, HOOK, DROP_INTERNAL);
	if (reason == DROP_NONE && too_big(skb, &p, scratch->flow.mtu))
		return send_smaller(skb, ep, &p, scratch->flow.mtu, v6);
	if (reason == DROP_NONE)
		reason = flow_open(skb, &p.key, scratch->flow.flags & FLOW_SNAT, v6);
	if (reason == DROP_NO_BACKEND || reason == DROP_NO_SERVICE)
		return reject_port(skb, HOOK, reason, &p, v6);
	if ((reason == DROP_NO_PORT || reason == DROP_LIMIT) && !p.later)
		return refuse(skb, ep, reason, REJECT_PROHIBITED, 0, v6);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	flow = (struct flow *)&scratch->flow;
	owner = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (!owner || flow_dead(flow, owner))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	if (flow->flags & FLOW_SERVICE)
		count_backend_flow(skb, flow->publish);
	if (too_big(skb, &p, flow->mtu))
		return send_smaller(skb, ep, &p, flow->mtu, v6);
	return v6 ? deliver_first6(skb, HOOK, &p, flow, owner)
		  : deliver_first4(skb, HOOK, &p, flow, owner);
}

__noinline int open_flow4(struct __sk_buff *skb, u32 ep_slot)
{
	return open_flow_family(skb, ep_slot, false);
}

__noinline int open_flow6(struct __sk_buff *skb, u32 ep_slot)
{
	return open_flow_family(skb, ep_slot, true);
}

/*
 * The first packet to a VIP: opens a flow to a backend, or answers or drops
 * the packet. Verified on its own, parses again.
 */
static __always_inline int open_service_family(struct __sk_buff *skb, u32 ep_slot, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct flow_scratch *scratch = flow_scratch_get();
	struct endpoint *owner;
	struct network *net;
	struct flow *flow;
	struct packet p;
	int reason;

	if (!ep || !scratch || parse_in_order(skb, &p, v6) != PARSED_FLOW)
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	net = bpf_map_lookup_elem(&networks, &ep->net);
	if (!net || net->flags & NETWORK_NO_ICC || !is_vip_of(ep, key_daddr(&p.key, v6), v6))
		return drop(skb, HOOK, DROP_ISOLATED);
	if (p.key.protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return p.answer ? drop(skb, HOOK, DROP_NOT_A_FLOW)
				: vip_answer_echo(skb, HOOK, &p, v6);
	if (p.ttl <= 1)
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, v6);
	reason = plan_vip(skb, &p, ep_slot, v6);
	if (reason == DROP_NONE)
		reason = flow_open(skb, &p.key, scratch->flow.flags & FLOW_SNAT, v6);
	if (reason == DROP_NO_BACKEND || reason == DROP_NO_SERVICE || reason == DROP_NOT_A_FLOW)
		return reject_port(skb, HOOK, reason, &p, v6);
	if ((reason == DROP_NO_PORT || reason == DROP_LIMIT) && !p.later)
		return refuse(skb, ep, reason, REJECT_PROHIBITED, 0, v6);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	flow = (struct flow *)&scratch->flow;
	owner = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (!owner || flow_dead(flow, owner))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	count_backend_flow(skb, flow->publish);
	return v6 ? deliver_first6(skb, HOOK, &p, flow, owner)
		  : deliver_first4(skb, HOOK, &p, flow, owner);
}

__noinline int open_service4(struct __sk_buff *skb, u32 ep_slot)
{
	return open_service_family(skb, ep_slot, false);
}

__noinline int open_service6(struct __sk_buff *skb, u32 ep_slot)
{
	return open_service_family(skb, ep_slot, true);
}

static __always_inline int open_service(struct __sk_buff *skb, u32 ep_slot, bool v6)
{
	return v6 ? open_service6(skb, ep_slot) : open_service4(skb, ep_slot);
}

/* Calls: the key's room is free again when the flow is opened. */
static __noinline int is_vip4(const union any_key *key)
{
	return service_at(&key->v4.daddr, 0, 0, false) != NULL;
}

static __noinline int is_vip6(const union any_key *key)
{
	return service_at(&key->v6.daddr, 0, 0, true) != NULL;
}

/* The packet is for a VIP, of whatever network. */
static __always_inline bool is_vip(const union any_key *key, bool v6)
{
	return v6 ? is_vip6(key) : is_vip4(key);
}

#endif
