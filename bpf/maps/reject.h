/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How many ICMP errors of our own were sent, for their limit. */
#ifndef SLUICE_MAPS_REJECT_H
#define SLUICE_MAPS_REJECT_H

#include "../lib/bpf.h"

struct reject_rate {
	u32 tick; /* lib/clock.h */
	u32 sent; /* in that tick, by this CPU */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reject_rate);
} reject_rate SEC(".maps");

#endif
