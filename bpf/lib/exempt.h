/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where containers keep their own addresses. */
#ifndef SLUICE_LIB_EXEMPT_H
#define SLUICE_LIB_EXEMPT_H

#include "../maps/exempt.h"
#include "bpf.h"
#include "config.h"

/* Masquerade makes an exception for this address. */
static __always_inline bool is_exempt(const void *address, bool v6)
{
	const u32 *word = address;
	struct exempt_key key;

	if (!config.exempt)
		return false;
	/* no initialiser: as a constant it would be put beside the configuration */
	key.prefix_length = 128;
	key.destination.word[0] = v6 ? word[0] : 0;
	key.destination.word[1] = v6 ? word[1] : 0;
	key.destination.word[2] = v6 ? word[2] : bpf_htonl(0xffff);
	key.destination.word[3] = v6 ? word[3] : word[0];
	return bpf_map_lookup_elem(&masquerade_exempt, &key);
}

#endif
