/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a VIP says for itself: which MAC it has, which is that of its network's
 * bridge, and that it is there. No device has the address, so no stack would.
 */
#ifndef SLUICE_LIB_VIP_H
#define SLUICE_LIB_VIP_H

#include "reject.h"
#include "service_choose.h"
#include "spoof.h"

/* Not a verdict: nobody asks for a VIP of this network. */
#define VIP_NOT_ASKED (-100)

static __always_inline bool is_vip_of(const struct endpoint *ep, const void *address, bool v6)
{
	struct service_port *vip = service_at(address, 0, 0, v6);

	return vip && vip->net == ep->net;
}

static __always_inline int answer(struct __sk_buff *skb, enum hook hook)
{
	count_outcome(skb, hook, OUTCOME_TO_ENDPOINT);
	return send_back(skb);
}

#define ARP_REQUEST 1
#define ARP_REPLY   2

/* An ARP request (RFC 826), probes included (RFC 5227): the address is taken. */
static __noinline int vip_answer_arp(struct __sk_buff *skb, const struct endpoint *ep, u32 hook)
{
	struct {
		u16 pad; /* aligns what follows */
		struct ethhdr eth;
		struct arp_ipv4 arp;
	} frame;
	ipv4_addr target;

	if (bpf_skb_load_bytes(skb, 0, &frame.eth, sizeof(frame.eth) + sizeof(frame.arp)))
		return VIP_NOT_ASKED;
	__builtin_memcpy(&target, frame.arp.target, sizeof(target));
	if (frame.arp.operation != bpf_htons(ARP_REQUEST) ||
	    frame.arp.hardware_type != bpf_htons(1) ||
	    frame.arp.protocol_type != bpf_htons(ETH_P_IP) || frame.arp.hardware_length != 6 ||
	    frame.arp.protocol_length != 4 || !is_vip_of(ep, &target, false))
		return VIP_NOT_ASKED;
	mac_copy(frame.eth.h_dest, frame.eth.h_source);
	mac_copy(frame.eth.h_source, &ep->gateway_mac);
	frame.arp.operation = bpf_htons(ARP_REPLY);
	mac_copy(&frame.arp.target_mac, &frame.arp.sender_mac);
	__builtin_memcpy(frame.arp.target, frame.arp.sender, sizeof(target));
	mac_copy(&frame.arp.sender_mac, &ep->gateway_mac);
	__builtin_memcpy(frame.arp.sender, &target, sizeof(target));
	if (bpf_skb_store_bytes(skb, 0, &frame.eth, sizeof(frame.eth) + sizeof(frame.arp), 0))
		return drop(skb, hook, DROP_MALFORMED);
	return answer(skb, hook);
}

/* RFC 4861, 4.3 and 4.4, with one option that gives a MAC. */
struct neighbour_message {
	u8 type;
	u8 code;
	u16 checksum;
	be32 flags;
	ipv6_addr target;
	u8 option;
	u8 option_length; /* in 8 bytes */
	mac_addr mac;
};

struct neighbour_frame {
	u16 pad;
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct neighbour_message message;
};
_Static_assert(sizeof(struct neighbour_frame) - 2 == ETH_HLEN + 40 + 32, "as on the wire");

enum {
	NEIGHBOUR_SOLICITED = 0x40000000,
	NEIGHBOUR_OVERRIDE = 0x20000000,
	OPTION_TARGET_MAC = 2,
};

/* Where an answer to all nodes goes: who asks has no address yet (RFC 4861, 7.2.4). */
static __always_inline void address_all_nodes(struct neighbour_frame *frame)
{
	__builtin_memset(&frame->ip.daddr, 0, sizeof(ipv6_addr));
	*(be32 *)&frame->ip.daddr = bpf_htonl(0xff020000);
	((u8 *)&frame->ip.daddr)[15] = 1;
	__builtin_memset(frame->eth.h_dest, 0, ETH_ALEN);
	frame->eth.h_dest[0] = frame->eth.h_dest[1] = 0x33;
	frame->eth.h_dest[5] = 1;
}

