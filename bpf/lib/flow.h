/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The life of a flow: found, opened, kept up, promoted, demoted. What happens
 * to every packet is inline; what happens once a tick or on a TCP flag is in
 * flow4_maintain.
 */
#ifndef SLUICE_LIB_FLOW_H
#define SLUICE_LIB_FLOW_H

#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "clock.h"
#include "count.h"
#include "csum.h"
#include "fib.h"
#include "parse.h"

/* Age from which an answered flow counts as proven. */
#define PROVEN_TICKS 2

static __always_inline struct flow4 *flow4_find(const struct flow4_key *key)
{
	struct flow4 *flow = bpf_map_lookup_elem(&flows4, key);

	return flow ? flow : bpf_map_lookup_elem(&flows4_new, key);
}

static __always_inline bool flow_closing(u32 state)
{
	const u32 both = FLOW_FIN_ORIG | FLOW_FIN_REPLY;

	return (state & both) == both || state & FLOW_RST;
}

/*
 * The state after one more packet. An RST closes a flow only until the next
 * packet without one, so that a forged RST costs nothing and no window needs
 * tracking. A SYN reopens a closing flow with the same mapping.
 */
static __always_inline u32 flow_next_state(u32 state, u8 protocol, u8 flags, u8 tcp)
{
	bool reply = flags & FLOW_REPLY;

	if (reply)
		state |= FLOW_ANSWERED;
	if (protocol != IPPROTO_TCP)
		return reply ? state | FLOW_ESTABLISHED : state;
	if (tcp & TCP_RST)
		return state | FLOW_RST;
	if (tcp & TCP_SYN)
		return !reply && !(tcp & TCP_ACK) && flow_closing(state) ? 0 : state;
	state &= ~FLOW_RST;
	if (tcp & TCP_FIN)
		state |= reply ? FLOW_FIN_REPLY : FLOW_FIN_ORIG;
	else if (!reply && state & FLOW_ANSWERED)
		state |= FLOW_ESTABLISHED;
	return state;
}

/* True where flow4_maintain has something to do for this packet. */
static __always_inline bool flow4_due(const struct flow4 *flow, const struct packet *p)
{
	return flow->seen != clock_tick() ||
	       flow->state !=
		       flow_next_state(flow->state, p->key.protocol, flow->flags, p->tcp_flags);
}

/* The flow's container left, or the slot has another holder. */
static __always_inline bool flow4_dead(const struct flow4 *flow, const struct endpoint *ep)
{
	return flow->generation != ep->generation;
}

static __always_inline void flow4_set_deltas(const struct flow4_key *key, struct flow4 *flow)
{
	flow->addr_delta = csum_add(csum_delta32(key->saddr, flow->saddr),
				    csum_delta32(key->daddr, flow->daddr));
	flow->port_delta = csum_add(csum_delta16(key->sport, flow->sport),
				    csum_delta16(key->dport, flow->dport));
}

/*
 * The other half of a flow. Its packets are addressed as ours leave, and leave
 * as ours are addressed; they go where ours enter and enter where ours go.
 * Route fields of a half towards an uplink are a guess that flow4_maintain
 * checks with its first packet.
 */
static __always_inline void flow4_partner(const struct flow4_key *key, const struct flow4 *flow,
					  struct flow4_key *pkey, struct flow4 *partner)
{
	*pkey = (struct flow4_key){
		.saddr = flow->daddr,
		.daddr = flow->saddr,
		.sport = flow->dport,
		.dport = flow->sport,
		.protocol = key->protocol,
	};
	*partner = (struct flow4){
		.saddr = key->daddr,
		.daddr = key->saddr,
		.sport = key->dport,
		.dport = key->sport,
		.addr_delta = ~flow->addr_delta,
		.port_delta = ~flow->port_delta,
		.endpoint = flow->endpoint,
		.generation = flow->generation,
		.ifindex = flow->ifindex,
		.nexthop = key->saddr,
		.flags = (flow->flags ^ FLOW_REPLY) & ~(FLOW_AT_ENDPOINT | FLOW_AT_HOST),
		.seen = flow->seen,
		.opened = flow->opened,
		.publish = flow->publish,
		.state = flow->state,
	};
	mac_copy(&partner->mac, &flow->mac);
	if (flow->action == FLOW_TO_ENDPOINT)
		partner->flags |= FLOW_AT_ENDPOINT;
	else if (flow->action == FLOW_TO_HOST)
		partner->flags |= FLOW_AT_HOST;

	if (flow->flags & FLOW_AT_HOST) {
		partner->action = FLOW_TO_HOST;
	} else if (flow->flags & FLOW_AT_ENDPOINT) {
		u32 *slot = bpf_map_lookup_elem(&ep_addr4, &key->saddr);
		struct endpoint *ep = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;

		partner->action = FLOW_TO_ENDPOINT;
		if (ep) {
			partner->endpoint = *slot;
			partner->generation = ep->generation;
		}
	} else {
		partner->action = FLOW_TO_NEIGHBOUR;
		partner->seen = flow->seen - 1;
	}
}

