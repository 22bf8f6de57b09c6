/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Opening a flow, with a source port of its own where one is needed.
 *
 * The reply's entry, inserted with "must not exist", is the only lock: whoever
 * inserts it owns the port towards that destination. Insert into the table of
 * new flows first, then look into that of proven ones: a promotion inserts
 * there before it deletes here, so one of the two looks finds the holder.
 */
#ifndef SLUICE_LIB_SNAT_H
#define SLUICE_LIB_SNAT_H

#include "../maps/metrics.h"
#include "../maps/publish.h"
#include "count.h"
#include "flow.h"
#include "holders.h"
#include "limit.h"
#include "waiting.h"

/* errno-base.h */
#define EEXIST 17

static __always_inline be16 random_port(void)
{
	u32 span = config.snat_port_max - config.snat_port_min + 1;

	return bpf_htons(config.snat_port_min + (u32)((u64)bpf_get_prandom_u32() * span >> 32));
}

static __always_inline void count_tries(u32 tries)
{
	u64 *count = bpf_map_lookup_elem(&snat_tries, &tries);

	if (count)
		(*count)++;
}

struct opening {
	struct __sk_buff *skb;
	const union any_key *key;
	struct flow_scratch *scratch; /* the flow, its partner and the partner's key */
	u32 host_address;
	u32 tries;
	enum drop_reason reason;
};

/* The mapping of this very flow, of the same container. */
static __always_inline bool flow_is_own(const struct opening *o, const struct flow *holder, bool v6)
{
	return flow_partner_of(o->key, holder, v6) &&
	       holder->generation == o->scratch->partner.generation;
}

/*
 * Takes the port of a TCP connection that both sides have closed, as the last
 * resort. Whoever deletes the reply's entry has it.
 */
static __always_inline bool flow_displace(struct opening *o, const struct flow *holder, bool v6)
{
	if (o->key->protocol != IPPROTO_TCP || o->tries < SNAT_TRIES / 2 ||
	    !flow_finished(holder->state))
		return false;
	flow_reply_key(&o->scratch->pkey, holder, &o->scratch->okey, v6);
	if (flow_delete_new(&o->scratch->pkey, v6))
		return false;
	flow_delete_new(&o->scratch->okey, v6);
	return !flow_put_new(&o->scratch->pkey, &o->scratch->partner, BPF_NOEXIST, v6);
}

/*
 * Takes the source port in flow->sport for the flow, if nobody has it. On
 * success both halves are in the table of new flows.
 */
static __always_inline enum drop_reason flow_claim(struct opening *o, bool v6)
{
	struct flow *holder;
	int err;

	if (o->host_address && port_held_by_host(o->skb, &o->scratch->pkey, v6))
		return DROP_NO_PORT;
	flow_set_deltas(o->key, (struct flow *)&o->scratch->flow, v6);
	o->scratch->partner.addr_delta = ~o->scratch->flow.addr_delta;
	o->scratch->partner.port_delta = ~o->scratch->flow.port_delta;
	err = flow_put_new(&o->scratch->pkey, &o->scratch->partner, BPF_NOEXIST, v6);
	if (err == -EEXIST) {
		/* our own, whose other half was evicted or which rests: goes on where it was */
		holder = flow_new(&o->scratch->pkey, v6);
		if (!holder)
			return DROP_NO_PORT;
		if (flow_is_own(o, holder, v6))
			flow_put_new(&o->scratch->pkey, &o->scratch->partner, BPF_ANY, v6);
		else if (!flow_displace(o, holder, v6))
			return DROP_NO_PORT;
	} else if (err) {
		return DROP_TABLE_FULL;
	}
	holder = flow_proven(&o->scratch->pkey, v6);
	if (holder) {
		if (!flow_rests(holder) || !flow_is_own(o, holder, v6)) {
			flow_delete_new(&o->scratch->pkey, v6);
			return DROP_NO_PORT;
		}
		flow_delete_proven(&o->scratch->pkey, v6);
	}
	if (flow_put_new(o->key, &o->scratch->flow, BPF_ANY, v6)) {
		flow_delete_new(&o->scratch->pkey, v6);
		return DROP_TABLE_FULL;
	}
	return DROP_NONE;
}

static __always_inline long try_port(u32 index, struct opening *o, bool v6)
{
	o->scratch->flow.sport = random_port();
	o->scratch->pkey.dport = o->scratch->flow.sport;
	o->scratch->flow.flags |= FLOW_SNAT;
	o->scratch->partner.flags |= FLOW_SNAT;
	o->tries = index + 1;
	o->reason = flow_claim(o, v6);
	return o->reason != DROP_NO_PORT;
}

static long try_port4(u32 index, struct opening *o)
{
	return try_port(index, o, false);
}

static long try_port6(u32 index, struct opening *o)
{
	return try_port(index, o, true);
}

static __always_inline int flow_open_family(struct __sk_buff *skb, bool host_address, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct opening o = {
		.skb = skb,
		.host_address = host_address,
	};
	struct flow_counts *counts;
	const union any_key *key;
	bool shared;

	if (!scratch)
		return DROP_TABLE_FULL;
	key = &scratch->key;
	counts = flow_counts(key->protocol);
	o.key = key;
	o.scratch = scratch;
	o.reason = limit_check(scratch->flow.endpoint, v6);
	if (o.reason != DROP_NONE)
		return o.reason;
	scratch->flow.seen = scratch->flow.opened = clock_tick();
	scratch->flow.state = 0;
	flow_partner(key, (struct flow *)&scratch->flow, &scratch->pkey,
		     (struct flow *)&scratch->partner, v6);
	/* not the host's own: it has no slot */
	shared = host_address && scratch->partner.endpoint;
	if (shared && !port_share(&scratch->pkey, scratch->partner.endpoint, SHARE_TAKE, v6))
		return DROP_LIMIT;
	o.reason = flow_claim(&o, v6);
	/* the checksum of SCTP is no sum: its ports stay */
	if (o.reason == DROP_NO_PORT && key->protocol != IPPROTO_SCTP)
		bpf_loop(SNAT_TRIES - 1, v6 ? try_port6 : try_port4, &o, 0);
	if (host_address)
		count_tries(o.reason == DROP_NO_PORT ? SNAT_TRIES : o.tries);
	if (o.reason == DROP_NONE && counts)
		counts->opened++;
	else if (o.reason != DROP_NONE && shared)
		port_share(&scratch->pkey, scratch->partner.endpoint, SHARE_RETURN, v6);
	if (o.reason == DROP_NONE)
		waiting_pace(scratch, v6);
	return o.reason;
}

/* The key is in the scratch. */
__noinline int flow4_open(struct __sk_buff *skb, u32 host_address)
{
	return flow_open_family(skb, host_address, false);
}

__noinline int flow6_open(struct __sk_buff *skb, u32 host_address)
{
	return flow_open_family(skb, host_address, true);
}

/*
 * Opens a flow from its first half in the scratch, all of which is set but the
 * deltas and times. The source port in flow->sport is kept if free, else one
 * is picked at random from the range, SNAT_TRIES tries in all. `host_address`:
 * the source is an address of the host, whose own ports are not to be taken.
 * For echo the identifier is the port. Answers DROP_NONE or why not.
 */
static __always_inline int flow_open(struct __sk_buff *skb, const union any_key *key,
				     bool host_address, bool v6)
{
	scratch_put_key(key, v6);
	return v6 ? flow6_open(skb, host_address) : flow4_open(skb, host_address);
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
