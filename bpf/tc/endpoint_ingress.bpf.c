// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of an endpoint's host-side veth: all that a container sends.
 * Within the network by MAC, straight to the other endpoint; through the
 * gateway by flow: replies of published ports, masquerade, published ports of
 * this host, VIPs of services; the host's own services go up to its stack.
 */
#include "../lib/broadcast.h"
#include "../lib/deliver.h"
#include "../lib/flow.h"
#include "../lib/fragment.h"
#include "../lib/icmp.h"
#include "../lib/maintain.h"
#include "../lib/plan.h"
#include "../lib/publish.h"
#include "../lib/reject.h"
#include "../lib/reset.h"
#include "../lib/service.h"
#include "../lib/snat.h"
#include "../lib/spoof.h"
#include "../lib/vip.h"

#define HOOK HOOK_ENDPOINT_INGRESS

/* The host asked for this packet: it answers a socket or an echo of the host's. */
static __always_inline bool answers_host(struct __sk_buff *skb, const struct packet *p,
					 enum parsed parsed, bool v6)
{
	if (parsed == PARSED_LINK || parsed == PARSED_ICMP_ERROR)
		return true;
	if (parsed != PARSED_FLOW)
		return false;
	if (p->key.protocol == IPPROTO_TCP)
		return !opens_flow(p);
	if (p->key.protocol == IPPROTO_UDP)
		return host_asked(skb, &p->key, v6);
	return p->answer;
}

/* On to the host's own stack, where the network lets its containers do that. */
static __always_inline int to_host_family(struct __sk_buff *skb, const struct endpoint *ep,
					  const struct packet *p, enum parsed parsed, bool v6)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	if (net && net->flags & (NETWORK_INTERNAL | NETWORK_NO_HOST_ACCESS) &&
	    !answers_host(skb, p, parsed, v6))
		return drop(skb, HOOK, DROP_NO_HOST_ACCESS);
	return pass(skb, HOOK);
}

static __noinline int to_host4(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p, enum parsed parsed)
{
	return to_host_family(skb, ep, p, parsed, false);
}

static __noinline int to_host6(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p, enum parsed parsed)
{
	return to_host_family(skb, ep, p, parsed, true);
}

static __always_inline int to_host(struct __sk_buff *skb, const struct endpoint *ep,
				   const struct packet *p, enum parsed parsed, bool v6)
{
	return v6 ? to_host6(skb, ep, p, parsed) : to_host4(skb, ep, p, parsed);
}

/* Drops the packet and says why, in the name of the network's gateway. */
static __always_inline int refuse(struct __sk_buff *skb, const struct endpoint *ep,
				  enum drop_reason reason, enum rejection why, u32 mtu, bool v6)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	if (!net || !addr_is_set(gateway_of(net, v6), v6))
		return drop(skb, HOOK, reason);
	return reject(skb, HOOK, reason, why, gateway_of(net, v6), mtu, v6);
}

/* More than the way out takes, in each of its segments; or a part of such a datagram. */
static __always_inline bool too_big(struct __sk_buff *skb, const struct packet *p, u32 mtu)
{
	u32 length = skb->len - ETH_HLEN;

	if (p->later == LATER_AGAIN)
		return true;
	if (!mtu || length <= mtu)
		return false;
	if (!skb->gso_size)
		return true;
	length = p->l4 - p->ip + skb->gso_size;
	if (p->key.protocol == IPPROTO_TCP)
		return length + sizeof(struct tcphdr) > mtu;
	return length + sizeof(struct udphdr) > mtu;
}

/* No flow leaves such a network, to what other ones publish neither. */
static __always_inline bool is_internal(const struct endpoint *ep)
{
	struct network *net = bpf_map_lookup_elem(&networks, &ep->net);

	return net && net->flags & NETWORK_INTERNAL;
}

