/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Writing a flow's translation into a packet. */
#ifndef SLUICE_LIB_NAT_H
#define SLUICE_LIB_NAT_H

#include "../maps/flow.h"
#include "csum.h"
#include "kern.h"
#include "parse.h"

/* One hop less, as the one's complement difference of the TTL's word. */
#define TTL_DELTA ((u16)~bpf_htons(0x0100))

/*
 * Layer-4 checksums by hand cost a third of the csum helpers, but have to know
 * what the field holds: on a locally made packet (PARTIAL) only the sum of the
 * pseudo-header, to which ports do not belong; and where the device summed the
 * packet (COMPLETE), that sum changes with the addresses.
 */
static __always_inline void l4_checksum_direct(struct __sk_buff *skb, u16 *field,
					       const struct flow4 *flow, bool udp)
{
	u32 state = skb_checksum_state(skb);
	u16 sum = *field;

	if (state == SKB_CHECKSUM_PARTIAL) {
		*field = csum_add(sum, flow->addr_delta);
		return;
	}
	if (udp && !sum)
		return;
	sum = csum_update(sum, csum_add(flow->addr_delta, flow->port_delta));
	*field = udp && !sum ? 0xffff : sum;
	if (state == SKB_CHECKSUM_COMPLETE)
		bpf_csum_update(skb, (u16)~flow->addr_delta);
}

/* The same through the helpers, which know; voids all packet pointers. */
static __always_inline void l4_checksum_helper(struct __sk_buff *skb, u32 offset,
					       const struct flow4 *flow, bool udp)
{
	u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;

	bpf_l4_csum_replace(skb, offset, 0, flow->addr_delta, flags | BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(skb, offset, 0, flow->port_delta, flags);
}

/* A checksum field's place in the packet, as the helpers want it. */
static __always_inline u32 packet_offset(struct __sk_buff *skb, const void *at)
{
	return at - (void *)(long)skb->data;
}

/*
 * Rewrites addresses, ports and checksums; `hop` also takes one off the TTL,
 * which the caller has seen to be above 1. All packet pointers are void
 * afterwards. The bounds have been checked by parse_ipv4; they are checked
 * again because the verifier forgets the tie between protocol and length.
 */
static __always_inline void translate4(struct __sk_buff *skb, struct packet *p,
				       const struct flow4 *flow, bool hop)
{
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = p->ip;
	struct tcphdr *tcp = p->l4;
	struct udphdr *udp = p->l4;
	struct icmp_echo *icmp = p->l4;
	u16 ip_delta = flow->addr_delta;

	if ((void *)(ip + 1) > end || (void *)(udp + 1) > end)
		return;
	ip->saddr = flow->saddr;
	ip->daddr = flow->daddr;
	if (hop) {
		ip->ttl--;
		ip_delta = csum_add(ip_delta, TTL_DELTA);
	}
	ip->check = csum_update(ip->check, ip_delta);

	if (p->key.protocol == IPPROTO_ICMP) {
		icmp->id = flow->sport | flow->dport;
		icmp->checksum = csum_update(icmp->checksum, flow->port_delta);
		return;
	}
	udp->source = flow->sport;
	udp->dest = flow->dport;
	if (p->key.protocol == IPPROTO_UDP) {
		if (config.kern_ctx)
			l4_checksum_direct(skb, &udp->check, flow, true);
		else
			l4_checksum_helper(skb, packet_offset(skb, &udp->check), flow, true);
		return;
	}
	if ((void *)(tcp + 1) > end)
		return;
	if (config.kern_ctx)
		l4_checksum_direct(skb, &tcp->check, flow, false);
	else
		l4_checksum_helper(skb, packet_offset(skb, &tcp->check), flow, false);
}

#endif
