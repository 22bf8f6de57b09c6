/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How many flows a container may have, and open in a second. */
#ifndef SLUICE_LIB_LIMIT_H
#define SLUICE_LIB_LIMIT_H

#include "../maps/endpoint.h"
#include "../maps/metrics.h"
#include "clock.h"
#include "share.h"

/*
 * The door of the tables. While the table of proven flows is below nine tenths
 * it is open. Above, a container that has more flows than that table has room
 * for waits outside, and behind the last hundredth everybody does: what is
 * established keeps its place, and what was let in will find one.
 */
static __always_inline bool limit_by_room(const struct endpoint_load *load, u32 left, bool v6)
{
	u32 max = v6 ? ((struct bpf_map *)&flows6)->max_entries
		     : ((struct bpf_map *)&flows4)->max_entries;

	return left <= max / 100 || !load || 2 * load->flows >= left;
}

/*
 * Counts one more flow of the endpoint, where that matters; answers why it may
 * not have it, or DROP_NONE. Flows are counted as they open and corrected by
 * every pass of the collector, so one that ended meanwhile may still count.
 */
static __always_inline enum drop_reason limit_check(u32 slot, bool v6)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &slot);
	u32 left = share_proven_left(v6);
	struct endpoint_load *load;
	u32 now;

	if (left == ~0U && (!ep || !(ep->max_flows | ep->max_new_flows)))
		return DROP_NONE;
	load = bpf_map_lookup_elem(&endpoint_load, &slot);
	if (left != ~0U && limit_by_room(load, left, v6))
		return DROP_TABLE_FULL;
	if (!load || !ep)
		return DROP_NONE;
	if (ep->max_flows && load->flows >= ep->max_flows)
		return DROP_LIMIT;
	now = clock_tick();
	if (load->tick != now) {
		load->tick = now;
		load->opened = 0;
	}
	if (ep->max_new_flows && load->opened >= ep->max_new_flows)
		return DROP_LIMIT;
	__sync_fetch_and_add(&load->opened, 1);
	__sync_fetch_and_add(&load->flows, 1);
	return DROP_NONE;
}

#endif
