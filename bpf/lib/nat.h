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
#include "address.h"
#include "csum.h"
#include "kern.h"
#include "parse.h"
#include "scratch.h"

/* One hop less, as the one's complement difference of the TTL's word. */
#define TTL_DELTA	((u16)~bpf_htons(0x0100))
#define HOP_LIMIT_DELTA ((u16)~bpf_htons(0x0001))

union l4_header {
	struct tcphdr tcp;
	struct udphdr udp;
	struct icmp_echo icmp;
};

struct headers4 {
	u16 pad; /* aligns the IP header */
	struct ethhdr eth;
	struct iphdr ip;
	union l4_header l4;
};

struct headers6 {
	u16 pad;
	struct ethhdr eth;
	struct ipv6hdr ip;
	union l4_header l4;
};
_Static_assert(sizeof(struct headers6) <= sizeof(((struct flow_scratch *)0)->headers), "fits");

/*
 * The layer-4 checksum after the change, for what the field holds: on a
 * locally made packet (PARTIAL) only the sum of the pseudo-header, to which
 * ports do not belong; and where the device summed the packet (COMPLETE), that
 * sum changes with IPv4's addresses (IPv6's are outweighed by this very field).
 */
static __always_inline u16 l4_checksum(struct __sk_buff *skb, u16 sum, const struct flow *flow,
				       bool udp, bool v6)
{
	u32 state = skb_checksum_state(skb);

	if (state == SKB_CHECKSUM_PARTIAL)
		return csum_add(sum, flow->addr_delta);
	if (udp && !sum)
		return 0;
	sum = csum_update(sum, csum_add(flow->addr_delta, flow->port_delta));
	if (state == SKB_CHECKSUM_COMPLETE && !v6)
		bpf_csum_update(skb, (u16)~flow->addr_delta);
	return udp && !sum ? 0xffff : sum;
}

/* include/uapi/linux/bpf.h of 6.16, absent before: without it a device's sum goes wrong. */
#define CSUM_IPV6 0x80

/* The same through the helpers, in the packet, on kernels that do not show the state. */
static __always_inline void l4_checksum_helper(struct __sk_buff *skb, u32 offset,
					       const struct flow *flow, bool udp, bool v6)
{
	u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
	u64 family = v6 ? config.csum_ipv6 : 0;

	bpf_l4_csum_replace(skb, offset, 0, flow->addr_delta, flags | family | BPF_F_PSEUDO_HDR);
	bpf_l4_csum_replace(skb, offset, 0, flow->port_delta, flags);
}

/*
 * Writes `length` bytes of layer 4 and the headers before it; with `ethernet`
 * the Ethernet header too. What stands between the two headers stays as it is.
 */
static __always_inline int write_headers4(struct __sk_buff *skb, struct headers4 *h, u64 ip_length,
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
	return length ? bpf_skb_store_bytes(skb, l2 + ip_length, &h->l4, length, 0) : 0;
}

static __always_inline int write_headers6(struct __sk_buff *skb, struct headers6 *h, u64 ip_length,
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
	return length ? bpf_skb_store_bytes(skb, l2 + ip_length, &h->l4, length, 0) : 0;
}

/*
 * Translates the layer-4 header at `from` into *to. Answers its length, or -1
 * if it does not lie within `end`. 0: nothing to change (SCTP), or not there.
 */
static __always_inline int translate_l4(struct __sk_buff *skb, const struct packet *p,
					const struct flow *flow, void *end, union l4_header *to,
					bool v6)
{
	void *from = p->l4;

	if (p->later)
		return 0;
	if (p->key.protocol == IPPROTO_TCP) {
		if (from + sizeof(to->tcp) > end)
			return -1;
		to->tcp = *(struct tcphdr *)from;
		to->tcp.source = flow->sport;
		to->tcp.dest = flow->dport;
		if (config.kern_ctx)
			to->tcp.check = l4_checksum(skb, to->tcp.check, flow, false, v6);
		return sizeof(to->tcp);
	}
	if (from + sizeof(to->udp) > end)
		return -1;
	to->udp = *(struct udphdr *)from;
	if (p->key.protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		to->icmp.id = flow->sport | flow->dport;
		if (!v6)
			to->icmp.checksum = csum_update(to->icmp.checksum, flow->port_delta);
		else if (config.kern_ctx)
			to->icmp.checksum = l4_checksum(skb, to->icmp.checksum, flow, false, v6);
		return sizeof(to->icmp);
	}
	if (p->key.protocol != IPPROTO_UDP)
		return 0;
	to->udp.source = flow->sport;
	to->udp.dest = flow->dport;
	if (config.kern_ctx)
		to->udp.check = l4_checksum(skb, to->udp.check, flow, true, v6);
	return sizeof(to->udp);
}

