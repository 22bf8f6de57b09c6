/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A flow's halves, its state and how to find it: what every packet needs. What
 * happens once a tick or on a TCP flag is in maintain.h, opening in snat.h.
 */
#ifndef SLUICE_LIB_FLOW_H
#define SLUICE_LIB_FLOW_H

#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "address.h"
#include "clock.h"
#include "count.h"
#include "csum.h"
#include "parse.h"
#include "scratch.h"

static __always_inline struct flow *flow_proven(const union any_key *key, bool v6)
{
	return v6 ? bpf_map_lookup_elem(&flows6, key) : bpf_map_lookup_elem(&flows4, key);
}

static __always_inline struct flow *flow_new(const union any_key *key, bool v6)
{
	return v6 ? bpf_map_lookup_elem(&flows6_new, key) : bpf_map_lookup_elem(&flows4_new, key);
}

static __always_inline struct flow *flow_find(const union any_key *key, bool v6)
{
	struct flow *flow = flow_proven(key, v6);

	return flow ? flow : flow_new(key, v6);
}

/*
 * int, not long, where a caller tells one error from another: before 6.4 map
 * operations return an int whose upper half a program sees as zero.
 */
static __always_inline int flow_put_proven(const union any_key *key, const void *flow, u64 flags,
					   bool v6)
{
	return v6 ? bpf_map_update_elem(&flows6, key, flow, flags)
		  : bpf_map_update_elem(&flows4, key, flow, flags);
}

static __always_inline int flow_put_new(const union any_key *key, const void *flow, u64 flags,
					bool v6)
{
	return v6 ? bpf_map_update_elem(&flows6_new, key, flow, flags)
		  : bpf_map_update_elem(&flows4_new, key, flow, flags);
}

static __always_inline void flow_delete_proven(const union any_key *key, bool v6)
{
	if (v6)
		bpf_map_delete_elem(&flows6, key);
	else
		bpf_map_delete_elem(&flows4, key);
}

static __always_inline int flow_delete_new(const union any_key *key, bool v6)
{
	return v6 ? bpf_map_delete_elem(&flows6_new, key) : bpf_map_delete_elem(&flows4_new, key);
}

/* Both sides have closed: only stray packets of the connection may still come. */
static __always_inline bool flow_finished(u32 state)
{
	const u32 both = FLOW_FIN_ORIG | FLOW_FIN_REPLY;

	return (state & both) == both;
}

static __always_inline bool flow_closing(u32 state)
{
	return flow_finished(state) || state & FLOW_RST;
}

/* Established, and neither end has said that it is over. */
static __always_inline bool flow_live(u32 state)
{
	return state & FLOW_ESTABLISHED && !flow_closing(state);
}

/* See enum flow_flag. */
static __always_inline bool flow_rests(const struct flow *flow)
{
	return (flow->flags & FLOW_RESTS) == FLOW_RESTS;
}

/*
 * The reply half of a mapping whose port rests when it is over: nobody else
 * gets it for a while. UDP only, where any packet of the old peer would be taken for
 * the new flow's; TCP and SCTP tell by their sequence numbers. Not those that
 * another container answers: it sees its peers' addresses, not ports.
 */
static __always_inline bool flow_to_rest(u8 protocol, const struct flow *flow)
{
	return protocol == IPPROTO_UDP && flow->flags & FLOW_REPLY && flow->flags & FLOW_SNAT &&
	       flow->action == FLOW_TO_ENDPOINT && !(flow->flags & FLOW_AT_ENDPOINT);
}

/*
 * The state after one more packet. An RST that counts (reset_counts in
 * maintain.h) closes a flow only until the next packet without one. A SYN
 * reopens a closing flow with the same mapping.
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

/* True where flow_maintain has something to do for this packet. */
static __always_inline bool flow_due(const struct flow *flow, const struct packet *p)
{
	return flow->seen != clock_tick() ||
	       flow->state !=
		       flow_next_state(flow->state, p->key.protocol, flow->flags, p->tcp_flags);
}

/* The flow's container left, or the slot has another holder. */
static __always_inline bool flow_dead(const struct flow *flow, const struct endpoint *ep)
{
	return flow->generation != ep->generation;
}

static __always_inline u16 addr_delta(const void *old, const void *new, bool v6)
{
	const u32 *o = old;
	const u32 *n = new;
	u64 sum = (u64)(u32)~o[0] + n[0];

	if (v6)
		sum += (u64)(u32)~o[1] + n[1] + (u32)~o[2] + n[2] + (u32)~o[3] + n[3];
	return csum_fold(sum);
}