/* Removes one half; the other one is restored by its next packet or expires. */
static __always_inline void flow4_forget(const struct flow4_key *key)
{
	struct flow_counts *counts = flow_counts(key->protocol);

	bpf_map_delete_elem(&flows4, key);
	bpf_map_delete_elem(&flows4_new, key);
	if (counts)
		counts->reset++;
}

/* True unless the key of our other half was taken over by another flow. */
static __always_inline bool flow4_partner_of(const struct flow4_key *key,
					     const struct flow4 *partner)
{
	return partner->saddr == key->daddr && partner->daddr == key->saddr &&
	       partner->sport == key->dport && partner->dport == key->sport;
}

/*
 * Asks the routing table again for a half that leaves by an uplink. A reply to
 * a published port keeps the interface that the request came in by: where the
 * table would choose another, the packet goes back to the MAC that sent it.
 */
static __always_inline void flow4_reroute(struct __sk_buff *skb, struct flow4 *flow, u8 protocol,
					  u8 tos)
{
	struct flow4_key leaving = {
		.saddr = flow->saddr,
		.daddr = flow->daddr,
		.sport = flow->sport,
		.dport = flow->dport,
		.protocol = protocol,
	};
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;
	struct device *device;
	struct route4 route = {};
	u32 ifindex = flow->ifindex;

	if (!net)
		return;
	if (route4(skb, net->ifindex, &leaving, tos, false, &route) != BPF_FIB_LKUP_RET_SUCCESS)
		return;
	if (flow->flags & FLOW_REPLY && route.ifindex != ifindex) {
		device = bpf_map_lookup_elem(&devices, &ifindex);
		flow->action = device && device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_MAC;
		return;
	}
	device = bpf_map_lookup_elem(&devices, &route.ifindex);
	if (!device || device->kind != DEVICE_UPLINK)
		return;
	flow->ifindex = route.ifindex;
	flow->nexthop = route.nexthop;
	flow->action = device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_NEIGHBOUR;
}

/* Moves both halves. Insert first: no moment without an entry. */
static __always_inline bool flow4_promote(const struct flow4_key *key, struct flow4 *flow,
					  const struct flow4_key *pkey, struct flow4 *partner)
{
	struct flow_counts *counts = flow_counts(key->protocol);

	if (bpf_map_update_elem(&flows4, pkey, partner, BPF_ANY))
		return false;
	if (bpf_map_update_elem(&flows4, key, flow, BPF_ANY)) {
		bpf_map_delete_elem(&flows4, pkey);
		return false;
	}
	bpf_map_delete_elem(&flows4_new, pkey);
	bpf_map_delete_elem(&flows4_new, key);
	if (counts)
		counts->promoted++;
	return true;
}

static __always_inline void flow4_demote(const struct flow4_key *key, struct flow4 *flow,
					 const struct flow4_key *pkey, struct flow4 *partner)
{
	if (bpf_map_update_elem(&flows4_new, pkey, partner, BPF_ANY) ||
	    bpf_map_update_elem(&flows4_new, key, flow, BPF_ANY))
		return;
	bpf_map_delete_elem(&flows4, pkey);
	bpf_map_delete_elem(&flows4, key);
}

/*
 * Once a tick and on every change of state: notes the time, asks the routing
 * table again, restores the other half if it is gone, moves the flow between
 * the tables. `flow` may be void afterwards: find it again.
 */
static __noinline int flow4_maintain(struct __sk_buff *skb, const struct flow4_key *key, u8 tcp,
				     u8 tos)
{
	struct flow4 *flow = bpf_map_lookup_elem(&flows4, key);
	struct flow4_key pkey;
	struct flow4 rebuilt;
	struct flow4 *partner;
	bool proven = flow;
	u32 now = clock_tick();
	u32 state;

	if (!flow)
		flow = bpf_map_lookup_elem(&flows4_new, key);
	if (!flow)
		return -1;

	state = flow_next_state(flow->state, key->protocol, flow->flags, tcp);
	if (state != flow->state && !state)
		flow->opened = now;
	flow->state = state;
	if (flow->seen != now) {
		flow->seen = now;
		if (flow->action == FLOW_TO_NEIGHBOUR || flow->action == FLOW_TO_MAC ||
		    flow->action == FLOW_TO_L3)
			flow4_reroute(skb, flow, key->protocol, tos);
	}

	flow4_partner(key, flow, &pkey, &rebuilt);
	partner = flow4_find(&pkey);
	if (!partner) {
		if (proven)
			bpf_map_update_elem(&flows4, &pkey, &rebuilt, BPF_NOEXIST);
		else
			bpf_map_update_elem(&flows4_new, &pkey, &rebuilt, BPF_NOEXIST);
		partner = &rebuilt;
	} else if (!flow4_partner_of(key, partner)) {
		return 0;
	} else if (partner->state != state) {
		partner->state = state;
		partner->opened = flow->opened;
	}

	if (!proven && state & FLOW_ESTABLISHED && !flow_closing(state) &&
	    now - flow->opened >= PROVEN_TICKS)
		flow4_promote(key, flow, &pkey, partner);
	else if (proven && flow_closing(state))
		flow4_demote(key, flow, &pkey, partner);
	return 0;
}

#endif
