/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Collects flows whose time is over, whether or not the daemon lives: a timer
 * in a pinned map goes off every config.collect_interval seconds. What it then
 * does, walk the tables itself or have a work item do so, depends on what the
 * kernel has: there is an object for each, see src/loader/features.ts. Run once
 * after load, and again by the next version's object, whose callbacks then
 * replace these. The socket hooks' maps are among this object's, since not
 * every kernel loads those programs.
 */
#ifndef SLUICE_GC_CLOCK_H
#define SLUICE_GC_CLOCK_H

#include "../maps/socket.h"
#include "pass.h"

#define CLOCK_MONOTONIC 1
/* errno-base.h */
#define EBUSY 16

/* What each object has of its own. Before the first pass; 0, or a negative errno. */
static long pass_prepare(struct collector_state *state);
/* A pass, now or soon; `index` is that of `state`. */
static void pass_begin(struct collector_state *state, u32 index);

static int on_timer(void *map, int *key, struct collector_state *state)
{
	pass_begin(state, *key);
	bpf_timer_start(&state->timer, (u64)config.collect_interval * 1000000000, 0);
	return 0;
}

/* Answers 0, or a negative errno of the step that failed. */
SEC("syscall")
int collector(void *ctx)
{
	u32 index = 0;
	struct collector_state *state = bpf_map_lookup_elem(&collector_map, &index);
	struct share_state *share = share_get();
	long err;

	if (!state || !share)
		return -1;
	if (!share->seed)
		share->seed = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	err = pass_prepare(state);
	if (err)
		return err;
	/* EBUSY: an earlier version has set it up; its callback is replaced */
	err = bpf_timer_init(&state->timer, &collector_map, CLOCK_MONOTONIC);
	if (err && err != -EBUSY)
		return err;
	err = bpf_timer_set_callback(&state->timer, on_timer);
	if (err)
		return err;
	return bpf_timer_start(&state->timer, (u64)config.collect_interval * 1000000000, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";

#endif
