/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The ways out of a program other than passing and dropping. */
#ifndef SLUICE_LIB_DELIVER_H
#define SLUICE_LIB_DELIVER_H

#include "../maps/endpoint.h"
#include "count.h"
#include "ethernet.h"
#include "fib.h"
#include "flow.h"
#include "nat.h"
#include "parse.h"
#include "reject.h"

/*
 * Straight into the container, past the bridge and the host's netfilter. Works
 * from ingress only. The mark would survive into the container, where it may
 * mean something else.
 */
static __always_inline int into_endpoint(struct __sk_buff *skb, enum hook hook,
					 const struct endpoint *ep)
{
	skb->mark = 0;
	/* a packet from another veth counts as "for another host" until told otherwise */
	if (hook == HOOK_ENDPOINT_INGRESS)
		bpf_skb_change_type(skb, PACKET_HOST);
	count_outcome(skb, hook, OUTCOME_TO_ENDPOINT);
	return bpf_redirect_peer(ep->ifindex, 0);
}

/* The same for a routed packet, which translate has given the container's MAC. */
static __always_inline int to_endpoint(struct __sk_buff *skb, enum hook hook,
				       const struct endpoint *ep, bool v6)
{
	if (config.l3_device && (bpf_skb_change_head(skb, ETH_HLEN, 0) ||
				 write_ethernet(skb, &ep->mac, &ep->gateway_mac, v6)))
		return drop(skb, hook, DROP_MALFORMED);
	return into_endpoint(skb, hook, ep);
}

/*
 * Out by an uplink; the kernel resolves the next hop's MAC. One of IPv6 for a
 * packet of IPv4 has no room in the flow: the kernel looks the route up again.
 */
static __always_inline int to_neighbour(struct __sk_buff *skb, enum hook hook, u32 ifindex,
					const void *nexthop, bool v6)
{
	struct bpf_redir_neigh neigh = {
		.nh_family = v6 ? AF_INET6 : AF_INET,
	};

	skb->mark = config.mark;
	count_outcome(skb, hook, OUTCOME_TO_UPLINK);
	if (!v6 && !addr_is_set(nexthop, v6))
		return bpf_redirect_neigh(ifindex, NULL, 0, 0);
	addr_copy(neigh.ipv6_nh, nexthop, v6);
	return bpf_redirect_neigh(ifindex, &neigh, sizeof(neigh), 0);
}

/* Out by an uplink, to a MAC that is known or none at all. */
static __always_inline int to_device(struct __sk_buff *skb, enum hook hook, u32 ifindex,
				     const mac_addr *mac, bool v6)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	if (!device)
		return drop(skb, hook, DROP_NO_UPLINK);
	if (write_ethernet(skb, mac, &device->mac, v6))
		return drop(skb, hook, DROP_MALFORMED);
	skb->mark = config.mark;
	count_outcome(skb, hook, OUTCOME_TO_UPLINK);
	return bpf_redirect(ifindex, 0);
}

/* Sends a translated packet where the flow's action says. */
static __always_inline int send_by_flow(struct __sk_buff *skb, enum hook hook,
					const struct flow *flow, const struct endpoint *ep, bool v6)
{
	if (flow->action == FLOW_TO_ENDPOINT)
		return to_endpoint(skb, hook, ep, v6);
	if (flow->action == FLOW_TO_NEIGHBOUR)
		return to_neighbour(skb, hook, flow->ifindex, flow_nexthop(flow, v6), v6);
	return to_device(skb, hook, flow->ifindex, &flow->mac, v6);
}

/* Translates the packet and sends it where the flow's action says. */
static __always_inline int deliver(struct __sk_buff *skb, enum hook hook, struct packet *p,
				   const struct flow *flow, const struct endpoint *ep, bool v6)
{
	bool inwards = flow->action == FLOW_TO_ENDPOINT;

	if (translate(skb, p, flow, true, inwards ? ep : NULL, v6))
		return drop(skb, hook, DROP_MALFORMED);
	return send_by_flow(skb, hook, flow, ep, v6);
}

#endif
