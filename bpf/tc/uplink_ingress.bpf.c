// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of an uplink: the world. Replies to masqueraded flows and packets
 * to published ports go straight into the container; a container's own address
 * is refused; the rest is the host's and passes untouched.
 */
#include "../lib/deliver.h"
#include "../lib/flow.h"
#include "../lib/fragment.h"
#include "../lib/icmp.h"
#include "../lib/local.h"
#include "../lib/maintain.h"
#include "../lib/martian.h"
#include "../lib/nat.h"
#include "../lib/publish.h"
#include "../lib/reject.h"
#include "../lib/reset.h"
#include "../lib/service.h"
#include "../lib/snat.h"

#define HOOK HOOK_UPLINK_INGRESS

/* include/linux/if_vlan.h: VLAN_VID_MASK */
#define VLAN_ID 0x0fff

static __always_inline void note_sender(const struct packet *p, struct flow *flow)
{
	if (!config.l3_device)
		mac_copy(&flow->mac, p->eth->h_source);
}

/*
 * What plan_inbound answers besides a drop reason: the packet is not ours, a
 * backend has to be chosen for the flow, or netfilter is to forward the packet
 * to the container.
 */
enum { NOT_OURS = -1, WANTS_BACKEND = -2, NETFILTERS = -3 };

/* First packet of a flow, or one that picks it up, to a published port. */
static __always_inline int plan_published(struct __sk_buff *skb, struct packet *p,
					  struct flow *flow, bool v6)
{
	u32 slot = port_slot(p->key.protocol, p->key.dport, v6);
	struct publish *publish;
	bool service;
	u32 id;

	if (!slot || (!opens_flow(p) && !picks_up(p)))
		return NOT_OURS;
	publish = publish_find(&p->key, slot, &id, v6);
	/* loopback is the host's own: its stack drops such a packet from outside */
	if (!publish || is_loopback(key_daddr(&p->key, v6), v6) || host_asked(skb, &p->key, v6))
		return NOT_OURS;
	if (!opens_flow(p) && !publish_is_certain(skb, publish, &p->key, v6))
		return NOT_OURS;
	if (source_is_martian(&p->key, v6))
		return DROP_MARTIAN;
	service = publish->flags & PUBLISH_SERVICE;
	if (!service && !publish_allows(publish, id, &p->key, v6))
		return DROP_NOT_ALLOWED;
	if (p->ttl <= 1)
		return DROP_TTL;
	publish_target(&p->key, publish, id, flow, v6);
	flow->ifindex = skb->ifindex;
	return service ? WANTS_BACKEND : DROP_NONE;
}

/*
 * To a container's own address: only where its network does not masquerade, or
 * as the answer to what netfilter has translated on its way: the container
 * asked at a port that a rule of the host leads elsewhere (Docker's bridge,
 * libvirt), and netfilter has yet to put that address back.
 */
static __always_inline int plan_direct(struct __sk_buff *skb, struct packet *p, u32 ep_slot,
				       struct flow *flow, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;

	if (net && !(net->flags & NETWORK_INTERNAL) && tracked_answer(skb, &p->key, v6))
		return NETFILTERS;
	if (!net || net->flags & (NETWORK_MASQUERADE | NETWORK_INTERNAL) ||
	    (!opens_flow(p) && !picks_up(p)))
		return DROP_DIRECT_ROUTING;
	if (source_is_martian(&p->key, v6))
		return DROP_MARTIAN;
	if (p->ttl <= 1)
		return DROP_TTL;
	addr_copy(flow_saddr(flow, v6), key_saddr(&p->key, v6), v6);
	addr_copy(flow_daddr(flow, v6), key_daddr(&p->key, v6), v6);
	flow->sport = p->key.sport;
	flow->dport = p->key.dport;
	flow->endpoint = ep_slot;
	flow->generation = ep->generation;
	flow->action = FLOW_TO_ENDPOINT;
	flow->ifindex = skb->ifindex;
	return DROP_NONE;
}

/*
 * Fills in the first half of a flow in the scratch, and beside it what the next
 * steps have to know of the packet. Verified on its own, as all the steps that
 * open a flow are, and called by open_flow one after the other, so that their
 * stacks do not add up; parses again, since packet pointers do not pass.
 */
static __always_inline int plan_inbound_family(struct __sk_buff *skb, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct flow *flow = flow_plan();
	struct packet p;
	u32 *ep_slot;
	int reason;

	if (!scratch || !flow || parse_in_order(skb, &p, v6) != PARSED_FLOW)
		return NOT_OURS;
	scratch_put_key(&p.key, v6);
	scratch->l4 = p.l4 - p.ip;
	scratch->later = p.later;
	note_sender(&p, flow);
	reason = plan_published(skb, &p, flow, v6);
	if (reason != NOT_OURS)
		return reason;
	ep_slot = ep_of(key_daddr(&p.key, v6), v6);
	return ep_slot ? plan_direct(skb, &p, *ep_slot, flow, v6) : NOT_OURS;
}