/* A neighbour solicitation (RFC 4861, 7.2), that of who tries an address included. */
static __noinline int vip_answer_neighbour(struct __sk_buff *skb, const struct endpoint *ep,
					   u32 hook)
{
	struct neighbour_frame frame;
	struct neighbour_message *m = &frame.message;
	const u32 size = sizeof(frame) - offsetof(struct neighbour_frame, eth);
	const u32 asked = offsetof(struct neighbour_frame, message.option) -
			  offsetof(struct neighbour_frame, eth);
	be32 flags = bpf_htonl(NEIGHBOUR_SOLICITED | NEIGHBOUR_OVERRIDE);
	u32 sum;

	if (bpf_skb_load_bytes(skb, 0, &frame.eth, asked))
		return VIP_NOT_ASKED;
	if (frame.ip.nexthdr != IPPROTO_ICMPV6 || frame.ip.hop_limit != 255 ||
	    m->type != ICMPV6_NEIGHBOUR_SOLICITATION || m->code || !is_vip_of(ep, &m->target, true))
		return VIP_NOT_ASKED;
	mac_copy(frame.eth.h_dest, frame.eth.h_source);
	mac_copy(frame.eth.h_source, &ep->gateway_mac);
	addr_copy(&frame.ip.daddr, &frame.ip.saddr, true);
	addr_copy(&frame.ip.saddr, &m->target, true);
	if (!addr_is_set(&frame.ip.daddr, true)) {
		address_all_nodes(&frame);
		flags = bpf_htonl(NEIGHBOUR_OVERRIDE);
	}
	frame.ip.payload_len = bpf_htons(sizeof(*m));
	m->type = ICMPV6_NEIGHBOUR_ADVERTISEMENT;
	m->checksum = 0;
	m->flags = flags;
	m->option = OPTION_TARGET_MAC;
	m->option_length = 1;
	mac_copy(&m->mac, &ep->gateway_mac);
	sum = csum_more(0, &frame.ip.saddr, 2 * sizeof(ipv6_addr));
	sum = csum_more(csum_fold(sum), m, sizeof(*m));
	m->checksum = ~csum_fold((u64)sum + bpf_htonl(sizeof(*m)) + bpf_htonl(IPPROTO_ICMPV6));
	if (bpf_skb_change_tail(skb, size, 0) || bpf_skb_store_bytes(skb, 0, &frame.eth, size, 0))
		return drop(skb, hook, DROP_MALFORMED);
	return answer(skb, hook);
}

/* Both addresses in their other place. */
static __always_inline int swap_addresses(struct __sk_buff *skb, bool v6)
{
	u32 at = l2_length() +
		 (v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr));
	u32 size = v6 ? sizeof(ipv6_addr) : sizeof(ipv4_addr);
	ipv6_addr from, to;

	return bpf_skb_load_bytes(skb, at, &from, size) ||
			       bpf_skb_load_bytes(skb, at + size, &to, size) ||
			       bpf_skb_store_bytes(skb, at, &to, size, 0) ||
			       bpf_skb_store_bytes(skb, at + size, &from, size, 0)
		       ? -1
		       : 0;
}

/* The hop count of a packet that begins here. */
static __always_inline int reset_hops(struct __sk_buff *skb, bool v6)
{
	u32 at = l2_length() +
		 (v6 ? offsetof(struct ipv6hdr, hop_limit) : offsetof(struct iphdr, ttl));
	u32 check = l2_length() + offsetof(struct iphdr, check);
	u16 old, word, sum;

	/* the hop count is the upper byte of its word in IPv4, the lower one in IPv6 */
	if (bpf_skb_load_bytes(skb, v6 ? at - 1 : at, &old, sizeof(old)))
		return -1;
	word = v6 ? (old & bpf_htons(0xff00)) | bpf_htons(64)
		  : (old & bpf_htons(0x00ff)) | bpf_htons(64 << 8);
	if (bpf_skb_store_bytes(skb, v6 ? at - 1 : at, &word, sizeof(word), BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (v6)
		return 0;
	if (bpf_skb_load_bytes(skb, check, &sum, sizeof(sum)))
		return -1;
	sum = csum_update(sum, csum_delta16(old, word));
	return bpf_skb_store_bytes(skb, check, &sum, sizeof(sum), BPF_F_RECOMPUTE_CSUM);
}

/* An echo request becomes its reply. */
static __always_inline int turn_echo(struct __sk_buff *skb, u32 at, bool v6)
{
	struct {
		u8 type;
		u8 code;
		u16 checksum;
	} icmp;
	u16 before = v6 ? bpf_htons(ICMPV6_ECHO_REQUEST << 8) : bpf_htons(ICMP_ECHO << 8);
	u16 after = v6 ? bpf_htons(ICMPV6_ECHO_REPLY << 8) : bpf_htons(ICMP_ECHOREPLY << 8);

	if (bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)))
		return -1;
	icmp.type = v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY;
	icmp.checksum = csum_update(icmp.checksum, csum_delta16(before, after));
	/* what changes adds up to nothing, also in a sum that a device made */
	return bpf_skb_store_bytes(skb, at, &icmp, sizeof(icmp), 0);
}

static __always_inline int vip_answer_echo_family(struct __sk_buff *skb, u32 hook, u32 l4, bool v6)
{
	struct ethhdr eth;

	if ((l4 && turn_echo(skb, l2_length() + l4, v6)) || swap_addresses(skb, v6) ||
	    reset_hops(skb, v6) || turn_ethernet(skb, &eth) ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0))
		return drop(skb, hook, DROP_MALFORMED);
	return answer(skb, hook);
}

static __noinline int vip_answer_echo4(struct __sk_buff *skb, u32 hook, u32 l4)
{
	return vip_answer_echo_family(skb, hook, l4, false);
}

static __noinline int vip_answer_echo6(struct __sk_buff *skb, u32 hook, u32 l4)
{
	return vip_answer_echo_family(skb, hook, l4, true);
}

/* Answers an echo request that has been parsed, or a fragment of one, which changes as the whole.
 */
static __always_inline int vip_answer_echo(struct __sk_buff *skb, enum hook hook,
					   const struct packet *p, bool v6)
{
	u32 l4 = p->later ? 0 : p->l4 - p->ip;

	return v6 ? vip_answer_echo6(skb, hook, l4) : vip_answer_echo4(skb, hook, l4);
}

#endif
