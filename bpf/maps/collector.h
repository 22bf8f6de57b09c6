/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The collector's clockwork, and what its last pass found. */
#ifndef SLUICE_MAPS_COLLECTOR_H
#define SLUICE_MAPS_COLLECTOR_H

#include "../lib/bpf.h"
#include "../lib/types.h"
#include "metrics.h"
#include "share.h"

/* include/uapi/linux/bpf.h of 6.10. */
struct bpf_wq {
	u64 opaque[2];
} __attribute__((aligned(8)));

struct collector_state {
	struct bpf_timer timer;
	struct bpf_wq work;
	u64 passes;
	u64 duration_ns;	    /* of the last pass */
	u32 proven[FLOW_PROTOCOLS]; /* flows in flows4 after the last pass */
	u32 fresh[FLOW_PROTOCOLS];  /* the same in flows4_new */
	u32 ports[PORT_USES];	    /* source ports in use: the fullest of either kind */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct collector_state);
} collector_map SEC(".maps");

#endif
