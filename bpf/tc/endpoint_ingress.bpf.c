// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of an endpoint's host-side veth: all that a container sends.
 * Within the network by MAC, straight to the other endpoint; through the
 * gateway by flow: replies of published ports, masquerade, published ports of
 * this host, VIPs of services; the host's own services go up to its stack.
 */
#include "../lib/broadcast.h"
#include "../lib/spoof.h"
#include "endpoint/routed.h"
#include "endpoint/served.h"

/*
 * To a MAC of neither the gateway nor a container: the bridge's, which may have
 * ports of others. It is not let through to the host, whose stack would route
 * what bears a MAC of its own: the veth's, or one that somebody gave the bridge.
 */
static __always_inline int nobodys(struct __sk_buff *skb, const mac_addr *mac)
{
	u32 ifindex = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

	if (!device || mac_equal(&device->mac, mac))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	count_outcome(skb, HOOK, OUTCOME_PASSED);
	skb->tc_classid = 0;
	return TCX_PASS;
}

/* A frame within the network, which has been found to be the sender's own. */
static __always_inline int switched(struct __sk_buff *skb, const struct endpoint *ep, bool link)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);
	struct ethhdr *eth = (void *)(long)skb->data;
	struct mac_key key = {.net = ep->net};
	u32 flags = net ? net->flags : 0;
	struct endpoint *to;
	u32 *slot;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return drop(skb, HOOK, DROP_MALFORMED);
	if (is_multicast(eth->h_dest)) {
		if (is_of_bridges(eth->h_dest))
			return drop(skb, HOOK, DROP_LINK_PROTOCOL);
		if (!(flags & NETWORK_NO_ICC))
			clone_to_members(skb, ep->net, ep->member);
		if (!link && flags & (NETWORK_INTERNAL | NETWORK_NO_HOST_ACCESS))
			return drop(skb, HOOK, DROP_NO_HOST_ACCESS);
		return pass(skb, HOOK);
	}
	mac_copy(&key.mac, eth->h_dest);
	slot = bpf_map_lookup_elem(&ep_mac, &key);
	to = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	if (!to)
		return mac_equal(&key.mac, &ep->gateway_mac) ? pass(skb, HOOK)
							     : nobodys(skb, &key.mac);
	if (flags & NETWORK_NO_ICC)
		return drop(skb, HOOK, DROP_ISOLATED);
	return into_endpoint(skb, HOOK, to);
}

/*
 * Whether a frame comes from who it says. *parsed: what it is, PARSED_LINK also
 * for ARP: about the link itself, which every network needs with the host.
 */
static __always_inline int check_frame(struct __sk_buff *skb, const struct endpoint *ep,
				       const struct ethhdr *eth, struct packet *p, u32 *parsed)
{
	be16 protocol = eth->h_proto;

	*parsed = PARSED_LINK;
	if (protocol == bpf_htons(ETH_P_ARP))
		return check_arp(ep, (void *)(eth + 1), (void *)(long)skb->data_end);
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		*parsed = parse(skb, p, true);
		return *parsed == PARSED_MALFORMED ? DROP_MALFORMED
						   : check_link(skb, ep, p, *parsed, true);
	}
	*parsed = PARSED_OTHER;
	if (protocol == bpf_htons(ETH_P_IP)) {
		*parsed = parse(skb, p, false);
		return *parsed == PARSED_MALFORMED ? DROP_MALFORMED
						   : check_link(skb, ep, p, *parsed, false);
	}
	/* whose it is cannot be told: RARP, spanning tree, LLDP, EAPOL and all others */
	return is_tag(protocol) ? DROP_TAGGED : DROP_LINK_PROTOCOL;
}

/* Not a verdict: a frame of a backend to a neighbour, which may be a service's answer. */
#define MAY_BE_SERVED (-103)

/* A frame to anybody but the gateway, or no IP. A call, for the stack. */
static __noinline int in_network(struct __sk_buff *skb, const struct endpoint *ep, u32 ep_slot,
				 struct ethhdr *eth)
{
	enum drop_reason reason;
	struct packet p;
	u32 parsed;

	reason = check_frame(skb, ep, eth, &p, &parsed);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	if (parsed == PARSED_LINK) {
		int verdict = vip_answer_link(skb, ep);

		if (verdict != VIP_NOT_ASKED)
			return verdict;
	} else if (may_be_served(skb, ep, ep_slot)) {
		return MAY_BE_SERVED;
	}
	return switched(skb, ep, parsed == PARSED_LINK);
}

/* The same of what a backend sends, once it is known to be no service's. */
static __noinline int switched_after(struct __sk_buff *skb, const struct endpoint *ep)
{
	return switched(skb, ep, false);
}

SEC("tc")
int endpoint_ingress(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	struct endpoint *ep = device ? bpf_map_lookup_elem(&endpoints, &device->id) : NULL;
	struct ethhdr *eth;
	int verdict;

	/* the kernel has taken the outer tag out of the frame, which looks untagged */
	if (skb->vlan_present)
		return drop(skb, HOOK, DROP_TAGGED);
	fragment_begin(skb);
	if (!ep || linearise(skb))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return drop(skb, HOOK, DROP_MALFORMED);
	if (!mac_equal(eth->h_source, &ep->mac))
		return drop(skb, HOOK, DROP_SPOOFED_MAC);
	if (mac_equal(eth->h_dest, &ep->gateway_mac)) {
		if (eth->h_proto == bpf_htons(ETH_P_IP))
			return routed(skb, ep, device->id, false);
		if (eth->h_proto == bpf_htons(ETH_P_IPV6))
			return routed(skb, ep, device->id, true);
	}
	verdict = in_network(skb, ep, device->id, eth);
	if (verdict != MAY_BE_SERVED)
		return verdict;
	verdict = skb->protocol == bpf_htons(ETH_P_IPV6) ? served6(skb, device->id)
							 : served4(skb, device->id);
	return verdict == NOT_SERVED ? switched_after(skb, ep) : verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
