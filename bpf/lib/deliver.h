/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The ways out of a program other than passing and dropping. */
#ifndef SLUICE_LIB_DELIVER_H
#define SLUICE_LIB_DELIVER_H

#include "../maps/endpoint.h"
#include "count.h"
#include "fib.h"
#include "flow.h"
#include "nat.h"
#include "parse.h"

/* include/uapi/linux/if_packet.h */
#define PACKET_HOST 0

/* Writes an Ethernet header over the space of one. */
static __always_inline int write_ethernet(struct __sk_buff *skb, const mac_addr *to,
					  const mac_addr *from)
{
	struct ethhdr eth;

	mac_copy(eth.h_dest, to);
	mac_copy(eth.h_source, from);
	eth.h_proto = bpf_htons(ETH_P_IP);
	return bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

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

/* The same for a routed packet, which translate4 has given the container's MAC. */
static __always_inline int to_endpoint(struct __sk_buff *skb, enum hook hook,
				       const struct endpoint *ep)
{
	if (config.l3_device && (bpf_skb_change_head(skb, ETH_HLEN, 0) ||
				 write_ethernet(skb, &ep->mac, &ep->gateway_mac)))
		return drop(skb, hook, DROP_MALFORMED);
	return into_endpoint(skb, hook, ep);
}

/* Out by an uplink; the kernel resolves the next hop's MAC. */
static __always_inline int to_neighbour(struct __sk_buff *skb, enum hook hook, u32 ifindex,
					ipv4_addr nexthop)
{
	struct bpf_redir_neigh neigh = {
		.nh_family = AF_INET,
		.ipv4_nh = nexthop,
	};

	skb->mark = config.mark;
	count_outcome(skb, hook, OUTCOME_TO_UPLINK);
	return bpf_redirect_neigh(ifindex, &neigh, sizeof(neigh), 0);
}

/* Out by an uplink, to a MAC that is known or none at all. */
static __always_inline int to_device(struct __sk_buff *skb, enum hook hook, u32 ifindex,
				     const mac_addr *mac)
{
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	if (!device)
		return drop(skb, hook, DROP_NO_UPLINK);
	if (write_ethernet(skb, mac, &device->mac))
		return drop(skb, hook, DROP_MALFORMED);
	skb->mark = config.mark;
	count_outcome(skb, hook, OUTCOME_TO_UPLINK);
	return bpf_redirect(ifindex, 0);
}

/* Translates the packet and sends it where the flow's action says. */
static __always_inline int deliver4(struct __sk_buff *skb, enum hook hook, struct packet *p,
				    const struct flow4 *flow, const struct endpoint *ep)
{
	bool inwards = flow->action == FLOW_TO_ENDPOINT;

	if (translate4(skb, p, flow, true, inwards ? ep : NULL))
		return drop(skb, hook, DROP_MALFORMED);
	if (inwards)
		return to_endpoint(skb, hook, ep);
	if (flow->action == FLOW_TO_NEIGHBOUR)
		return to_neighbour(skb, hook, flow->ifindex, flow->nexthop);
	return to_device(skb, hook, flow->ifindex, &flow->mac);
}

/*
 * The same as a call of its own, for the first packet of a flow: its stack is
 * not needed while the flow is opened.
 */
static __noinline int deliver4_first(struct __sk_buff *skb, enum hook hook, struct packet *p,
				     const struct flow4 *flow)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);

	if (!ep || flow4_dead(flow, ep))
		return drop(skb, hook, DROP_NO_ENDPOINT);
	return deliver4(skb, hook, p, flow, ep);
}

#endif
