/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Types that carry meaning. User space generates its codecs from BTF, where
 * these typedef names decide how a field is shown: `be16`/`be32` as numbers in
 * host order, `ipv4_addr`, `ipv6_addr` and `mac_addr` as text.
 */
#ifndef SLUICE_LIB_TYPES_H
#define SLUICE_LIB_TYPES_H

#include <stddef.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

/* Network byte order on the wire and in memory. */
typedef u16 be16;
typedef u32 be32;

typedef be32 ipv4_addr;

typedef struct {
	be32 word[4];
} ipv6_addr;

typedef struct {
	u8 byte[6];
} mac_addr;

#endif
