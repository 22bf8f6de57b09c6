/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Time in ticks of 2^30 ns (1.07 s) of the coarse monotonic clock: a shift
 * instead of a division, and 1.6 ns where bpf_ktime_get_ns takes 25. Wraps
 * after 146 years of uptime.
 */
#ifndef SLUICE_LIB_CLOCK_H
#define SLUICE_LIB_CLOCK_H

#include "bpf.h"
#include "types.h"

#define TICK_SHIFT 30

static __always_inline u32 clock_tick(void)
{
	return bpf_ktime_get_coarse_ns() >> TICK_SHIFT;
}

/* Seconds as ticks, rounded up: a timeout is never shorter than asked for. */
static __always_inline u32 ticks(u32 seconds)
{
	return ((u64)seconds * 1000000000 + (1ULL << TICK_SHIFT) - 1) >> TICK_SHIFT;
}

#endif
