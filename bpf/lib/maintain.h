/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a flow needs now and then: its route looked up again, its other half
 * restored, its place in the right one of the two tables. */
#ifndef SLUICE_LIB_MAINTAIN_H
#define SLUICE_LIB_MAINTAIN_H

#include "../maps/publish.h"
#include "fib.h"
#include "flow.h"
#include "share.h"
#include "waiting.h"

/* Age from which an answered flow counts as proven. */
#define PROVEN_TICKS 2

/* What the kernel sends nowhere. It has no route for a broadcast either. */
static __always_inline bool route_refuses(int rc)
{
	return rc == BPF_FIB_LKUP_RET_BLACKHOLE || rc == BPF_FIB_LKUP_RET_UNREACHABLE ||
	       rc == BPF_FIB_LKUP_RET_PROHIBIT || rc == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       rc == BPF_FIB_LKUP_RET_UNSUPP_LWT;
}

/* Not a flow's place: the routing table sends its packets nowhere now. */
#define FLOW_REFUSED (-2)

/*
 * Asks the routing table again for a half that leaves by an uplink. A reply to
 * a published port keeps the interface that the request came in by: where the
 * table would choose another, the packet goes back to the MAC that sent it.
 * What a container opened is asked for as its first packet was, before
 * translation: rules by source, and the hash that chooses between several
 * ways, have to say the same. Answers FLOW_REFUSED where that has no way.
 */
static __always_inline int flow_reroute_family(struct __sk_buff *skb, const union any_key *key,
					       struct flow *flow, u8 tos, bool v6)
{
	bool is_reply = flow->flags & FLOW_REPLY;
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;
	struct route_query query = {
		.protocol = key->protocol,
		.sport = is_reply ? flow->sport : key->sport,
		.dport = flow->dport,
		.tos = tos,
		.saddr = is_reply ? flow_saddr(flow, v6) : key_saddr(key, v6),
		.daddr = flow_daddr(flow, v6),
	};
	struct device *device;
	struct route route = {};
	u32 ifindex = flow->ifindex;
	int rc;

	if (!net)
		return 0;
	query.ifindex = net->ifindex;
	rc = route_lookup(skb, &query, &route, NULL, v6);
	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return !is_reply && route_refuses(rc) ? FLOW_REFUSED : 0;
	if (is_reply && route.ifindex != ifindex) {
		device = bpf_map_lookup_elem(&devices, &ifindex);
		flow->action = device && device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_MAC;
		flow->mtu = device_mtu(skb, ifindex);
		return 0;
	}
	device = bpf_map_lookup_elem(&devices, &route.ifindex);
	if (!device || device->kind != DEVICE_UPLINK)
		return 0;
	flow->ifindex = route.ifindex;
	flow->mtu = route.mtu;
	addr_copy(flow_nexthop(flow, v6), &route.nexthop, v6);
	flow->action = device->flags & DEVICE_L3 ? FLOW_TO_L3 : FLOW_TO_NEIGHBOUR;
	return 0;
}

/* Calls, for the stack that the query takes. */
static __noinline int flow4_reroute(struct __sk_buff *skb, const union any_key *key,
				    struct flow *flow, u8 tos)
{
	return flow_reroute_family(skb, key, flow, tos, false);
}

static __noinline int flow6_reroute(struct __sk_buff *skb, const union any_key *key,
				    struct flow *flow, u8 tos)
{
	return flow_reroute_family(skb, key, flow, tos, true);
}

static __always_inline int flow_reroute(struct __sk_buff *skb, const union any_key *key,
					struct flow *flow, u8 tos, bool v6)
{
	return v6 ? flow6_reroute(skb, key, flow, tos) : flow4_reroute(skb, key, flow, tos);
}

