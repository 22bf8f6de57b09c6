/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Sources that no packet from outside can have (RFC 6890, RFC 1812 5.3.7). */
#ifndef SLUICE_LIB_MARTIAN_H
#define SLUICE_LIB_MARTIAN_H

#include "address.h"

static __always_inline bool is_loopback(const void *address, bool v6)
{
	const u32 *word = address;

	return v6 ? !word[0] && !word[1] && !word[2] && word[3] == bpf_htonl(1)
		  : *(const u8 *)address == 127;
}

/* Asked for the first packet of a flow only. */
static __always_inline bool source_is_martian(const union any_key *key, bool v6)
{
	const void *source = key_saddr(key, v6);

	if (v6) {
		const u32 *word = source;

		/* multicast; ::/96, which has :: and ::1; ::ffff:0:0/96 */
		if (*(const u8 *)source == 0xff ||
		    (!word[0] && !word[1] && (!word[2] || word[2] == bpf_htonl(0xffff))))
			return true;
	} else {
		u8 first = *(const u8 *)source;

		/* this network, loopback, multicast and what is reserved */
		if (first == 0 || first == 127 || first >= 224)
			return true;
	}
	/* this host itself, or a container of it */
	return addr_is_host(source, v6) || ep_of(source, v6);
}

#endif
