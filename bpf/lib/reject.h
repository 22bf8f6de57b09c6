/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Telling a sender why its packet goes no further: ICMP errors of our own. */
#ifndef SLUICE_LIB_REJECT_H
#define SLUICE_LIB_REJECT_H

#include "../maps/metrics.h"
#include "count.h"
#include "csum.h"
#include "ethernet.h"
#include "parse.h"

/* ICMP errors of our own, by CPU. */
#define REJECTS_A_TICK 256
struct reject_rate {
	u32 tick;
	u32 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reject_rate);
} reject_rate SEC(".maps");

/* What is sent back, in the words of one family; the other one's are looked up. */
enum rejection {
	REJECT_PROHIBITED, /* administratively: no port, no right (3/13, 1/1) */
	REJECT_TOO_BIG,	   /* with the MTU (3/4, 2/0) */
	REJECT_EXPIRED,	   /* TTL (11/0, 3/0) */
};

struct icmp_message {
	u8 type;
	u8 code;
	u16 checksum;
	be32 parameter; /* the MTU, where there is one */
};

/* RFC 792: the header and 64 bits, which name the flow. */
struct reject4 {
	u16 pad;
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_message icmp;
	u8 quote[sizeof(struct iphdr) + 8];
};

struct reject6 {
	u16 pad;
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp_message icmp;
	u8 quote[sizeof(struct ipv6hdr) + 8];
};

static __always_inline u16 csum_of(const void *data, u32 size, u32 seed)
{
	return ~csum_fold((u32)bpf_csum_diff(NULL, 0, (void *)data, size, seed));
}

static __always_inline void icmp_set(struct icmp_message *icmp, enum rejection why, u32 mtu,
				     bool v6)
{
	icmp->checksum = 0;
	icmp->parameter = why == REJECT_TOO_BIG ? bpf_htonl(mtu) : 0;
	if (v6) {
		icmp->type = why == REJECT_TOO_BIG   ? ICMPV6_PKT_TOOBIG
			     : why == REJECT_EXPIRED ? ICMPV6_TIME_EXCEEDED
						     : ICMPV6_DEST_UNREACH;
		icmp->code = why == REJECT_PROHIBITED ? 1 : 0;
	} else {
		icmp->type = why == REJECT_EXPIRED ? ICMP_TIME_EXCEEDED : ICMP_DEST_UNREACH;
		icmp->code = why == REJECT_TOO_BIG ? 4 : why == REJECT_PROHIBITED ? 13 : 0;
	}
}

/* RFC 1812, 4.3.2.8 and RFC 4443, 2.4 (f): errors are rate-limited. */
static __always_inline bool may_reject(void)
{
	u32 zero = 0;
	struct reject_rate *rate = bpf_map_lookup_elem(&reject_rate, &zero);
	u32 now = bpf_ktime_get_coarse_ns() >> 30;

	if (!rate)
		return false;
	if (rate->tick != now) {
		rate->tick = now;
		rate->sent = 0;
	}
	return rate->sent++ < REJECTS_A_TICK;
}

static __always_inline int reject4_make(struct __sk_buff *skb, enum rejection why, ipv4_addr source,
					u32 mtu)
{
	const u32 length = sizeof(struct reject4) - offsetof(struct reject4, ip);
	struct reject4 r;
	struct iphdr *old = (void *)r.quote;

	if (bpf_skb_load_bytes(skb, l2_length(), r.quote, sizeof(r.quote)) || old->ihl != 5)
		return -1;
	r.ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = 0xc0, /* RFC 1812: internetwork control */
		.tot_len = bpf_htons(length),
		.frag_off = bpf_htons(0x4000),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = source,
		.daddr = old->saddr,
	};
	r.ip.check = csum_of(&r.ip, sizeof(r.ip), 0);
	icmp_set(&r.icmp, why, mtu, false);
	r.icmp.checksum = csum_of(&r.icmp, sizeof(r.icmp) + sizeof(r.quote), 0);
	if (!config.l3_device) {
		struct ethhdr eth;

		if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
			return -1;
		mac_copy(r.eth.h_dest, eth.h_source);
		mac_copy(r.eth.h_source, eth.h_dest);
		r.eth.h_proto = eth.h_proto;
	}
	if (bpf_skb_change_tail(skb, l2_length() + length, 0))
		return -1;
	return config.l3_device ? bpf_skb_store_bytes(skb, 0, &r.ip, length, BPF_F_RECOMPUTE_CSUM)
				: bpf_skb_store_bytes(skb, 0, &r.eth, ETH_HLEN + length,
						      BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int reject6_make(struct __sk_buff *skb, enum rejection why,
					const ipv6_addr *source, u32 mtu)
{
	const u32 payload = sizeof(struct icmp_message) + sizeof(struct ipv6hdr) + 8;
	const u32 length = sizeof(struct ipv6hdr) + payload;
	struct reject6 r;
	struct ipv6hdr *old = (void *)r.quote;
	u32 sum;

	if (bpf_skb_load_bytes(skb, l2_length(), r.quote, sizeof(r.quote)))
		return -1;
	__builtin_memset(&r.ip, 0, sizeof(r.ip));
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(payload);
	r.ip.nexthdr = IPPROTO_ICMPV6;
	r.ip.hop_limit = 64;
	addr_copy(&r.ip.saddr, source, true);
	addr_copy(&r.ip.daddr, &old->saddr, true);
	icmp_set(&r.icmp, why, mtu, true);
	/* RFC 8200, 8.1: addresses, length, protocol */
	sum = bpf_csum_diff(NULL, 0, (void *)&r.ip.saddr, 2 * sizeof(ipv6_addr),
			    bpf_htonl(payload + IPPROTO_ICMPV6));
	r.icmp.checksum = csum_of(&r.icmp, sizeof(r.icmp) + sizeof(r.quote), sum);
	if (!config.l3_device) {
		struct ethhdr eth;

		if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
			return -1;
		mac_copy(r.eth.h_dest, eth.h_source);
		mac_copy(r.eth.h_source, eth.h_dest);
		r.eth.h_proto = eth.h_proto;
	}
	if (bpf_skb_change_tail(skb, l2_length() + length, 0))
		return -1;
	return config.l3_device ? bpf_skb_store_bytes(skb, 0, &r.ip, length, BPF_F_RECOMPUTE_CSUM)
				: bpf_skb_store_bytes(skb, 0, &r.eth, ETH_HLEN + length,
						      BPF_F_RECOMPUTE_CSUM);
}

__noinline int reject4(struct __sk_buff *skb, enum rejection why, u32 source, u32 mtu)
{
	return may_reject() ? reject4_make(skb, why, source, mtu) : -1;
}

__noinline int reject6(struct __sk_buff *skb, enum rejection why, const ipv6_addr *source, u32 mtu)
{
	return source && may_reject() ? reject6_make(skb, why, source, mtu) : -1;
}

/*
 * Counts the packet as dropped for `reason` and sends an ICMP error back the
 * way it came, from address `source`, if the rate of errors allows. The packet
 * must be no ICMP error and no later fragment, its addresses unicast.
 */
static __always_inline int reject(struct __sk_buff *skb, enum hook hook, enum drop_reason reason,
				  enum rejection why, const void *source, u32 mtu, bool v6)
{
	int verdict = drop(skb, hook, reason);

	if (v6 ? reject6(skb, why, source, mtu)
	       : reject4(skb, why, *(const ipv4_addr *)source, mtu))
		return verdict;
	skb->mark = config.mark;
	return bpf_redirect(skb->ifindex, 0);
}

#endif