/* A packet that is too big: in fragments where its sender allows that, else not at all. */
static __always_inline int send_smaller(struct __sk_buff *skb, const struct endpoint *ep,
					const struct packet *p, u32 mtu, bool v6)
{
	int verdict = mtu ? fragment_send(skb, HOOK, mtu, v6) : FRAGMENT_STAYS;

	if (verdict != FRAGMENT_STAYS)
		return verdict;
	if (p->later)
		return drop(skb, HOOK, DROP_TOO_BIG);
	return refuse(skb, ep, DROP_TOO_BIG, REJECT_TOO_BIG, mtu, v6);
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
	if (addr_is_host(key_daddr(&p.key, v6), v6))
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
 * A hop count that ends at the gateway on the way to somewhere else. The
 * host's stack would answer where it forwards, which for IPv6 it does not
 * unless all devices do.
 */
static __always_inline bool ends_here(const struct endpoint *ep, const struct packet *p)
{
	const void *to = &p->key.v6.daddr;

	return *(const u8 *)to != 0xff && !is_link_local(to) && !is_internal(ep) &&
	       !addr_is_host(to, true);
}

/*
 * A packet whose hop count ends here. The host's stack says so for the gateway;
 * but of flows and published ports it knows nothing, and where they are at the
 * host's own address it would say that the port is closed.
 */
static __always_inline int expired_family(struct __sk_buff *skb, const struct endpoint *ep,
					  const struct packet *p, bool v6)
{
	u32 slot = port_slot(p->key.protocol, p->key.dport, v6);
	struct flow *flow = flow_find(&p->key, v6);
	u32 id;

	if ((flow && flow->flags & FLOW_AT_ENDPOINT) ||
	    (slot && publish_find(&p->key, slot, &id, v6)))
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, v6);
	if (v6 && ends_here(ep, p))
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, true);
	return to_host(skb, ep, p, PARSED_FLOW, v6);
}

static __noinline int expired4(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p)
{
	return expired_family(skb, ep, p, false);
}

static __noinline int expired6(struct __sk_buff *skb, const struct endpoint *ep,
			       const struct packet *p)
{
	return expired_family(skb, ep, p, true);
}

static __always_inline int expired(struct __sk_buff *skb, const struct endpoint *ep,
				   const struct packet *p, bool v6)
{
	return v6 ? expired6(skb, ep, p) : expired4(skb, ep, p);
}

/*
 * The same of a fragment. What of it is for a published port only all of its
 * datagram could tell, so what is for the host's own address is the host's.
 */
static __noinline int expired_fragment6(struct __sk_buff *skb, const struct endpoint *ep,
					const struct packet *p)
{
	if (!ends_here(ep, p))
		return to_host(skb, ep, p, PARSED_FRAGMENT, true);
	if (!fragment6_is_first(skb))
		return drop(skb, HOOK, DROP_TTL);
	return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, true);
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

/* IP to the gateway's MAC. */
static __always_inline int routed(struct __sk_buff *skb, const struct endpoint *ep, u32 ep_slot,
				  struct packet *p, bool v6)
{
	struct flow *flow;
	enum parsed parsed = parse_in_order(skb, p, v6);
	enum drop_reason reason;

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
		return is_vip(&p->key, v6) ? open_service(skb, ep_slot, v6)
					   : expired(skb, ep, p, v6);

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
	if (is_vip(&p->key, v6))
		return open_service(skb, ep_slot, v6);
	return v6 ? open_flow6(skb, ep_slot) : open_flow4(skb, ep_slot);
}

/* Not a verdict: the frame is no answer of a service. */
#define NOT_SERVED (-100)

/*
 * What a backend sends straight to a neighbour, and may be an answer that the
 * neighbour expects from a VIP. A SYN with ACK on a connection that is closed
 * answers another one, which the neighbour has opened to the backend's own
 * address meanwhile. Verified on its own, parses again.
 */
static __always_inline int served_family(struct __sk_buff *skb, u32 ep_slot, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &ep_slot);
	struct endpoint *owner;
	struct flow *flow;
	struct packet p;

	if (!ep || parse_in_order(skb, &p, v6) != PARSED_FLOW)
		return NOT_SERVED;
	flow = flow_find(&p.key, v6);
	if (!flow || !(flow->flags & FLOW_SERVICE) || !(flow->flags & FLOW_AT_ENDPOINT))
		return NOT_SERVED;
	if (p.tcp_flags & TCP_SYN && flow_closing(flow->state)) {
		flow_forget(&p.key, v6);
		return NOT_SERVED;
	}
	if (p.ttl <= 1)
		return refuse(skb, ep, DROP_TTL, REJECT_EXPIRED, 0, v6);
	flow = flow_goes_on(skb, ep, &p, flow, &owner, v6);
	if (!flow)
		return NOT_SERVED;
	return v6 ? deliver_first6(skb, HOOK, &p, flow, owner)
		  : deliver_first4(skb, HOOK, &p, flow, owner);
}

