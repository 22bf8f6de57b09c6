// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For kernels without work items (before 6.10): the timer walks the tables itself, in a softirq. */
#include "clock.h"

static long pass_prepare(struct collector_state *state)
{
	return 0;
}

static void pass_begin(struct collector_state *state, u32 index)
{
	collect_once(index);
}
