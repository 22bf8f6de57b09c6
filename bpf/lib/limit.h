/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How many flows a container may have, and open in a second. */
#ifndef SLUICE_LIB_LIMIT_H
#define SLUICE_LIB_LIMIT_H

#include "../maps/endpoint.h"
#include "clock.h"

/*
 * Counts one more flow of the endpoint; true if that is more than it may have.
 * Flows are counted as they open and corrected by every pass of the collector,
 * so one that ended meanwhile may still count.
 */
static __always_inline bool limit_reached(u32 slot)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &slot);
	struct endpoint_load *load;
	u32 now;

	if (!ep || !(ep->max_flows | ep->max_new_flows))
		return false;
	load = bpf_map_lookup_elem(&endpoint_load, &slot);
	if (!load)
		return false;
	if (ep->max_flows && load->flows >= ep->max_flows)
		return true;
	now = clock_tick();
	if (load->tick != now) {
		load->tick = now;
		load->opened = 0;
	}
	if (ep->max_new_flows && load->opened >= ep->max_new_flows)
		return true;
	__sync_fetch_and_add(&load->opened, 1);
	__sync_fetch_and_add(&load->flows, 1);
	return false;
}

#endif
