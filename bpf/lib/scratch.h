/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Memory of one run of a program. Each object has its own; user space never looks. */
#ifndef SLUICE_LIB_SCRATCH_H
#define SLUICE_LIB_SCRATCH_H

#include "../maps/device.h"
#include "../maps/flow.h"
#include "address.h"
#include "bpf.h"

/*
 * Room for what is too big for the stack: a flow that is being opened or
 * rebuilt, IPv6 headers that are being translated. And for the key that a call
 * is about: before 6.2 the verifier takes no argument of a global function as
 * the key of a map, and that of 7.3 loses what a pointer to the stack points to
 * two calls further on.
 */
struct flow_scratch {
	union any_key key; /* see scratch_put_key */
	u16 l4;		   /* of the packet that opens a flow: from its IP header to layer 4 */
	u16 later;	   /* enum later_fragment */
	u32 opened;	   /* flows, on this CPU: paces waiting_pace */
	be32 seq;	   /* of the TCP segment that a flow is looked at for */
	be32 ack;	   /* and what it acknowledges */
	union any_key pkey;
	union any_key okey; /* of a flow that gives way, or has waited */
	union any_flow partner;
	union any_flow flow;
	u8 headers[96];
	struct host_prefix_key prefix;
	u32 pad2;
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

/* Hands a key to a function that finds it in the scratch. */
static __always_inline void scratch_put_key(const union any_key *key, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();

	if (scratch)
		__builtin_memcpy(&scratch->key, key, key_size(v6));
}

#endif
