/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A container speaks for its own addresses only. */
#ifndef SLUICE_LIB_SPOOF_H
#define SLUICE_LIB_SPOOF_H

#include "../maps/endpoint.h"
#include "../maps/metrics.h"
#include "parse.h"

/*
 * Every address of the sandbox counts: of a container on two networks, the
 * reply to a flow on one may leave by the other, which has the default route.
 */
static __always_inline bool address_is_own(const struct endpoint *ep, ipv4_addr address)
{
	struct endpoint *holder;
	u32 *slot;

	if (address == ep->addr4)
		return true;
	slot = bpf_map_lookup_elem(&ep_addr4, &address);
	holder = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	return holder && holder->sandbox == ep->sandbox;
}

/* RFC 826 over Ethernet. */
struct arp_ipv4 {
	be16 hardware_type;
	be16 protocol_type;
	u8 hardware_length;
	u8 protocol_length;
	be16 operation;
	mac_addr sender_mac;
	u8 sender[4];
	mac_addr target_mac;
	u8 target[4];
} __attribute__((packed));

/* Who sends an ARP packet must be who it says; sender 0.0.0.0 is a probe (RFC 5227). */
static __always_inline enum drop_reason check_arp(const struct endpoint *ep, struct arp_ipv4 *arp,
						  void *end)
{
	ipv4_addr sender;

	if ((void *)(arp + 1) > end)
		return DROP_MALFORMED;
	if (!mac_equal(&arp->sender_mac, &ep->mac))
		return DROP_SPOOFED_MAC;
	sender = *(ipv4_addr *)arp->sender;
	return !sender || address_is_own(ep, sender) ? DROP_NONE : DROP_SPOOFED_ADDRESS;
}

/* For frames within the network: the sender, by whatever the frame carries. */
static __always_inline enum drop_reason check_source(struct __sk_buff *skb,
						     const struct endpoint *ep, struct ethhdr *eth)
{
	void *end = (void *)(long)skb->data_end;

	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return DROP_NO_IPV6;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return check_arp(ep, (void *)(eth + 1), end);
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return DROP_MALFORMED;
		if (!address_is_own(ep, ip->saddr))
			return DROP_SPOOFED_ADDRESS;
	}
	return DROP_NONE;
}

#endif