__noinline int plan_inbound4(struct __sk_buff *skb)
{
	return plan_inbound_family(skb, false);
}

__noinline int plan_inbound6(struct __sk_buff *skb)
{
	return plan_inbound_family(skb, true);
}

/* Delivers the first packet by the flow in the scratch. */
static __always_inline int deliver_opened_family(struct __sk_buff *skb, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct endpoint *ep;
	struct packet p;

	if (!scratch || parse_in_order(skb, &p, v6) != PARSED_FLOW)
		return drop(skb, HOOK, DROP_MALFORMED);
	ep = bpf_map_lookup_elem(&endpoints, &scratch->flow.endpoint);
	if (!ep || flow_dead((struct flow *)&scratch->flow, ep))
		return drop(skb, HOOK, DROP_NO_ENDPOINT);
	return deliver(skb, HOOK, &p, (struct flow *)&scratch->flow, ep, v6);
}

__noinline int deliver_opened4(struct __sk_buff *skb)
{
	return deliver_opened_family(skb, false);
}

__noinline int deliver_opened6(struct __sk_buff *skb)
{
	return deliver_opened_family(skb, true);
}

/* Opens a flow for a packet that has none, or passes or drops it. */
static __always_inline int open_flow(struct __sk_buff *skb, bool v6)
{
	int reason = v6 ? plan_inbound6(skb) : plan_inbound4(skb);
	struct flow_scratch *scratch = flow_scratch_get();
	struct flow *flow;

	if (!scratch || reason == NOT_OURS)
		return pass(skb, HOOK);
	if (reason == NETFILTERS) {
		count_outcome(skb, HOOK, OUTCOME_PASSED);
		let_through(skb);
		return TCX_PASS;
	}
	flow = (struct flow *)&scratch->flow;
	if (reason == WANTS_BACKEND)
		reason = plan_backend(flow, scratch->key.protocol, 0, v6);
	if (reason == DROP_NONE)
		reason = v6 ? flow6_open(skb, false) : flow4_open(skb, false);
	if (reason == DROP_TTL)
		return reject(skb, HOOK, reason, REJECT_EXPIRED, key_daddr(&scratch->key, v6), 0,
			      v6);
	if (!scratch->later && (reason == DROP_NO_BACKEND || reason == DROP_NO_SERVICE))
		return reject_port_of(skb, HOOK, reason, &scratch->key, scratch->l4, v6);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	if (flow->flags & FLOW_SERVICE)
		count_backend_flow(skb, flow->publish);
	return v6 ? deliver_opened6(skb) : deliver_opened4(skb);
}

/* The answer for a packet that belongs to no flow. */
static __always_inline int no_flow(struct __sk_buff *skb, const struct packet *p, bool v6)
{
	/* by far the most: the host's own */
	if (!port_slot(p->key.protocol, p->key.dport, v6) && !ep_of(key_daddr(&p->key, v6), v6))
		return pass(skb, HOOK);
	return OPENS_FLOW;
}

static __always_inline int known_flow(struct __sk_buff *skb, struct packet *p, struct flow *flow,
				      bool v6)
{
	struct endpoint *ep;

	if (flow->flags & FLOW_SERVICE && !service_goes_on(skb, p, flow, NULL, v6)) {
		flow_forget(&p->key, v6);
		return no_flow(skb, p, v6);
	}
	if (!p->later && flow_due(flow, p)) {
		flow = flow_maintain(skb, p, v6);
		if (!flow)
			return no_flow(skb, p, v6);
	}
	if (flow->action == FLOW_TO_HOST) {
		if (translate(skb, p, flow, false, NULL, v6))
			return drop(skb, HOOK, DROP_MALFORMED);
		return pass(skb, HOOK);
	}
	ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (!ep || flow_dead(flow, ep)) {
		flow_forget(&p->key, v6);
		return no_flow(skb, p, v6);
	}
	if (p->ttl <= 1)
		return reject(skb, HOOK, DROP_TTL, REJECT_EXPIRED, key_daddr(&p->key, v6), 0, v6);
	return deliver(skb, HOOK, p, flow, ep, v6);
}

/*
 * A fragment that may belong to a flow or a published port. A source that
 * cannot be is left out: one of a container would tell the way back wrong.
 */
