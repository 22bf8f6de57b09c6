/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* A container speaks for its own addresses only. */
#ifndef SLUICE_LIB_SPOOF_H
#define SLUICE_LIB_SPOOF_H

#include "../maps/endpoint.h"
#include "../maps/metrics.h"
#include "address.h"
#include "parse.h"

/*
 * Every address of the sandbox counts: of a container on two networks, the
 * reply to a flow on one may leave by the other, which has the default route.
 */
static __always_inline bool address_is_own(const struct endpoint *ep, const void *address, bool v6)
{
	struct endpoint *holder;
	u32 *slot;

	if (addr_equal(address, ep_addr(ep, v6), v6))
		return addr_is_set(address, v6);
	slot = ep_of(address, v6);
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
	/* other lengths put the sender elsewhere; other operations are RARP's and InARP's */
	if (arp->hardware_type != bpf_htons(1) || arp->protocol_type != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != sizeof(mac_addr) || arp->protocol_length != sizeof(ipv4_addr) ||
	    (arp->operation != bpf_htons(1) && arp->operation != bpf_htons(2)))
		return DROP_MALFORMED;
	if (!mac_equal(&arp->sender_mac, &ep->mac))
		return DROP_SPOOFED_MAC;
	sender = *(ipv4_addr *)arp->sender;
	return !sender || address_is_own(ep, &sender, false) ? DROP_NONE : DROP_SPOOFED_ADDRESS;
}

/* fe80::/10 */
static __always_inline bool is_link_local(const void *address)
{
	return (*(const be32 *)address & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* The link-local address that a kernel makes of this MAC (RFC 4291, appendix A). */
static __always_inline bool is_link_local_of(const void *address, const mac_addr *mac)
{
	const u8 *a = address;
	const u8 *m = mac->byte;

	return is_link_local(address) && a[8] == (m[0] ^ 2) && a[9] == m[1] && a[10] == m[2] &&
	       a[11] == 0xff && a[12] == 0xfe && a[13] == m[3] && a[14] == m[4] && a[15] == m[5];
}

static __always_inline bool address6_is_own(const struct endpoint *ep, const void *address)
{
	return is_link_local(address) ? is_link_local_of(address, &ep->mac)
				      : address_is_own(ep, address, true);
}

/* A message between neighbours: no router's, and about the sender's own address. */
static __always_inline enum drop_reason check_neighbour(const struct endpoint *ep,
							const struct packet *p, void *end)
{
	struct icmp_echo *icmp = p->l4;

	if ((void *)(icmp + 1) > end)
		return DROP_MALFORMED;
	if (icmp->type == ICMPV6_ROUTER_ADVERTISEMENT || icmp->type == ICMPV6_REDIRECT)
		return DROP_ROGUE;
	if (icmp->type == ICMPV6_NEIGHBOUR_ADVERTISEMENT) {
		void *target = icmp + 1;

		if (target + sizeof(ipv6_addr) > end)
			return DROP_MALFORMED;
		if (!address6_is_own(ep, target))
			return DROP_SPOOFED_ADDRESS;
	}
	return DROP_NONE;
}

/* Whether a packet that has been parsed comes from who it says. */
static __always_inline enum drop_reason check_ip_source(const struct endpoint *ep,
							const struct packet *p, bool v6)
{
	if (!v6)
		return address_is_own(ep, &p->key.v4.saddr, false) ? DROP_NONE
								   : DROP_SPOOFED_ADDRESS;
	/* nobody has IPv6 on such a network */
	if (!addr_is_set(&ep->addr6, true))
		return DROP_NO_IPV6;
	if (address6_is_own(ep, &p->key.v6.saddr))
		return DROP_NONE;
	/* looking for an address of its own (RFC 4862, 2710) */
	return !addr_is_set(&p->key.v6.saddr, true) && *(u8 *)&p->key.v6.daddr == 0xff
		       ? DROP_NONE
		       : DROP_SPOOFED_ADDRESS;
}

#define DHCP_SERVER   67
#define DHCPV6_SERVER 547

/* For frames within the network: the sender, by whatever the frame carries. */
static __always_inline enum drop_reason check_link(struct __sk_buff *skb, const struct endpoint *ep,
						   const struct packet *p, enum parsed parsed,
						   bool v6)
{
	enum drop_reason reason = check_ip_source(ep, p, v6);

	if (reason != DROP_NONE)
		return reason;
	if (parsed == PARSED_LINK)
		return check_neighbour(ep, p, (void *)(long)skb->data_end);
	if (parsed == PARSED_FLOW && p->key.protocol == IPPROTO_UDP &&
	    p->key.sport == bpf_htons(v6 ? DHCPV6_SERVER : DHCP_SERVER))
		return DROP_ROGUE;
	return DROP_NONE;
}

#endif
