/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A flow's halves, its state and how to find it: what every packet needs. What
 * happens once a tick or on a TCP flag is in maintain.h, opening in snat.h.
 */
#ifndef SLUICE_LIB_FLOW_H
#define SLUICE_LIB_FLOW_H

#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "clock.h"
#include "count.h"
#include "csum.h"
#include "parse.h"

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
	__builtin_memset(pkey, 0, sizeof(*pkey));
	pkey->saddr = flow->daddr;
	pkey->daddr = flow->saddr;
	pkey->sport = flow->dport;
	pkey->dport = flow->sport;
	pkey->protocol = key->protocol;

	__builtin_memset(partner, 0, sizeof(*partner));
	partner->saddr = key->daddr;
	partner->daddr = key->saddr;
	partner->sport = key->dport;
	partner->dport = key->sport;
	partner->addr_delta = ~flow->addr_delta;
	partner->port_delta = ~flow->port_delta;
	partner->endpoint = flow->endpoint;
	partner->generation = flow->generation;
	partner->ifindex = flow->ifindex;
	partner->nexthop = key->saddr;
	partner->flags = (flow->flags ^ FLOW_REPLY) & ~(FLOW_AT_ENDPOINT | FLOW_AT_HOST);
	partner->seen = flow->seen;
	partner->opened = flow->opened;
	partner->publish = flow->publish;
	partner->state = flow->state;
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

#endif
