/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How much of what all containers share one of them may take. */
#ifndef SLUICE_LIB_SHARE_H
#define SLUICE_LIB_SHARE_H

#include "../maps/flow.h"
#include "../maps/share.h"
#include "address.h"
#include "config.h"

/*
 * A container may have this many times as many ports towards a destination as
 * are left. Alone it gets three quarters; n that take all they can get 3 of
 * 3n+1 parts each, and one part stays for whoever comes next.
 */
#define PORT_SHARE 3

static __always_inline struct share_state *share_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&share_map, &zero);
}

static __always_inline u64 share_mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* Of the peer that a reply with this key comes from. */
static __always_inline u64 share_hash(u64 seed, const union any_key *reply, bool v6)
{
	u64 hash = share_mix(seed, (u32)reply->sport << 16 | reply->protocol);
	const u32 *addr = key_saddr(reply, v6);

	if (!v6)
		return share_mix(hash, addr[0]);
	hash = share_mix(hash, (u64)addr[0] << 32 | addr[1]);
	return share_mix(hash, (u64)addr[2] << 32 | addr[3]);
}

/* The counter in port_use, NULL never. */
static __always_inline u32 *share_counter(u32 half, enum port_use_of of, u64 hash)
{
	u32 index = (half & 1) * (PORT_USES * PORT_USE_BUCKETS) + of * PORT_USE_BUCKETS +
		    (u32)(hash >> 48);

	return bpf_map_lookup_elem(&port_use, &index);
}

static __always_inline u64 share_hash_endpoint(u64 hash, u32 slot)
{
	return share_mix(hash, slot + 1);
}

/* A source port of the host's address is held by this half, for a container. */
static __always_inline bool holds_port(const struct flow *reply)
{
	return reply->flags & FLOW_REPLY && reply->flags & FLOW_SNAT &&
	       reply->action == FLOW_TO_ENDPOINT;
}

enum share_op {
	SHARE_TAKE,   /* one more, if the container may */
	SHARE_RETAKE, /* one more, which it had before */
	SHARE_RETURN,
};

static __always_inline int port_share_family(const union any_key *reply, u32 slot, enum share_op op,
					     bool v6)
{
	const u32 offered = config.snat_port_max - config.snat_port_min + 1;
	struct share_state *state = share_get();
	u32 *all, *own;
	u64 hash;

	if (!state)
		return 0;
	hash = share_hash(state->seed, reply, v6);
	all = share_counter(state->half, PORT_USE_DESTINATION, hash);
	own = share_counter(state->half, PORT_USE_ENDPOINT, share_hash_endpoint(hash, slot));
	if (!all || !own)
		return 0;
	if (op == SHARE_RETURN) {
		/* opened before the half began: the collector has not counted it */
		if (!*all || !*own)
			return 0;
		__sync_fetch_and_add(all, -1);
		__sync_fetch_and_add(own, -1);
		return 0;
	}
	if (op == SHARE_TAKE &&
	    (*all >= offered || (u64)*own >= (u64)PORT_SHARE * (offered - *all)))
		return -1;
	__sync_fetch_and_add(all, 1);
	__sync_fetch_and_add(own, 1);
	return 0;
}

__noinline int port_share4(const union any_key *reply, u32 slot, u32 op)
{
	return reply ? port_share_family(reply, slot, op, false) : 0;
}

__noinline int port_share6(const union any_key *reply, u32 slot, u32 op)
{
	return reply ? port_share_family(reply, slot, op, true) : 0;
}

/* False if the container has its share of the ports towards the peer of `reply`. */
static __always_inline bool port_share(const union any_key *reply, u32 slot, enum share_op op,
				       bool v6)
{
	return !(v6 ? port_share6(reply, slot, op) : port_share4(reply, slot, op));
}

static __always_inline void share_count_proven(s32 entries, bool v6)
{
	struct share_state *state = share_get();

	if (state)
		__sync_fetch_and_add(&state->proven[v6], entries);
}

/* include/linux/bpf.h; the verifier lets programs read a map's own fields. */
struct bpf_map {
	u32 max_entries;
} __attribute__((preserve_access_index));

/* Entries that the table of proven flows takes yet, above nine tenths of it; else a large number.
 */
static __always_inline u32 share_proven_left(bool v6)
{
	struct share_state *state = share_get();
	u32 max = v6 ? ((struct bpf_map *)&flows6)->max_entries
		     : ((struct bpf_map *)&flows4)->max_entries;
	s32 used = state ? state->proven[v6] : 0;

	if (used < (s32)(max - max / 10))
		return ~0U;
	return used >= (s32)max ? 0 : max - used;
}

#endif
