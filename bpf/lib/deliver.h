/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The ways out of a program other than passing and dropping. */
#ifndef SLUICE_LIB_DELIVER_H
#define SLUICE_LIB_DELIVER_H

#include "../maps/endpoint.h"
#include "count.h"
#include "fib.h"
#include "parse.h"

/* include/uapi/linux/if_packet.h */
#define PACKET_HOST 0

/* Writes an Ethernet header over the space of one; its type is there already but on an L3 device.
 */
static __always_inline int write_ethernet(struct __sk_buff *skb, const mac_addr *to,
					  const mac_addr *from)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return -1;
	mac_copy(eth->h_dest, to);
	mac_copy(eth->h_source, from);
	if (config.l3_device)
		eth->h_proto = bpf_htons(ETH_P_IP);
	return 0;
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

/* The same for a routed packet, which gets the container's MAC first. */
static __always_inline int to_endpoint(struct __sk_buff *skb, enum hook hook,
				       const struct endpoint *ep)
{
	if (config.l3_device && bpf_skb_change_head(skb, ETH_HLEN, 0))
		return drop(skb, hook, DROP_MALFORMED);
	if (write_ethernet(skb, &ep->mac, &ep->gateway_mac))
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

/* Where the flow's action says. The packet is translated already. */
static __always_inline int deliver4(struct __sk_buff *skb, enum hook hook, const struct flow4 *flow,
				    const struct endpoint *ep)
{
	if (flow->action == FLOW_TO_ENDPOINT)
		return to_endpoint(skb, hook, ep);
	if (flow->action == FLOW_TO_NEIGHBOUR)
		return to_neighbour(skb, hook, flow->ifindex, flow->nexthop);
	return to_device(skb, hook, flow->ifindex, &flow->mac);
}

#endif