static __always_inline void flow_demote(const union any_key *key, struct flow *flow,
					const union any_key *pkey, struct flow *partner, bool v6)
{
	if (flow_put_new(pkey, partner, BPF_ANY, v6) || flow_put_new(key, flow, BPF_ANY, v6))
		return;
	flow_delete_proven(pkey, v6);
	flow_delete_proven(key, v6);
	share_count_proven(-2, v6);
}

/*
 * A port that a finished connection holds is not counted as its container's:
 * one that opens and closes without end would soon be refused for what it had.
 */
static __always_inline void flow_account_port(const union any_key *key, const struct flow *flow,
					      const union any_key *pkey, const struct flow *partner,
					      u32 state, bool v6)
{
	bool is_reply = flow->flags & FLOW_REPLY;
	const struct flow *reply = is_reply ? flow : partner;
	bool finished = flow_finished(state);

	if (finished == flow_finished(partner->state) || !holds_port(reply))
		return;
	port_share(is_reply ? key : pkey, reply->endpoint, finished ? SHARE_RETURN : SHARE_RETAKE,
		   v6);
}

/*
 * The published port that a flow came through still leads where it did. Asked
 * for datagrams: those of a client that goes on are to reach whoever has the
 * port now. A connection goes on to its end.
 */
static __always_inline bool flow_is_published(const union any_key *key, const struct flow *flow)
{
	bool is_reply = flow->flags & FLOW_REPLY;
	u16 outer = bpf_ntohs(is_reply ? flow->sport : key->dport);
	be16 inner = is_reply ? key->sport : flow->dport;
	struct publish *publish = bpf_map_lookup_elem(&publishes, &flow->publish);

	if (!publish || publish->protocol != key->protocol || outer < publish->host_port ||
	    outer > publish->host_port_end ||
	    inner != bpf_htons(outer - publish->host_port + publish->port))
		return false;
	/* the answer's half of a flow between containers names the one that asked */
	if (is_reply && flow->action == FLOW_TO_ENDPOINT)
		return true;
	return publish->endpoint == flow->endpoint && publish->generation == flow->generation;
}

/*
 * How far ahead of what the endpoint last acknowledged a reset may be, in
 * bytes: what a tick brings at 120 Mbit/s. A receiver takes none that is not
 * the next byte exactly (RFC 5961), which is not known between two ticks.
 */
#define RESET_AHEAD (1 << 24)

/*
 * False: the endpoint will ignore this reset. Whoever knows a connection's
 * addresses and ports can send one, so it changes nothing here either.
 */
static __always_inline bool reset_counts(struct flow *flow, be32 seq, bool v6)
{
	u32 *expected = flow_nexthop(flow, v6);

	return !(flow->flags & FLOW_EXPECTS) || bpf_ntohl(seq) - *expected < RESET_AHEAD;
}

/* Notes what the endpoint waits for, by a segment of its own; a connection that begins knows
 * nothing yet. */
static __always_inline void flow_expect(const struct flow *flow, struct flow *partner, u8 tcp,
					be32 ack, bool begins, bool v6)
{
	u32 *expected = flow_nexthop(partner, v6);

	if (begins) {
		partner->flags &= ~FLOW_EXPECTS;
	} else if (tcp & TCP_ACK && !(tcp & TCP_RST) && flow->flags & FLOW_AT_ENDPOINT &&
		   partner->action == FLOW_TO_ENDPOINT) {
		*expected = bpf_ntohl(ack);
		partner->flags |= FLOW_EXPECTS;
	}
}

