/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The answer of a TCP port at which nobody is: RST (RFC 9293, 3.10.7.1). */
#ifndef SLUICE_LIB_RESET_H
#define SLUICE_LIB_RESET_H

#include "kern.h"
#include "reject.h"

/* Turns a TCP header into its answer; `length`: of the segment, header included. -1: none is due.
 */
static __always_inline int reset_set(struct tcphdr *to, const struct tcphdr *from, u32 length)
{
	u32 header = from->doff * 4;

	if (from->rst || header < sizeof(*from) || length < header)
		return -1;
	__builtin_memset(to, 0, sizeof(*to));
	to->source = from->dest;
	to->dest = from->source;
	to->doff = sizeof(*to) / 4;
	to->rst = 1;
	if (from->ack) {
		to->seq = from->ack_seq;
	} else {
		to->ack = 1;
		to->ack_seq =
			bpf_htonl(bpf_ntohl(from->seq) + length - header + from->syn + from->fin);
	}
	return 0;
}

/*
 * Whether the packet can be cut to its two headers. The sender's own stack may
 * have left the sum to a device, which finds it by an offset that stays.
 */
static __always_inline bool reset_fits(struct __sk_buff *skb, u32 l4, u32 header)
{
	return l4 == header || (config.kern_ctx && skb_checksum_state(skb) != SKB_CHECKSUM_PARTIAL);
}

/*
 * Fills the checksum in, whatever the packet's state: the field holds the sum
 * of the pseudo-header, as a device would want it, and the helper does the
 * rest where no device will.
 */
static __always_inline int reset_sum(struct __sk_buff *skb, u32 field, u16 pseudo, u32 segment)
{
	u16 whole = csum_add(pseudo, csum_fold(segment));

	if (bpf_l4_csum_replace(skb, field, 0, csum_add(whole, pseudo), 0))
		return -1;
	bpf_csum_update(skb, csum_delta16(pseudo, ~whole));
	return 0;
}

static __always_inline int reset4_make(struct __sk_buff *skb, u32 l4)
{
	u32 field = l2_length() + sizeof(struct iphdr) + offsetof(struct tcphdr, check);
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} r;
	struct tcphdr tcp;
	struct ethhdr eth;
	u16 pseudo;
	u32 sum;

	if (bpf_skb_load_bytes(skb, l2_length(), &r.ip, sizeof(r.ip)) ||
	    bpf_skb_load_bytes(skb, l2_length() + l4, &tcp, sizeof(tcp)) ||
	    !reset_fits(skb, l4, sizeof(r.ip)) ||
	    reset_set(&r.tcp, &tcp, bpf_ntohs(r.ip.tot_len) - l4) || turn_ethernet(skb, &eth) ||
	    bpf_skb_change_tail(skb, l2_length() + sizeof(r), 0))
		return -1;
	r.ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(sizeof(r)),
		.frag_off = bpf_htons(0x4000),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = r.ip.daddr,
		.daddr = r.ip.saddr,
	};
	r.ip.check = ~csum_fold(csum_more(0, &r.ip, sizeof(r.ip)));
	sum = csum_more(0, &r.tcp, sizeof(r.tcp));
	pseudo = csum_fold((u64)r.ip.saddr + r.ip.daddr +
			   bpf_htonl(IPPROTO_TCP << 16 | sizeof(r.tcp)));
	r.tcp.check = pseudo;
	if (bpf_skb_store_bytes(skb, l2_length(), &r, sizeof(r), BPF_F_RECOMPUTE_CSUM) ||
	    (!config.l3_device && bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0)))
		return -1;
	return reset_sum(skb, field, pseudo, sum);
}

static __always_inline int reset6_make(struct __sk_buff *skb, u32 l4)
{
	u32 field = l2_length() + sizeof(struct ipv6hdr) + offsetof(struct tcphdr, check);
	struct {
		struct ipv6hdr ip;
		struct tcphdr tcp;
	} r;
	struct tcphdr tcp;
	struct ethhdr eth;
	ipv6_addr client;
	u16 pseudo;
	u32 sum;

	if (bpf_skb_load_bytes(skb, l2_length(), &r.ip, sizeof(r.ip)) ||
	    bpf_skb_load_bytes(skb, l2_length() + l4, &tcp, sizeof(tcp)) ||
	    !reset_fits(skb, l4, sizeof(r.ip)) ||
	    reset_set(&r.tcp, &tcp, sizeof(r.ip) + bpf_ntohs(r.ip.payload_len) - l4) ||
	    turn_ethernet(skb, &eth) || bpf_skb_change_tail(skb, l2_length() + sizeof(r), 0))
		return -1;
	addr_copy(&client, &r.ip.saddr, true);
	addr_copy(&r.ip.saddr, &r.ip.daddr, true);
	addr_copy(&r.ip.daddr, &client, true);
	__builtin_memset(&r.ip, 0, offsetof(struct ipv6hdr, saddr));
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(sizeof(r.tcp));
	r.ip.nexthdr = IPPROTO_TCP;
	r.ip.hop_limit = 64;
	sum = csum_more(0, &r.tcp, sizeof(r.tcp));
	pseudo = csum_fold((u64)csum_more(0, &r.ip.saddr, 2 * sizeof(ipv6_addr)) +
			   bpf_htonl(sizeof(r.tcp)) + bpf_htonl(IPPROTO_TCP));
	r.tcp.check = pseudo;
	if (bpf_skb_store_bytes(skb, l2_length(), &r, sizeof(r), BPF_F_RECOMPUTE_CSUM) ||
	    (!config.l3_device && bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0)))
		return -1;
	return reset_sum(skb, field, pseudo, sum);
}

/* `l4`: the TCP header's offset from the IP header. */
__noinline int reset4(struct __sk_buff *skb, u32 l4)
{
	return may_reject() ? reset4_make(skb, l4) : -1;
}

__noinline int reset6(struct __sk_buff *skb, u32 l4)
{
	return may_reject() ? reset6_make(skb, l4) : -1;
}

/*
 * Counts the packet as dropped for `reason` and answers as an address does at
 * whose port nobody is: TCP by RST, anything else by "port unreachable", from
 * the address that was asked, back the way it came, if the rate of errors
 * allows. `l4`: layer 4's offset from the IP header.
 */
static __always_inline int reject_port_of(struct __sk_buff *skb, enum hook hook,
					  enum drop_reason reason, const union any_key *key, u32 l4,
					  bool v6)
{
	int verdict;

	if (key->protocol != IPPROTO_TCP)
		return reject(skb, hook, reason, REJECT_PORT, key_daddr(key, v6), 0, v6);
	verdict = drop(skb, hook, reason);
	if (v6 ? reset6(skb, l4) : reset4(skb, l4))
		return verdict;
	return send_back(skb);
}

/* The same of a packet that has been parsed; a later fragment is dropped only. */
static __always_inline int reject_port(struct __sk_buff *skb, enum hook hook,
				       enum drop_reason reason, const struct packet *p, bool v6)
{
	if (p->later)
		return drop(skb, hook, reason);
	return reject_port_of(skb, hook, reason, &p->key, p->l4 - p->ip, v6);
}

#endif
