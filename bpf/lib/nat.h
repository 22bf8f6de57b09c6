/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Writing a flow's translation into a packet.
 *
 * The headers are copied to the stack, changed there and written back with one
 * call. A direct write would be a few ns less; but a program with one begins
 * by taking every packet away from its other holders (bpf_unclone_prologue()),
 * some 200 ns for each packet of a local TCP socket, also those that pass.
 */
#ifndef SLUICE_LIB_NAT_H
#define SLUICE_LIB_NAT_H

#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "csum.h"
#include "kern.h"
#include "parse.h"

/* One hop less, as the one's complement difference of the TTL's word. */
#define TTL_DELTA ((u16)~bpf_htons(0x0100))

struct headers {
	u16 pad; /* aligns the IP header */
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
		struct icmp_echo icmp;
	};
};

/*
 * The layer-4 checksum after the change, for what the field holds: on a
 * locally made packet (PARTIAL) only the sum of the pseudo-header, to which
 * ports do not belong; and where the device summed the packet (COMPLETE), that
 * sum changes with the addresses.
 */
static __always_inline u16 l4_checksum(struct __sk_buff *skb, u16 sum, const struct flow4 *flow,
				       bool udp)
{
	u32 state = skb_checksum_state(skb);

	if (state == SKB_CHECKSUM_PARTIAL)
		return csum_add(sum, flow->addr_delta);
	if (udp && !sum)
		return 0;
	sum = csum_update(sum, csum_add(flow->addr_delta, flow->port_delta));
	if (state == SKB_CHECKSUM_COMPLETE)
		bpf_csum_update(skb, (u16)~flow->addr_delta);
	return udp && !sum ? 0xffff : sum;
}

/* The same through the helpers, in the packet, on kernels that do not show the state. */
static __always_inline void l4_checksum_helper(struct __sk_buff *skb, u32 offset,
					       const struct flow4 *flow, bool udp)
{
	u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;

	bpf_l4_csum_replace(skb, offset, 0, flow->addr_delta, flags | BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(skb, offset, 0, flow->port_delta, flags);
}

/*
 * Writes `length` bytes of layer 4 and the headers before it; with `to` the
 * Ethernet header too. Options between the two headers stay as they are.
 */
static __always_inline int write_headers(struct __sk_buff *skb, struct headers *h, u32 ip_length,
					 u32 length, bool ethernet)
{
	u32 l2 = l2_length();

	if (ip_length == sizeof(h->ip)) {
		if (ethernet)
			return bpf_skb_store_bytes(skb, 0, &h->eth,
						   sizeof(h->eth) + sizeof(h->ip) + length, 0);
		return bpf_skb_store_bytes(skb, l2, &h->ip, sizeof(h->ip) + length, 0);
	}
	if (ethernet && bpf_skb_store_bytes(skb, 0, &h->eth, sizeof(h->eth), 0))
		return -1;
	if (bpf_skb_store_bytes(skb, l2, &h->ip, sizeof(h->ip), 0))
		return -1;
	return bpf_skb_store_bytes(skb, l2 + ip_length, &h->tcp, length, 0);
}

/*
 * Rewrites addresses, ports and checksums. `hop` also takes one off the TTL,
 * which the caller has seen to be above 1. `ep`, if given, is the container
 * that gets the packet: its MAC is written too, unless the device has no
 * Ethernet header to write to. All packet pointers are void afterwards. Answers
 * 0, or -1 if the packet could not be made writable.
 */
static __always_inline int translate4(struct __sk_buff *skb, struct packet *p,
				      const struct flow4 *flow, bool hop, const struct endpoint *ep)
{
	void *end = (void *)(long)skb->data_end;
	bool ethernet = ep && !config.l3_device;
	u32 ip_length = p->l4 - (void *)p->ip;
	u32 l4_offset = l2_length() + ip_length;
	u16 ip_delta = flow->addr_delta;
	struct headers h;

	/* parse_ipv4 has seen to it; the verifier has forgotten */
	if ((void *)(p->ip + 1) > end || p->l4 + sizeof(h.udp) > end)
		return -1;
	h.ip = *p->ip;
	h.ip.saddr = flow->saddr;
	h.ip.daddr = flow->daddr;
	if (hop) {
		h.ip.ttl--;
		ip_delta = csum_add(ip_delta, TTL_DELTA);
	}
	h.ip.check = csum_update(h.ip.check, ip_delta);
	if (ethernet) {
		mac_copy(h.eth.h_dest, &ep->mac);
		mac_copy(h.eth.h_source, &ep->gateway_mac);
		h.eth.h_proto = bpf_htons(ETH_P_IP);
	}

	if (p->key.protocol == IPPROTO_TCP) {
		if (p->l4 + sizeof(h.tcp) > end)
			return -1;
		h.tcp = *(struct tcphdr *)p->l4;
		h.tcp.source = flow->sport;
		h.tcp.dest = flow->dport;
		if (config.kern_ctx)
			h.tcp.check = l4_checksum(skb, h.tcp.check, flow, false);
		if (write_headers(skb, &h, ip_length, sizeof(h.tcp), ethernet))
			return -1;
		if (!config.kern_ctx)
			l4_checksum_helper(skb, l4_offset + offsetof(struct tcphdr, check), flow,
					   false);
		return 0;
	}
	h.udp = *(struct udphdr *)p->l4;
	if (p->key.protocol == IPPROTO_ICMP) {
		h.icmp.id = flow->sport | flow->dport;
		h.icmp.checksum = csum_update(h.icmp.checksum, flow->port_delta);
		return write_headers(skb, &h, ip_length, sizeof(h.icmp), ethernet);
	}
	h.udp.source = flow->sport;
	h.udp.dest = flow->dport;
	if (config.kern_ctx)
		h.udp.check = l4_checksum(skb, h.udp.check, flow, true);
	if (write_headers(skb, &h, ip_length, sizeof(h.udp), ethernet))
		return -1;
	if (!config.kern_ctx)
		l4_checksum_helper(skb, l4_offset + offsetof(struct udphdr, check), flow, true);
	return 0;
}

#endif