__noinline int served4(struct __sk_buff *skb, u32 ep_slot)
{
	return served_family(skb, ep_slot, false);
}

__noinline int served6(struct __sk_buff *skb, u32 ep_slot)
{
	return served_family(skb, ep_slot, true);
}

/* The endpoint may have flows with clients of a service. */
static __always_inline bool is_backend(const struct endpoint *ep, u32 ep_slot)
{
	u32 *generation = bpf_map_lookup_elem(&backend_endpoints, &ep_slot);

	return generation && *generation == ep->generation;
}

static __always_inline int from_backend(struct __sk_buff *skb, u32 ep_slot, const struct packet *p,
					enum parsed parsed, bool v6)
{
	if (parsed == PARSED_FRAGMENT && skb->cb[0] != FRAGMENTS_FIRST)
		return p->ttl > 1 ? fragment_send(skb, HOOK, 0, v6) : NOT_SERVED;
	if (parsed == PARSED_ICMP_ERROR)
		return icmp_error(skb, HOOK, p, v6);
	if (parsed != PARSED_FLOW && parsed != PARSED_FRAGMENT)
		return NOT_SERVED;
	return v6 ? served6(skb, ep_slot) : served4(skb, ep_slot);
}
_Static_assert(NOT_SERVED == FRAGMENT_STAYS && NOT_SERVED == ERROR_OF_NO_FLOW &&
		       NOT_SERVED == VIP_NOT_ASKED,
	       "handed on");

/* What a frame within the network has to do with services, or NOT_SERVED. */
static __always_inline int served(struct __sk_buff *skb, const struct endpoint *ep, u32 ep_slot,
				  const struct packet *p, enum parsed parsed)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return NOT_SERVED;
	if (parsed == PARSED_LINK)
		return eth->h_proto == bpf_htons(ETH_P_ARP) ? vip_answer_arp(skb, ep, HOOK)
							    : vip_answer_neighbour(skb, ep, HOOK);
	if (is_multicast(eth->h_dest) || !is_backend(ep, ep_slot))
		return NOT_SERVED;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return from_backend(skb, ep_slot, p, parsed, false);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return from_backend(skb, ep_slot, p, parsed, true);
	return NOT_SERVED;
}

/* A frame within the network, which has been found to be the sender's own. */
static __noinline int switched(struct __sk_buff *skb, const struct endpoint *ep, bool link)
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
		return pass(skb, HOOK);
	if (flags & NETWORK_NO_ICC)
		return drop(skb, HOOK, DROP_ISOLATED);
	return into_endpoint(skb, HOOK, to);
}

/*
 * Whether a frame comes from who it says. *parsed: what it is, PARSED_LINK also
 * for ARP: about the link itself, which every network needs with the host.
 */
static __noinline int check_frame(struct __sk_buff *skb, const struct endpoint *ep,
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
	return DROP_NONE;
}

SEC("tc")
int endpoint_ingress(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &ifindex);
	struct endpoint *ep = device ? bpf_map_lookup_elem(&endpoints, &device->id) : NULL;
	enum drop_reason reason;
	struct ethhdr *eth;
	struct packet p;
	int verdict;
	u32 parsed;

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
			return routed(skb, ep, device->id, &p, false);
		if (eth->h_proto == bpf_htons(ETH_P_IPV6))
			return routed(skb, ep, device->id, &p, true);
	}
	reason = check_frame(skb, ep, eth, &p, &parsed);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	verdict = served(skb, ep, device->id, &p, parsed);
	return verdict == NOT_SERVED ? switched(skb, ep, parsed == PARSED_LINK) : verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
