// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of an uplink: the world. Replies to masqueraded flows and packets
 * to published ports go straight into the container; a container's own address
 * is refused; the rest is the host's and passes untouched.
 */
#include "../lib/deliver.h"
#include "../lib/flow.h"
#include "../lib/maintain.h"
#include "../lib/nat.h"
#include "../lib/publish.h"
#include "../lib/snat.h"

#define HOOK HOOK_UPLINK_INGRESS

static __always_inline void note_sender(const struct packet *p, struct flow4 *flow)
{
	if (!config.l3_device)
		mac_copy(&flow->mac, p->eth->h_source);
}

/* First packet of a flow, to a published port. Answers as flow4_open, -1: not ours. */
static __always_inline int open_published(struct __sk_buff *skb, struct packet *p, u32 slot,
					  struct flow4 *flow)
{
	struct publish *publish;
	u32 id;

	if (!opens_flow(p))
		return -1;
	publish = publish4_find(&p->key, slot, &id);
	if (!publish || host_is_connected(skb, &p->key))
		return -1;
	if (p->ttl <= 1)
		return DROP_TTL;
	publish4_target(&p->key, publish, id, flow);
	flow->ifindex = skb->ifindex;
	note_sender(p, flow);
	return flow4_open(skb, &p->key, flow, false);
}

/* To a container's own address: only where its network does not masquerade. */
static __always_inline int open_direct(struct __sk_buff *skb, struct packet *p, u32 ep_slot,
				       struct flow4 *flow)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;

	if (!net || net->flags & NETWORK_MASQUERADE || !opens_flow(p))
		return DROP_DIRECT_ROUTING;
	if (p->ttl <= 1)
		return DROP_TTL;
	flow->saddr = p->key.saddr;
	flow->sport = p->key.sport;
	flow->daddr = p->key.daddr;
	flow->dport = p->key.dport;
	flow->endpoint = ep_slot;
	flow->generation = ep->generation;
	flow->action = FLOW_TO_ENDPOINT;
	flow->ifindex = skb->ifindex;
	note_sender(p, flow);
	return flow4_open(skb, &p->key, flow, false);
}

static __noinline int open_flow(struct __sk_buff *skb, struct packet *p)
{
	struct flow4 flow = {};
	int reason = -1;
	u32 slot = port_slot(p->key.protocol, p->key.dport);

	if (slot)
		reason = open_published(skb, p, slot, &flow);
	if (reason < 0) {
		u32 *ep_slot = bpf_map_lookup_elem(&ep_addr4, &p->key.daddr);

		if (!ep_slot)
			return pass(skb, HOOK);
		reason = open_direct(skb, p, *ep_slot, &flow);
	}
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	return deliver4_first(skb, HOOK, p, &flow);
}

static __always_inline int known_flow(struct __sk_buff *skb, struct packet *p, struct flow4 *flow)
{
	struct endpoint *ep;

	if (flow4_due(flow, p)) {
		flow4_maintain(skb, &p->key, p->tcp_flags, p->tos);
		flow = flow4_find(&p->key);
		if (!flow)
			return drop(skb, HOOK, DROP_NOT_A_FLOW);
	}
	if (flow->action == FLOW_TO_HOST) {
		if (translate4(skb, p, flow, false, NULL))
			return drop(skb, HOOK, DROP_MALFORMED);
		return pass(skb, HOOK);
	}
	ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (!ep || flow4_dead(flow, ep)) {
		flow4_forget(&p->key);
		return open_flow(skb, p);
	}
	if (p->ttl <= 1)
		return drop(skb, HOOK, DROP_TTL);
	return deliver4(skb, HOOK, p, flow, ep);
}

SEC("tc")
int uplink_ingress(struct __sk_buff *skb)
{
	struct packet p = {};
	struct flow4 *flow;
	enum parsed parsed;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || linearise(skb))
		return pass(skb, HOOK);
	parsed = parse_ipv4(skb, &p);
	if (parsed == PARSED_MALFORMED)
		return pass(skb, HOOK);
	if (parsed != PARSED_FLOW) {
		if (bpf_map_lookup_elem(&ep_addr4, &p.ip->daddr))
			return drop(skb, HOOK, DROP_DIRECT_ROUTING);
		return pass(skb, HOOK);
	}
	flow = flow4_find(&p.key);
	if (flow && !(flow->flags & (FLOW_AT_ENDPOINT | FLOW_AT_HOST)))
		return known_flow(skb, &p, flow);
	return open_flow(skb, &p);
}

char _license[] SEC("license") = "Dual BSD/GPL";
