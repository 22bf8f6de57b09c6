/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where containers are known by their own addresses. */
#ifndef SLUICE_MAPS_EXEMPT_H
#define SLUICE_MAPS_EXEMPT_H

#include "../lib/bpf.h"

#define MAX_EXEMPTIONS 1024

/* IPv4 destinations as ::ffff:a.b.c.d. */
struct exempt_key {
	u32 prefix_length; /* bits */
	ipv6_addr destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_EXEMPTIONS);
	__type(key, struct exempt_key);
	__type(value, u32); /* 1 */
} masquerade_exempt SEC(".maps");

#endif
