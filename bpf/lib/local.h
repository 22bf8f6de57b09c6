/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is the host's own beside the addresses of its links. */
#ifndef SLUICE_LIB_LOCAL_H
#define SLUICE_LIB_LOCAL_H

#include "../maps/device.h"
#include "address.h"
#include "scratch.h"

/*
 * What is told of this address, NULL: nothing. The key is in the scratch: those
 * who ask have no stack left.
 */
static __always_inline struct host_prefix *host_prefix_of(const void *addr, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct host_prefix_key *key;

	if (!scratch)
		return NULL;
	key = &scratch->prefix;
	key->prefix_length = 128;
	addr_mapped(&key->addr, addr, v6);
	return bpf_map_lookup_elem(&host_prefixes, key);
}

/* The address is the host's, by one of its links or by a local route alone. */
static __always_inline bool addr_is_local(const void *addr, bool v6)
{
	struct host_prefix *prefix;

	if (addr_is_host(addr, v6))
		return true;
	prefix = host_prefix_of(addr, v6);
	return prefix && prefix->kind == HOST_PREFIX_LOCAL;
}

#endif
