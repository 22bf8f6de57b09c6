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
#include "publish.h"
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
	u32 adopted; /* the mapping is another packet's of the same flow, see flow_adopt */
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

static __always_inline int publishes_port(bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct publish *publish;
	u32 id, slot;
	u16 port;

	if (!scratch)
		return false;
	slot = port_slot(scratch->pkey.protocol, scratch->pkey.dport, v6);
	publish = publish_find(&scratch->pkey, slot, &id, v6);
	if (!publish || publish->flags & PUBLISH_SERVICE)
		return false;
	port = bpf_ntohs(scratch->pkey.dport) - publish->host_port + publish->port;
	return publish->endpoint == scratch->flow.endpoint &&
	       publish->generation == scratch->flow.generation &&
	       bpf_htons(port) == scratch->key.sport;
}

/* Calls, for the stack; of the flow in the scratch. */
static __noinline int publishes_port4(void)
{
	return publishes_port(false);
}

static __noinline int publishes_port6(void)
{
	return publishes_port(true);
}

/*
 * Whether a port of the host's own address is somebody else's. One that the
 * container has published, and that leads to the very port that it sends from,
 * is its own: its peers know it by that (heartbeats of game servers, SIP,
 * STUN). Nothing is held then, and nothing has to rest.
 */
static __always_inline bool flow_port_is_taken(struct opening *o, bool v6)
{
	if (!port_slot(o->scratch->pkey.protocol, o->scratch->pkey.dport, v6))
		return v6 ? tuple_is_held6(o->skb, &o->scratch->pkey)
			  : tuple_is_held4(o->skb, &o->scratch->pkey);
	if (!(v6 ? publishes_port6() : publishes_port4()))
		return true;
	o->scratch->flow.flags &= ~FLOW_SNAT;
	o->scratch->partner.flags &= ~FLOW_SNAT;
	return false;
}

static __always_inline bool flow_same_mapping(const struct flow *a, const struct flow *b, bool v6)
{
	return a->sport == b->sport && a->dport == b->dport &&
	       addr_equal(flow_saddr((struct flow *)a, v6), flow_saddr((struct flow *)b, v6), v6) &&
	       addr_equal(flow_daddr((struct flow *)a, v6), flow_daddr((struct flow *)b, v6), v6);
}

/*
 * Another packet of the same flow was quicker, on another CPU: its mapping is
 * the flow's, and what was claimed for this one is given back. False: what is
 * in the table is something else, and gives way.
 */
static __always_inline bool flow_adopt(struct opening *o, bool v6)
{
	struct flow *own = (struct flow *)&o->scratch->flow;
	struct flow *first = flow_find(o->key, v6);
	const u8 kind = FLOW_REPLY | FLOW_AT_ENDPOINT | FLOW_AT_HOST;
	s32 age;

	if (!first)
		return false;
	age = own->opened - first->opened;
	if (first->generation != own->generation || (first->flags ^ own->flags) & kind || age > 1 ||
	    age < -1)
		return false;
	o->adopted = true;
	if (flow_same_mapping(first, own, v6))
		return true;
	flow_delete_new(&o->scratch->pkey, v6);
	if (v6)
		__builtin_memcpy(own, first, sizeof(struct flow6));
	else
		__builtin_memcpy(own, first, sizeof(struct flow4));
	return true;
}

/*
 * Takes the source port in flow->sport for the flow, if nobody has it. On
 * success both halves are in the table of new flows.
 */
static __always_inline enum drop_reason flow_claim(struct opening *o, bool v6)
{
	struct flow *holder;
	int err;

	if (o->host_address && flow_port_is_taken(o, v6))
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
	err = flow_put_new(o->key, &o->scratch->flow, BPF_NOEXIST, v6);
	if (err == -EEXIST && !flow_adopt(o, v6))
		err = flow_put_new(o->key, &o->scratch->flow, BPF_ANY, v6);
	if (err && err != -EEXIST) {
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
	if (o.reason == DROP_NONE && !o.adopted && counts)
		counts->opened++;
	if (shared && (o.reason != DROP_NONE || o.adopted || !(scratch->flow.flags & FLOW_SNAT)))
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

#endif