static __always_inline void flow_set_deltas(const union any_key *key, struct flow *flow, bool v6)
{
	flow->addr_delta = csum_add(addr_delta(key_saddr(key, v6), flow_saddr(flow, v6), v6),
				    addr_delta(key_daddr(key, v6), flow_daddr(flow, v6), v6));
	flow->port_delta = csum_add(csum_delta16(key->sport, flow->sport),
				    csum_delta16(key->dport, flow->dport));
}

/* The key of a packet as it leaves by this flow, for a packet the other way. */
static __always_inline void flow_reply_key(const union any_key *key, const struct flow *flow,
					   union any_key *reply, bool v6)
{
	reply->sport = flow->dport;
	reply->dport = flow->sport;
	reply->protocol = key->protocol;
	__builtin_memset(reply->pad, 0, sizeof(reply->pad));
	addr_copy(key_saddr(reply, v6), flow_daddr(flow, v6), v6);
	addr_copy(key_daddr(reply, v6), flow_saddr(flow, v6), v6);
}

/*
 * The other half of a flow. Its packets are addressed as ours leave, and leave
 * as ours are addressed; they go where ours enter and enter where ours go.
 * Route fields of a half towards an uplink are a guess that flow_maintain
 * checks with its first packet.
 */
static __always_inline void flow_partner(const union any_key *key, const struct flow *flow,
					 union any_key *pkey, struct flow *partner, bool v6)
{
	flow_reply_key(key, flow, pkey, v6);

	addr_copy(flow_saddr(partner, v6), key_daddr(key, v6), v6);
	addr_copy(flow_daddr(partner, v6), key_saddr(key, v6), v6);
	addr_copy(flow_nexthop(partner, v6), key_saddr(key, v6), v6);
	partner->sport = key->dport;
	partner->dport = key->sport;
	partner->addr_delta = ~flow->addr_delta;
	partner->port_delta = ~flow->port_delta;
	partner->endpoint = flow->endpoint;
	partner->generation = flow->generation;
	partner->ifindex = flow->ifindex;
	partner->flags =
		(flow->flags ^ FLOW_REPLY) & ~(FLOW_AT_ENDPOINT | FLOW_AT_HOST | FLOW_EXPECTS);
	partner->seen = flow->seen;
	partner->opened = flow->opened;
	partner->publish = flow->publish;
	partner->state = flow->state;
	partner->mtu = 0;
	mac_copy(&partner->mac, &flow->mac);
	if (flow->action == FLOW_TO_ENDPOINT)
		partner->flags |= FLOW_AT_ENDPOINT;
	else if (flow->action == FLOW_TO_HOST)
		partner->flags |= FLOW_AT_HOST;

	if (flow->flags & FLOW_AT_HOST) {
		partner->action = FLOW_TO_HOST;
	} else if (flow->flags & FLOW_AT_ENDPOINT) {
		u32 *slot = ep_of(key_saddr(key, v6), v6);
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

static __always_inline int flow_forget_family(bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct flow_counts *counts;
	union any_key *key;
	struct flow *flow;

	if (!scratch)
		return 0;
	key = &scratch->key;
	flow = flow_find(key, v6);
	if (!flow || flow_to_rest(key->protocol, flow))
		return 0;
	flow_delete_proven(key, v6);
	flow_delete_new(key, v6);
	counts = flow_counts(key->protocol);
	if (counts)
		counts->reset++;
	return 0;
}

/* Calls, for the stack; of the flow whose key is in the scratch. */
__noinline int flow4_forget(void)
{
	return flow_forget_family(false);
}

__noinline int flow6_forget(void)
{
	return flow_forget_family(true);
}

/*
 * Removes one half of a dead flow; the other one is restored by its next
 * packet or expires. One whose port has to rest stays for the collector.
 */
static __always_inline void flow_forget(const union any_key *key, bool v6)
{
	scratch_put_key(key, v6);
	if (v6)
		flow6_forget();
	else
		flow4_forget();
}

/* True unless the key of our other half was taken over by another flow. */
static __always_inline bool flow_partner_of(const union any_key *key, const struct flow *partner,
					    bool v6)
{
	return addr_equal(flow_saddr(partner, v6), key_daddr(key, v6), v6) &&
	       addr_equal(flow_daddr(partner, v6), key_saddr(key, v6), v6) &&
	       partner->sport == key->dport && partner->dport == key->sport;
}

/* The scratch's flow, emptied, for a first half to be planned in. */
static __always_inline struct flow *flow_plan(void)
{
	struct flow_scratch *scratch = flow_scratch_get();

	if (!scratch)
		return NULL;
	__builtin_memset(&scratch->flow, 0, sizeof(scratch->flow));
	return (struct flow *)&scratch->flow;
}

#endif
