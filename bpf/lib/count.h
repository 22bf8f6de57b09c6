/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Counting, and the verdicts that go with it. A packet is counted once, where
 * it leaves the program. Segments of a GSO packet count one each.
 */
#ifndef SLUICE_LIB_COUNT_H
#define SLUICE_LIB_COUNT_H

#include "../maps/metrics.h"
#include "bpf.h"
#include "guard.h"
#include "types.h"

/* include/uapi/linux/bpf.h of 6.6; Debian's header is older. TCX_NEXT lets
 * later programs and clsact filters see the packet, TC_ACT_OK would not. */
#define TCX_NEXT     (-1)
#define TCX_PASS     0
#define TCX_DROP     2
#define TCX_REDIRECT 7

/*
 * Not a verdict: the packet may open a flow. A program calls what answers this
 * and what opens flows one after the other, so that their stacks do not add up.
 */
#define OPENS_FLOW (-101)

static __always_inline void count_traffic(struct traffic *t, struct __sk_buff *skb)
{
	u32 segments = skb->gso_segs;

	t->packets += segments ? segments : 1;
	t->bytes += skb->len;
}

static __always_inline void count_outcome(struct __sk_buff *skb, enum hook hook,
					  enum outcome outcome)
{
	u32 index = hook * OUTCOMES + outcome;
	struct traffic *t = bpf_map_lookup_elem(&hook_traffic, &index);

	if (t)
		count_traffic(t, skb);
}

static __always_inline int pass(struct __sk_buff *skb, enum hook hook)
{
	count_outcome(skb, hook, OUTCOME_PASSED);
	if (hook != HOOK_ENDPOINT_INGRESS)
		return TCX_NEXT;
	/* the guard behind this program drops whatever comes as far */
	let_through(skb);
	return TCX_PASS;
}

static __always_inline int drop(struct __sk_buff *skb, enum hook hook, enum drop_reason reason)
{
	u32 index = reason;
	struct traffic *t = bpf_map_lookup_elem(&drops, &index);

	if (t)
		count_traffic(t, skb);
	count_outcome(skb, hook, OUTCOME_DROPPED);
	return TCX_DROP;
}

static __always_inline u32 flow_protocol_of(u8 protocol)
{
	return protocol == 6	 ? FLOW_PROTOCOL_TCP
	       : protocol == 17	 ? FLOW_PROTOCOL_UDP
	       : protocol == 132 ? FLOW_PROTOCOL_SCTP
				 : FLOW_PROTOCOL_ICMP;
}

static __always_inline struct flow_counts *flow_counts(u8 protocol)
{
	u32 index = flow_protocol_of(protocol);

	return bpf_map_lookup_elem(&flow_events, &index);
}

#endif
