/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* How the guards tell what a program has let through from what came past it. */
#ifndef SLUICE_LIB_GUARD_H
#define SLUICE_LIB_GUARD_H

#include "bpf.h"

/*
 * Of a packet that tc accepts (TC_ACT_OK) the kernel keeps the class as
 * skb->tc_index, by tcx links and by filters alike, and it stays with the packet
 * on its way through bridge and routing. Neither netfilter nor a bridge writes
 * it, as they do marks. "Sl".
 */
#define LET_THROUGH_CLASS 0x536c

/* To be answered with TCX_PASS. */
static __always_inline void let_through(struct __sk_buff *skb)
{
	skb->tc_classid = LET_THROUGH_CLASS;
}

static __always_inline bool was_let_through(const struct __sk_buff *skb)
{
	return skb->tc_index == LET_THROUGH_CLASS;
}

#endif
