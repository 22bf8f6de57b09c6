/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Established connections that wait for their place in the table that evicts
 * nothing. A connection that spoke once has no later packet that could bring
 * it there; but to promote each as it is established would cost the short
 * ones, which never go there, four map operations more.
 *
 * So each is noted in a ring, and whoever opens a flow, which is what evicts
 * others, takes now and then the oldest one from the ring: if it still lives
 * it is promoted. Pushing takes one too where many wait. Thus one that waits
 * is reached after at most WAITING_MOST connections that are established after
 * it, or WAITING_MOST * WAITING_PACE flows that are opened on a CPU: a quarter
 * of the smallest table's entries. Without new flows nothing is evicted.
 */
#ifndef SLUICE_LIB_WAITING_H
#define SLUICE_LIB_WAITING_H

#include "flow.h"
#include "share.h"

#define WAITING_MOST (WAITING_SLOTS / 2)
#define WAITING_PACE 4 /* flows opened for one that is taken, on each CPU; a power of two */

/* Moves both halves. Insert first: no moment without an entry. */
static __always_inline bool flow_promote(const union any_key *key, struct flow *flow,
					 const union any_key *pkey, struct flow *partner, bool v6)
{
	struct flow_counts *counts = flow_counts(key->protocol);

	if (flow_put_proven(pkey, partner, BPF_ANY, v6))
		goto full;
	if (flow_put_proven(key, flow, BPF_ANY, v6)) {
		flow_delete_proven(pkey, v6);
		goto full;
	}
	share_count_proven(2, v6);
	flow_delete_new(pkey, v6);
	flow_delete_new(key, v6);
	if (counts)
		counts->promoted++;
	return true;
full:
	if (counts)
		counts->unpromoted++;
	return false;
}

static __always_inline struct waiting_ends *waiting_ends_of(bool v6)
{
	u32 index = v6;

	return bpf_map_lookup_elem(&waiting_ends, &index);
}

/*
 * Takes the oldest one's key to `key`. False: there is none, it is still being
 * written, another took it, or it was overwritten, and is passed over.
 */
static __always_inline bool waiting_pop(struct waiting_ends *ends, union any_key *key, bool v6)
{
	u32 taken = *(volatile u32 *)&ends->taken;
	u32 position = taken + 1;
	u32 slot = position % WAITING_SLOTS;
	struct waiting4 *four;
	struct waiting6 *six;
	u32 at;

	if (taken == *(volatile u32 *)&ends->pushed)
		return false;
	if (v6) {
		six = bpf_map_lookup_elem(&waiting6, &slot);
		if (!six)
			return false;
		at = *(volatile u32 *)&six->at;
		__builtin_memcpy(key, six, sizeof(struct flow6_key));
	} else {
		four = bpf_map_lookup_elem(&waiting4, &slot);
		if (!four)
			return false;
		at = *(volatile u32 *)&four->at;
		__builtin_memcpy(key, four, sizeof(struct flow4_key));
	}
	if ((s32)(at - position) < 0)
		return false;
	return __sync_val_compare_and_swap(&ends->taken, taken, position) == taken &&
	       at == position;
}

static __always_inline int waiting_settle_family(bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct waiting_ends *ends = waiting_ends_of(v6);
	struct flow *flow, *partner;

	if (!scratch || !ends || !waiting_pop(ends, &scratch->okey, v6))
		return 0;
	flow = flow_new(&scratch->okey, v6);
	if (!flow || !flow_live(flow->state))
		return 0;
	flow_partner(&scratch->okey, flow, &scratch->pkey, (struct flow *)&scratch->partner, v6);
	partner = flow_new(&scratch->pkey, v6);
	if (!partner)
		partner = (struct flow *)&scratch->partner;
	else if (!flow_partner_of(&scratch->okey, partner, v6))
		return 0;
	flow_promote(&scratch->okey, flow, &scratch->pkey, partner, v6);
	return 0;
}

/* Calls, for the stack. Of the scratch they use okey, pkey and partner. */
__noinline int waiting4_settle(void)
{
	return waiting_settle_family(false);
}

__noinline int waiting6_settle(void)
{
	return waiting_settle_family(true);
}

static __always_inline void waiting_settle(bool v6)
{
	if (v6)
		waiting6_settle();
	else
		waiting4_settle();
}

/* Notes a connection that has just been established. */
static __always_inline void waiting_push(const union any_key *key, bool v6)
{
	struct waiting_ends *ends = waiting_ends_of(v6);
	u32 position, slot;
	bool many;

	if (!ends)
		return;
	position = __sync_fetch_and_add(&ends->pushed, 1) + 1;
	many = position - ends->taken > WAITING_MOST;
	slot = position % WAITING_SLOTS;
	if (v6) {
		struct waiting6 *waiting = bpf_map_lookup_elem(&waiting6, &slot);

		if (!waiting)
			return;
		__builtin_memcpy(waiting, key, key_size(v6));
		/* ordered after the key, for waiting_pop */
		__sync_lock_test_and_set(&waiting->at, position);
	} else {
		struct waiting4 *waiting = bpf_map_lookup_elem(&waiting4, &slot);

		if (!waiting)
			return;
		__builtin_memcpy(waiting, key, key_size(v6));
		__sync_lock_test_and_set(&waiting->at, position);
	}
	if (many)
		waiting_settle(v6);
}

/* For every flow that is opened. */
static __always_inline void waiting_pace(struct flow_scratch *scratch, bool v6)
{
	if (++scratch->opened % WAITING_PACE == 0)
		waiting_settle(v6);
}

#endif
