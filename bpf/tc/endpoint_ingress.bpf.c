// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of an endpoint's host-side veth: all that a container sends.
 * Within the network by MAC, straight to the other endpoint; through the
 * gateway by flow: replies of published ports, masquerade, published ports of
 * this host; the host's own services go up to its stack.
 */
#include "../lib/broadcast.h"
#include "../lib/deliver.h"
#include "../lib/flow.h"
#include "../lib/maintain.h"
#include "../lib/publish.h"
#include "../lib/snat.h"
#include "../lib/spoof.h"

#define HOOK HOOK_ENDPOINT_INGRESS

/*
 * The plan_* functions fill in the first half of a new flow and answer 0, or a
 * drop reason, or PASS. They are calls, not inlined, so that their stack is
 * free again when the flow is opened.
 */
#define PASS (-1)

/* The first packet to a port that some endpoint of this host publishes. */
static __noinline int plan_published(struct __sk_buff *skb, struct packet *p,
				     const struct endpoint *ep, struct flow4 *flow)
{
	u32 slot = port_slot(p->key.protocol, p->key.dport);
	struct publish *publish;
	struct endpoint *target;
	struct network *net;
	u32 id;

	if (!slot || !opens_flow(p))
		return PASS;
	publish = publish4_find(&p->key, slot, &id);
	if (!publish)
		return PASS;
	target = bpf_map_lookup_elem(&endpoints, &publish->endpoint);
	if (!target || target->generation != publish->generation)
		return DROP_NO_ENDPOINT;
	publish4_target(&p->key, publish, id, flow);
	flow->flags |= FLOW_AT_ENDPOINT;
	flow->ifindex = skb->ifindex;
	/*
	 * A server in the client's own network would answer it directly, past the
	 * reverse translation: it sees the gateway as the client instead.
	 */
	if (target->net == ep->net) {
		net = bpf_map_lookup_elem(&networks, &ep->net);
		if (!net || !net->gateway4)
			return DROP_NO_ROUTE;
		flow->saddr = net->gateway4;
		flow->flags |= FLOW_SNAT;
	}
	return DROP_NONE;
}

/* The first packet to somewhere else than this host. */
static __noinline int plan_outbound(struct __sk_buff *skb, struct packet *p,
				    const struct endpoint *ep, u32 ep_slot, struct flow4 *flow)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);
	struct device *device;
	struct route4 route = {};
	bool masquerade;
	int rc;

	if (!net)
		return DROP_NO_ENDPOINT;
	rc = route4(skb, net->ifindex, &p->key, p->tos, true, &route);
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
	if (p->tcp_flags & TCP_RST)
		return DROP_NOT_A_FLOW;
	masquerade = net->flags & NETWORK_MASQUERADE;
	flow->saddr = p->key.saddr;
	if (masquerade)
		flow->saddr = route.source ? route.source : device->addr4;
	if (!flow->saddr)
		return DROP_NO_ROUTE;
	flow->sport = p->key.sport;
	flow->daddr = p->key.daddr;
	flow->dport = p->key.dport;
	flow->endpoint = ep_slot;
	flow->generation = ep->generation;
	flow->ifindex = route.ifindex;
	flow->nexthop = route.nexthop;
	flow->action = device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_NEIGHBOUR;
	flow->flags = FLOW_AT_ENDPOINT | (masquerade ? FLOW_SNAT : 0);
	return DROP_NONE;
}

/* Opens a flow for a packet that has none, or passes or drops it. */
static __noinline int open_flow(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep,
				u32 ep_slot)
{
	struct flow4 flow = {};
	int reason;

	if (bpf_map_lookup_elem(&host_addr4, &p->key.daddr))
		reason = plan_published(skb, p, ep, &flow);
	else
		reason = plan_outbound(skb, p, ep, ep_slot, &flow);
	if (reason == PASS)
		return pass(skb, HOOK);
	if (reason == DROP_NONE)
		reason = flow4_open(skb, &p->key, &flow, flow.flags & FLOW_SNAT);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	return deliver4_first(skb, HOOK, p, &flow);
}

/* IPv4 to the gateway's MAC. */
static __always_inline int routed(struct __sk_buff *skb, const struct endpoint *ep, u32 ep_slot)
{
	struct packet p = {};
	struct flow4 *flow;
	enum parsed parsed = parse_ipv4(skb, &p);

	if (parsed == PARSED_MALFORMED)
		return drop(skb, HOOK, DROP_MALFORMED);
	if (!address_is_own(ep, p.ip->saddr))
		return drop(skb, HOOK, DROP_SPOOFED_ADDRESS);
	if (parsed != PARSED_FLOW) {
		if (bpf_map_lookup_elem(&host_addr4, &p.ip->daddr))
			return pass(skb, HOOK);
		return drop(skb, HOOK,
			    parsed == PARSED_FRAGMENT ? DROP_FRAGMENT : DROP_UNKNOWN_PROTOCOL);
	}
	/* the host's stack answers for the gateway: time exceeded */
	if (p.ttl <= 1)
		return pass(skb, HOOK);

	flow = flow4_find(&p.key);
	if (flow && flow->flags & FLOW_AT_ENDPOINT) {
		struct endpoint *owner;

		if (flow4_due(flow, &p)) {
			flow4_maintain(skb, &p.key, p.tcp_flags, p.tos);
			flow = flow4_find(&p.key);
			if (!flow)
				return drop(skb, HOOK, DROP_NOT_A_FLOW);
		}
		owner = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
		if (owner && !flow4_dead(flow, owner))
			return deliver4(skb, HOOK, &p, flow, owner);
		flow4_forget(&p.key);
	}
	return open_flow(skb, &p, ep, ep_slot);
}

/* By MAC to another endpoint of the network; what is nobody's goes to the bridge. */
static __always_inline int bridged(struct __sk_buff *skb, const struct endpoint *ep,
				   const struct ethhdr *eth)
{
	struct mac_key key = {.net = ep->net};
	struct endpoint *to;
	u32 *slot;

	mac_copy(&key.mac, eth->h_dest);
	slot = bpf_map_lookup_elem(&ep_mac, &key);
	to = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	if (!to)
		return pass(skb, HOOK);
	return into_endpoint(skb, HOOK, to);
}

SEC("tc")
int endpoint_ingress(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	struct endpoint *ep = device ? bpf_map_lookup_elem(&endpoints, &device->id) : NULL;
	enum drop_reason reason;
	struct ethhdr *eth;

	if (!ep || linearise(skb))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return drop(skb, HOOK, DROP_MALFORMED);
	if (!mac_equal(eth->h_source, &ep->mac))
		return drop(skb, HOOK, DROP_SPOOFED_MAC);
	if (eth->h_proto == bpf_htons(ETH_P_IP) && mac_equal(eth->h_dest, &ep->gateway_mac))
		return routed(skb, ep, device->id);

	reason = check_source(skb, ep, eth);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	if (is_multicast(eth->h_dest)) {
		clone_to_members(skb, ep->net, ep->member);
		return pass(skb, HOOK);
	}
	return bridged(skb, ep, eth);
}

char _license[] SEC("license") = "Dual BSD/GPL";