static __always_inline bool may_be_ours(const struct packet *p, bool v6)
{
	u32 *slot = ep_of(key_daddr(&p->key, v6), v6);
	struct endpoint *ep = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;

	if (p->ttl <= 1 || source_is_martian(&p->key, v6))
		return false;
	if (slot)
		return net && !(net->flags & (NETWORK_MASQUERADE | NETWORK_INTERNAL));
	return addr_is_host(key_daddr(&p->key, v6), v6);
}

/* Answers a verdict or OPENS_FLOW. */
static __always_inline int from_world(struct __sk_buff *skb, struct packet *p, bool v6)
{
	enum parsed parsed = parse_in_order(skb, p, v6);
	struct flow *flow;

	if (parsed == PARSED_MALFORMED)
		return pass(skb, HOOK);
	if (parsed == PARSED_FRAGMENT && may_be_ours(p, v6)) {
		int verdict = fragment_send(skb, HOOK, 0, v6);

		if (verdict != FRAGMENT_STAYS)
			return verdict;
	}
	if (parsed != PARSED_FLOW) {
		if (parsed == PARSED_ICMP_ERROR) {
			int verdict = icmp_error(skb, HOOK, p, v6);

			if (verdict != ERROR_OF_NO_FLOW)
				return verdict;
		}
		if (ep_of(key_daddr(&p->key, v6), v6))
			return drop(skb, HOOK, DROP_DIRECT_ROUTING);
		return pass(skb, HOOK);
	}
	flow = flow_find(&p->key, v6);
	if (flow && !(flow->flags & (FLOW_AT_ENDPOINT | FLOW_AT_HOST)))
		return known_flow(skb, p, flow, v6);
	return no_flow(skb, p, v6);
}

/*
 * Gives a datagram that the LAN broadcasts to a port published on every address
 * the host's own address there as destination, so that it takes the way of any
 * other (DHCP servers, discovery). No process of the host can be bound to the
 * port. Answers 0, or that it is not for us.
 */
__noinline int broadcast_to_host(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const u32 ip = l2_length();
	struct host_prefix *prefix;
	struct device *device;
	ipv4_addr from, to = 0;
	struct packet p;
	u32 l4;

	if (linearise(skb) || parse(skb, &p, false) != PARSED_FLOW ||
	    p.key.protocol != IPPROTO_UDP ||
	    !(port_slot(IPPROTO_UDP, p.key.dport, false) & PORT_SLOT_ID))
		return NOT_OURS;
	from = p.key.v4.daddr;
	l4 = ip + (p.l4 - p.ip);
	if (from == bpf_htonl(INADDR_BROADCAST)) {
		device = bpf_map_lookup_elem(&devices, &ifindex);
		to = device ? device->addr4 : 0;
	} else {
		prefix = host_prefix_of(&from, false);
		to = prefix && prefix->kind == HOST_PREFIX_BROADCAST ? prefix->addr : 0;
	}
	if (!to)
		return NOT_OURS;
	if (bpf_l4_csum_replace(skb, l4 + offsetof(struct udphdr, check), from, to,
				BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(to)) ||
	    bpf_l3_csum_replace(skb, ip + offsetof(struct iphdr, check), from, to, sizeof(to)) ||
	    bpf_skb_store_bytes(skb, ip + offsetof(struct iphdr, daddr), &to, sizeof(to), 0))
		return NOT_OURS;
	return bpf_skb_change_type(skb, PACKET_HOST);
}

/*
 * The kernel has taken the outer tag out of the frame, which looks untagged. It
 * is its VLAN's, whose device has programs of its own. VLAN 0 is none, only a
 * priority (IEEE 802.1Q): without that tag the frame is this device's, unless
 * there is another tag within.
 */
static __noinline bool is_untagged(struct __sk_buff *skb)
{
	return !(skb->vlan_tci & VLAN_ID) && !bpf_skb_vlan_pop(skb) && !skb->vlan_present;
}

SEC("tc")
int uplink_ingress(struct __sk_buff *skb)
{
	struct packet p;
	int verdict;

	if (skb->vlan_present && !is_untagged(skb))
		return pass(skb, HOOK);
	fragment_begin(skb);
	if (skb->pkt_type != PACKET_HOST &&
	    (skb->pkt_type != PACKET_BROADCAST || skb->protocol != bpf_htons(ETH_P_IP) ||
	     broadcast_to_host(skb)))
		return pass(skb, HOOK);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		verdict = linearise(skb) ? pass(skb, HOOK) : from_world(skb, &p, false);
		return verdict == OPENS_FLOW ? open_flow(skb, false) : verdict;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		verdict = linearise(skb) ? pass(skb, HOOK) : from_world(skb, &p, true);
		return verdict == OPENS_FLOW ? open_flow(skb, true) : verdict;
	}
	return pass(skb, HOOK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
