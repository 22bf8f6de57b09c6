/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Memory of one run of a program. Each object has its own; user space never looks. */
#ifndef SLUICE_LIB_SCRATCH_H
#define SLUICE_LIB_SCRATCH_H

#include "../maps/flow.h"
#include "bpf.h"

/*
 * Room for what is too big for the stack: a flow that is being opened or
 * rebuilt, IPv6 headers that are being translated.
 */
struct flow_scratch {
	union any_key pkey;
	union any_key okey; /* of a flow that gives way */
	union any_flow partner;
	union any_flow flow;
	u8 headers[96];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow_scratch);
} flow_scratch SEC(".maps");

static __always_inline struct flow_scratch *flow_scratch_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&flow_scratch, &zero);
}

#endif
