/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The header of a frame that is about to be sent or handed on. */
#ifndef SLUICE_LIB_ETHERNET_H
#define SLUICE_LIB_ETHERNET_H

#include "parse.h"

/* include/uapi/linux/if_packet.h */
#define PACKET_HOST	 0
#define PACKET_BROADCAST 1

/* Writes an Ethernet header over the space of one. */
static __always_inline int write_ethernet(struct __sk_buff *skb, const mac_addr *to,
					  const mac_addr *from, bool v6)
{
	struct ethhdr eth;

	mac_copy(eth.h_dest, to);
	mac_copy(eth.h_source, from);
	eth.h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

#endif
