/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Internet checksums, adjusted incrementally (RFC 1624, equation 3). A
 * "delta" is the one's complement difference new - old of the words that
 * change, folded to 16 bits, in memory order; deltas add up.
 */
#ifndef SLUICE_LIB_CSUM_H
#define SLUICE_LIB_CSUM_H

#include "bpf.h"
#include "types.h"

static __always_inline u16 csum_fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline u16 csum_delta32(u32 old, u32 new)
{
	return csum_fold((u64)(u32)~old + new);
}

static __always_inline u16 csum_delta16(u16 old, u16 new)
{
	return csum_fold((u64)(u16)~old + new);
}

static __always_inline u16 csum_add(u16 a, u16 b)
{
	u32 sum = (u32)a + b;

	return (sum & 0xffff) + (sum >> 16);
}

/* The checksum field after the words below it changed by delta. */
static __always_inline u16 csum_update(u16 field, u16 delta)
{
	return ~csum_add(~field, delta);
}

#endif