static __always_inline int flow_maintain_family(struct __sk_buff *skb, u8 tcp, u8 tos, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	const union any_key *key;
	struct flow *flow, *partner;
	u32 now = clock_tick();
	bool proven, established, begins;
	u32 state;

	if (!scratch)
		return -1;
	key = &scratch->key;
	flow = flow_proven(key, v6);
	proven = flow;
	if (!flow)
		flow = flow_new(key, v6);
	if (!flow)
		return -1;

	if (key->protocol == IPPROTO_UDP &&
	    (flow->flags & (FLOW_PUBLISHED | FLOW_SERVICE)) == FLOW_PUBLISHED &&
	    !flow_is_published(key, flow)) {
		if (v6)
			flow6_forget();
		else
			flow4_forget();
		return -1;
	}

	if (tcp & TCP_RST && !reset_counts(flow, scratch->seq, v6))
		return 0;
	state = flow_next_state(flow->state, key->protocol, flow->flags, tcp);
	begins = state != flow->state && !state;
	if (begins)
		flow->opened = now;
	established = !proven && flow_live(state) && !flow_live(flow->state);
	flow->state = state;
	if (flow->seen != now) {
		flow->seen = now;
		if ((flow->action == FLOW_TO_NEIGHBOUR || flow->action == FLOW_TO_MAC ||
		     flow->action == FLOW_TO_L3) &&
		    flow_reroute(skb, key, flow, tos, v6) == FLOW_REFUSED) {
			/* every packet asks until there is a way again */
			flow->seen = now - 1;
			return FLOW_REFUSED;
		}
	}

	flow_partner(key, flow, &scratch->pkey, (struct flow *)&scratch->partner, v6);
	partner = flow_find(&scratch->pkey, v6);
	if (!partner) {
		partner = (struct flow *)&scratch->partner;
		if (proven)
			flow_put_proven(&scratch->pkey, partner, BPF_NOEXIST, v6);
		else
			flow_put_new(&scratch->pkey, partner, BPF_NOEXIST, v6);
	} else if (!flow_partner_of(key, partner, v6)) {
		/* evicted, and its port taken by another: this half has no answer any more */
		if (v6)
			flow6_forget();
		else
			flow4_forget();
		return -1;
	} else if (flow_rests(partner)) {
		/* the collector was about to end the flow when this packet came */
		partner->seen = now;
		partner->flags = scratch->partner.flags;
	} else if (partner->state != state) {
		flow_account_port(key, flow, &scratch->pkey, partner, state, v6);
		partner->state = state;
		partner->opened = flow->opened;
	}

	if (key->protocol == IPPROTO_TCP)
		flow_expect(flow, partner, tcp, scratch->ack, begins, v6);
	if (!proven && flow_live(state) && now - flow->opened >= PROVEN_TICKS)
		flow_promote(key, flow, &scratch->pkey, partner, v6);
	else if (established && key->protocol == IPPROTO_TCP)
		waiting_push(key, v6);
	else if (proven && flow_closing(state))
		flow_demote(key, flow, &scratch->pkey, partner, v6);
	return 0;
}

/* Not static: verified once, whatever the number of its callers. The key is in the scratch. */
__noinline int flow4_maintain(struct __sk_buff *skb, u8 tcp, u8 tos)
{
	return flow_maintain_family(skb, tcp, tos, false);
}

__noinline int flow6_maintain(struct __sk_buff *skb, u8 tcp, u8 tos)
{
	return flow_maintain_family(skb, tcp, tos, true);
}

/*
 * Once a tick and on every change of state: notes the time, asks the routing
 * table again, restores the other half if it is gone, moves the flow between
 * the tables. `flow` may be void afterwards: the answer is where it is now, or
 * NULL: its next packet opens another, or is refused as a first one is.
 */
static __always_inline struct flow *flow_maintain(struct __sk_buff *skb, const struct packet *p,
						  bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	const struct tcphdr *tcp = p->l4;
	int rc;

	/* the verifier has forgotten that TCP has its 20 bytes */
	if (scratch && p->tcp_flags && (void *)(tcp + 1) <= (void *)(long)skb->data_end) {
		scratch->seq = tcp->seq;
		scratch->ack = tcp->ack_seq;
	}
	scratch_put_key(&p->key, v6);
	rc = v6 ? flow6_maintain(skb, p->tcp_flags, p->tos)
		: flow4_maintain(skb, p->tcp_flags, p->tos);
	return rc == FLOW_REFUSED ? NULL : flow_find(&p->key, v6);
}

#endif
