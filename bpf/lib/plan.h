/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What becomes of the first packet of a flow that a container opens. */
#ifndef SLUICE_LIB_PLAN_H
#define SLUICE_LIB_PLAN_H

#include "exempt.h"
#include "fib.h"
#include "flow.h"
#include "parse.h"
#include "publish.h"
#include "service.h"

/*
 * The plan_* functions fill in the first half of a new flow and answer 0, or a
 * drop reason, or PASS.
 */
enum { PASS = -1 };

/* The first packet, or one that picks a flow up, to a port that some endpoint of this host
 * publishes. */
static __always_inline int plan_published(struct __sk_buff *skb, struct packet *p,
					  const struct endpoint *ep, u32 ep_slot, bool v6)
{
	u32 slot = port_slot(p->key.protocol, p->key.dport, v6);
	struct flow *flow = flow_plan();
	struct publish *publish;
	struct endpoint *target;
	struct network *net;
	u32 id;

	if (!slot || !flow || (!opens_flow(p) && !picks_up(p)))
		return PASS;
	publish = publish_find(&p->key, slot, &id, v6);
	if (!publish)
		return PASS;
	if (!opens_flow(p) && !publish_is_certain(skb, publish, &p->key, v6))
		return PASS;
	if (publish->flags & PUBLISH_SERVICE) {
		publish_target(&p->key, publish, id, flow, v6);
		flow->flags |= FLOW_AT_ENDPOINT;
		flow->ifindex = skb->ifindex;
		return plan_backend(flow, p->key.protocol, ep_slot, v6);
	}
	if (!publish_allows(publish, id, &p->key, v6))
		return DROP_NOT_ALLOWED;
	target = bpf_map_lookup_elem(&endpoints, &publish->endpoint);
	if (!target || target->generation != publish->generation)
		return DROP_NO_ENDPOINT;
	publish_target(&p->key, publish, id, flow, v6);
	flow->flags |= FLOW_AT_ENDPOINT;
	flow->ifindex = skb->ifindex;
	/*
	 * A server in the client's own network would answer it directly, past the
	 * reverse translation: it sees the gateway as the client instead.
	 */
	if (target->net == ep->net) {
		net = bpf_map_lookup_elem(&networks, &ep->net);
		if (!net || !addr_is_set(gateway_of(net, v6), v6))
			return DROP_NO_ROUTE;
		addr_copy(flow_saddr(flow, v6), gateway_of(net, v6), v6);
		flow->flags |= FLOW_SNAT;
	}
	return DROP_NONE;
}

/* The first packet to a VIP of the client's own network. */
static __always_inline int plan_vip(struct __sk_buff *skb, struct packet *p, u32 ep_slot, bool v6)
{
	struct flow *flow = flow_plan();

	if (!flow)
		return DROP_NO_ENDPOINT;
	if (!opens_flow(p))
		return DROP_NOT_A_FLOW;
	addr_copy(flow_saddr(flow, v6), key_saddr(&p->key, v6), v6);
	addr_copy(flow_daddr(flow, v6), key_daddr(&p->key, v6), v6);
	flow->sport = p->key.sport;
	flow->dport = p->key.dport;
	flow->ifindex = skb->ifindex;
	flow->flags = FLOW_AT_ENDPOINT;
	return plan_backend(flow, p->key.protocol, ep_slot, v6);
}

/* The first packet to somewhere else than this host. */
static __always_inline int plan_outbound_family(struct __sk_buff *skb, struct packet *p,
						const struct endpoint *ep, u32 ep_slot, bool v6)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);
	struct flow *flow = flow_plan();
	struct route_query query = {
		.protocol = p->key.protocol,
		.sport = p->key.sport,
		.dport = p->key.dport,
		.tos = p->tos,
		.saddr = key_saddr(&p->key, v6),
		.daddr = key_daddr(&p->key, v6),
	};
	struct device *device;
	struct route route = {};
	ipv6_addr source = {};
	bool masquerade;
	int rc;

	if (!net || !flow)
		return DROP_NO_ENDPOINT;
	if (net->flags & NETWORK_INTERNAL)
		return DROP_INTERNAL;
	query.ifindex = net->ifindex;
	rc = route_lookup(skb, &query, &route, &source, v6);
	/* no route, or a broadcast address: the stack answers, or takes it */
	if (rc == BPF_FIB_LKUP_RET_NOT_FWDED || rc == BPF_FIB_LKUP_RET_UNREACHABLE ||
	    rc == BPF_FIB_LKUP_RET_PROHIBIT)
		return PASS;
	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return DROP_NO_ROUTE;
	device = bpf_map_lookup_elem(&devices, &route.ifindex);
	if (device && device->kind != DEVICE_UPLINK)
		return DROP_ISOLATED;
	if (!device)
		return DROP_NO_UPLINK;
	if (p->tcp_flags & TCP_RST || p->answer)
		return DROP_NOT_A_FLOW;
	masquerade = net->flags & NETWORK_MASQUERADE && !is_exempt(key_daddr(&p->key, v6), v6);
	if (!masquerade)
		addr_copy(flow_saddr(flow, v6), key_saddr(&p->key, v6), v6);
	else if (addr_is_set(&source, v6))
		addr_copy(flow_saddr(flow, v6), &source, v6);
	else if (v6)
		addr_copy(flow_saddr(flow, v6), &device->addr6, v6);
	else
		addr_copy(flow_saddr(flow, v6), &device->addr4, v6);
	if (!addr_is_set(flow_saddr(flow, v6), v6))
		return DROP_NO_ROUTE;
	flow->sport = p->key.sport;
	flow->dport = p->key.dport;
	addr_copy(flow_daddr(flow, v6), key_daddr(&p->key, v6), v6);
	addr_copy(flow_nexthop(flow, v6), &route.nexthop, v6);
	flow->endpoint = ep_slot;
	flow->generation = ep->generation;
	flow->ifindex = route.ifindex;
	flow->mtu = route.mtu;
	flow->action = device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_NEIGHBOUR;
	flow->flags = FLOW_AT_ENDPOINT | (masquerade ? FLOW_SNAT : 0);
	return DROP_NONE;
}

/* Calls, so that the routing query's stack is free again when the flow is opened. */
static __noinline int plan_outbound4(struct __sk_buff *skb, struct packet *p,
				     const struct endpoint *ep, u32 ep_slot)
{
	return plan_outbound_family(skb, p, ep, ep_slot, false);
}

static __noinline int plan_outbound6(struct __sk_buff *skb, struct packet *p,
				     const struct endpoint *ep, u32 ep_slot)
{
	return plan_outbound_family(skb, p, ep, ep_slot, true);
}

#endif