/* What is left to do where the kernel does not show the checksum's state. */
static __always_inline void finish_checksum(struct __sk_buff *skb, u32 l4_offset, u8 protocol,
					    const struct flow *flow, bool v6)
{
	if (config.kern_ctx)
		return;
	if (protocol == IPPROTO_TCP)
		l4_checksum_helper(skb, l4_offset + offsetof(struct tcphdr, check), flow, false,
				   v6);
	else if (protocol == IPPROTO_UDP)
		l4_checksum_helper(skb, l4_offset + offsetof(struct udphdr, check), flow, true, v6);
	else if (v6 && protocol == IPPROTO_ICMPV6)
		l4_checksum_helper(skb, l4_offset + offsetof(struct icmp_echo, checksum), flow,
				   false, v6);
}

static __always_inline void set_ethernet(struct ethhdr *eth, const struct endpoint *ep, bool v6)
{
	mac_copy(eth->h_dest, &ep->mac);
	mac_copy(eth->h_source, &ep->gateway_mac);
	eth->h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
}

static __always_inline int translate4(struct __sk_buff *skb, struct packet *p,
				      const struct flow *flow, bool hop, const struct endpoint *ep)
{
	void *end = (void *)(long)skb->data_end;
	bool ethernet = ep && !config.l3_device;
	u64 ip_length = p->l4 - p->ip;
	u16 ip_delta = flow->addr_delta;
	u8 protocol = p->key.protocol;
	struct headers4 h;
	int length;

	/* parse has seen to it; the verifier has forgotten */
	if (p->ip + sizeof(h.ip) > end)
		return -1;
	h.ip = *(struct iphdr *)p->ip;
	h.ip.saddr = *(u32 *)flow_saddr(flow, false);
	h.ip.daddr = *(u32 *)flow_daddr(flow, false);
	if (hop) {
		h.ip.ttl--;
		ip_delta = csum_add(ip_delta, TTL_DELTA);
	}
	h.ip.check = csum_update(h.ip.check, ip_delta);
	if (ethernet)
		set_ethernet(&h.eth, ep, false);
	length = translate_l4(skb, p, flow, end, &h.l4, false);
	if (length == sizeof(h.l4.tcp)) {
		if (write_headers4(skb, &h, ip_length, sizeof(h.l4.tcp), ethernet))
			return -1;
	} else if (length == sizeof(h.l4.udp)) {
		if (write_headers4(skb, &h, ip_length, sizeof(h.l4.udp), ethernet))
			return -1;
	} else if (length || write_headers4(skb, &h, ip_length, 0, ethernet)) {
		return -1;
	}
	if (length)
		finish_checksum(skb, l2_length() + ip_length, protocol, flow, false);
	return 0;
}

static __always_inline int translate6(struct __sk_buff *skb, struct packet *p,
				      const struct flow *flow, bool hop, const struct endpoint *ep)
{
	void *end = (void *)(long)skb->data_end;
	bool ethernet = ep && !config.l3_device;
	u64 ip_length = p->l4 - p->ip;
	u8 protocol = p->key.protocol;
	struct flow_scratch *scratch = flow_scratch_get();
	struct headers6 *h;
	int length;

	if (!scratch || p->ip + sizeof(h->ip) > end)
		return -1;
	h = (struct headers6 *)scratch->headers;
	h->ip = *(struct ipv6hdr *)p->ip;
	addr_copy(&h->ip.saddr, flow_saddr(flow, true), true);
	addr_copy(&h->ip.daddr, flow_daddr(flow, true), true);
	if (hop) {
		h->ip.hop_limit--;
		/* the helper itself does nothing in any other state */
		if (!config.kern_ctx || skb_checksum_state(skb) == SKB_CHECKSUM_COMPLETE)
			bpf_csum_update(skb, HOP_LIMIT_DELTA);
	}
	if (ethernet)
		set_ethernet(&h->eth, ep, true);
	length = translate_l4(skb, p, flow, end, &h->l4, true);
	if (length == sizeof(h->l4.tcp)) {
		if (write_headers6(skb, h, ip_length, sizeof(h->l4.tcp), ethernet))
			return -1;
	} else if (length == sizeof(h->l4.udp)) {
		if (write_headers6(skb, h, ip_length, sizeof(h->l4.udp), ethernet))
			return -1;
	} else if (length || write_headers6(skb, h, ip_length, 0, ethernet)) {
		return -1;
	}
	if (length)
		finish_checksum(skb, l2_length() + ip_length, protocol, flow, true);
	/* nothing in layer 4 outweighs the addresses */
	else if (!config.kern_ctx || skb_checksum_state(skb) == SKB_CHECKSUM_COMPLETE)
		bpf_csum_update(skb, flow->addr_delta);
	return 0;
}

/*
 * Rewrites addresses, ports and checksums. `hop` also takes one off the TTL,
 * which the caller has seen to be above 1. `ep`, if given, is the container
 * that gets the packet: its MAC is written too, unless the device has no
 * Ethernet header to write to. All packet pointers are void afterwards. Answers
 * 0, or -1 if the packet could not be made writable.
 */
static __always_inline int translate(struct __sk_buff *skb, struct packet *p,
				     const struct flow *flow, bool hop, const struct endpoint *ep,
				     bool v6)
{
	return v6 ? translate6(skb, p, flow, hop, ep) : translate4(skb, p, flow, hop, ep);
}

#endif
