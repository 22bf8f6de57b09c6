/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a flow needs now and then: its route looked up again, its other half
 * restored, its place in the right one of the two tables. */
#ifndef SLUICE_LIB_MAINTAIN_H
#define SLUICE_LIB_MAINTAIN_H

#include "fib.h"
#include "flow.h"

/* Age from which an answered flow counts as proven. */
#define PROVEN_TICKS 2

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
