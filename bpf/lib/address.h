/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * One body of code for both families: functions take `v6`, a constant where
 * they are inlined, and reach the addresses through these. Tables stay
 * separate, so that IPv4 does not pay for the longer keys.
 */
#ifndef SLUICE_LIB_ADDRESS_H
#define SLUICE_LIB_ADDRESS_H

#include "../maps/device.h"
#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "bpf.h"
#include "types.h"

static __always_inline void addr_copy(void *to, const void *from, bool v6)
{
	const u32 *f = from;
	u32 *t = to;

	t[0] = f[0];
	if (v6) {
		t[1] = f[1];
		t[2] = f[2];
		t[3] = f[3];
	}
}

static __always_inline bool addr_equal(const void *a, const void *b, bool v6)
{
	const u32 *x = a;
	const u32 *y = b;

	return x[0] == y[0] && (!v6 || (x[1] == y[1] && x[2] == y[2] && x[3] == y[3]));
}

static __always_inline bool addr_is_set(const void *a, bool v6)
{
	const u32 *x = a;

	return x[0] || (v6 && (x[1] || x[2] || x[3]));
}

/* The address fields of a struct flow4_key or flow6_key. */
static __always_inline void *key_saddr(const void *key, bool v6)
{
	return (void *)key +
	       (v6 ? offsetof(struct flow6_key, saddr) : offsetof(struct flow4_key, saddr));
}

static __always_inline void *key_daddr(const void *key, bool v6)
{
	return (void *)key +
	       (v6 ? offsetof(struct flow6_key, daddr) : offsetof(struct flow4_key, daddr));
}

static __always_inline u32 key_size(bool v6)
{
	return v6 ? sizeof(struct flow6_key) : sizeof(struct flow4_key);
}

/* The address fields of a struct flow4 or flow6. */
static __always_inline void *flow_saddr(const void *flow, bool v6)
{
	return (void *)flow + (v6 ? offsetof(struct flow6, saddr) : offsetof(struct flow4, saddr));
}

static __always_inline void *flow_daddr(const void *flow, bool v6)
{
	return (void *)flow + (v6 ? offsetof(struct flow6, daddr) : offsetof(struct flow4, daddr));
}

static __always_inline void *flow_nexthop(const void *flow, bool v6)
{
	return (void *)flow +
	       (v6 ? offsetof(struct flow6, nexthop) : offsetof(struct flow4, nexthop));
}

/* The key of a packet that goes the other way between the same ends. */
static __always_inline void key_reverse(const union any_key *key, union any_key *reverse, bool v6)
{
	reverse->sport = key->dport;
	reverse->dport = key->sport;
	reverse->protocol = key->protocol;
	__builtin_memset(reverse->pad, 0, sizeof(reverse->pad));
	addr_copy(key_saddr(reverse, v6), key_daddr(key, v6), v6);
	addr_copy(key_daddr(reverse, v6), key_saddr(key, v6), v6);
}

static __always_inline void *ep_addr(const struct endpoint *ep, bool v6)
{
	return v6 ? (void *)&ep->addr6 : (void *)&ep->addr4;
}

/* Slot of the endpoint that has the address, or NULL. */
static __always_inline u32 *ep_of(const void *addr, bool v6)
{
	return v6 ? bpf_map_lookup_elem(&ep_addr6, addr) : bpf_map_lookup_elem(&ep_addr4, addr);
}

static __always_inline bool addr_is_host(const void *addr, bool v6)
{
	return v6 ? bpf_map_lookup_elem(&host_addr6, addr) : bpf_map_lookup_elem(&host_addr4, addr);
}

static __always_inline void *gateway_of(const struct network *net, bool v6)
{
	return v6 ? (void *)&net->gateway6 : (void *)&net->gateway4;
}

/* IPv4 as ::ffff:a.b.c.d, where one map or list is for both families. */
static __always_inline void addr_mapped(ipv6_addr *to, const void *addr, bool v6)
{
	if (v6) {
		addr_copy(to, addr, true);
		return;
	}
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = bpf_htonl(0xffff);
	addr_copy(&to->word[3], addr, false);
}

#endif
