/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What containers share, counted so that none takes all of it: source ports
 * towards one destination, and room in the tables of proven flows. Counts go
 * up as flows open; every pass of the collector makes them anew, so what
 * ended unseen (an evicted flow) counts until then and no longer.
 */
#ifndef SLUICE_MAPS_SHARE_H
#define SLUICE_MAPS_SHARE_H

#include "../lib/bpf.h"
#include "../lib/types.h"

/*
 * Counters by hash: of a destination, and of a destination with a container.
 * Two that meet in one count together, which can only refuse too early, and
 * matters only where both have thousands.
 */
#define PORT_USE_BUCKETS 65536

enum port_use_of {
	PORT_USE_DESTINATION = 0,
	PORT_USE_ENDPOINT = 1, /* of one container, towards one destination */
	PORT_USES = 2,
};

/* Two halves of counters: one in use, the other made anew by the collector. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * PORT_USES * PORT_USE_BUCKETS);
	__type(key, u32);
	__type(value, u32);
} port_use SEC(".maps");

struct share_state {
	u64 seed;      /* of the hash: nobody outside can make two meet */
	u32 half;      /* of port_use that is in use */
	s32 proven[2]; /* entries of flows4 and flows6 */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct share_state);
} share_map SEC(".maps");

#endif
