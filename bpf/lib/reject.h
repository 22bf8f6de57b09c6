/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Telling a sender why its packet goes no further: ICMP errors of our own. */
#ifndef SLUICE_LIB_REJECT_H
#define SLUICE_LIB_REJECT_H

#include "../maps/metrics.h"
#include "../maps/reject.h"
#include "count.h"
#include "csum.h"
#include "ethernet.h"
#include "parse.h"

#define REJECTS_A_TICK 256

/* What is sent back, in the words of one family; the other one's are looked up. */
enum rejection {
	REJECT_PROHIBITED, /* administratively: no port, no right (3/13, 1/1) */
	REJECT_TOO_BIG,	   /* with the MTU (3/4, 2/0) */
	REJECT_EXPIRED,	   /* TTL (11/0, 3/0) */
	REJECT_PORT,	   /* nobody there (3/3, 1/4) */
};

struct icmp_message {
	u8 type;
	u8 code;
	u16 checksum;
	be32 parameter; /* the MTU, where there is one */
};

/* What is put before the packet that is quoted. */
struct reject4 {
	u16 pad;
	struct ethhdr eth;
	struct iphdr ip;
	struct icmp_message icmp;
};

struct reject6 {
	u16 pad;
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct icmp_message icmp;
};

enum {
	/* RFC 1812, 4.3.2.3: the whole within 576 bytes. RFC 4443, 2.4 (c): within 1280. */
	QUOTE4_MOST = 576 - sizeof(struct iphdr) - sizeof(struct icmp_message),
	QUOTE6_MOST = 1280 - sizeof(struct ipv6hdr) - sizeof(struct icmp_message),
	/* the header and 64 bits, which name the flow */
	QUOTE4_LEAST = sizeof(struct iphdr) + 8,
	QUOTE6_LEAST = sizeof(struct ipv6hdr) + 8,
};

static __always_inline u32 csum_more(u32 sum, const void *data, u32 size)
{
	return bpf_csum_diff(NULL, 0, (void *)data, size, sum);
}

/* How much of a packet of this length is quoted; 0: it names no flow. */
static __always_inline u32 quote_length(u32 length, bool v6)
{
	u32 most = v6 ? QUOTE6_MOST : QUOTE4_MOST;

	if (length < (v6 ? QUOTE6_LEAST : QUOTE4_LEAST))
		return 0;
	return length < most ? length : most;
}

/* The sum over a quote of this length at `offset`: by lines, then by words, then the rest. */
static __always_inline u32 quote_sum(struct __sk_buff *skb, u32 offset, u32 length, bool v6)
{
	const u32 lines = (v6 ? QUOTE6_MOST : QUOTE4_MOST) / sizeof(u32[16]);
	u32 end = offset + length;
	u32 line[16];
	u32 missing = -length & 3; /* of the last word */
	u32 sum = 0;
	u32 i;

	for (i = 0; i < lines && i < length / sizeof(line); i++) {
		if (bpf_skb_load_bytes(skb, offset + i * sizeof(line), line, sizeof(line)))
			return sum;
		sum = csum_more(sum, line, sizeof(line));
	}
	offset += i * sizeof(line);
	for (i = 0; i < 15 && offset + i * 4 + 4 <= end; i++) {
		if (bpf_skb_load_bytes(skb, offset + i * 4, line, 4))
			return sum;
		sum = csum_more(sum, line, 4);
	}
	/* by the word that it ends: a read of 1 to 3 bytes may be one of none to verifiers
	 * before 6.8 */
	if (!missing || bpf_skb_load_bytes(skb, end - 4, line, 4))
		return sum;
	line[0] = bpf_htonl(bpf_ntohl(line[0]) << 8 * missing);
	return csum_more(sum, line, 4);
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
		icmp->code = why == REJECT_PROHIBITED ? 1 : why == REJECT_PORT ? 4 : 0;
	} else {
		icmp->type = why == REJECT_EXPIRED ? ICMP_TIME_EXCEEDED : ICMP_DEST_UNREACH;
		icmp->code = why == REJECT_TOO_BIG	? 4
			     : why == REJECT_PROHIBITED ? 13
			     : why == REJECT_PORT	? 3
							: 0;
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

/* Cuts the packet to its quote and makes room before it. */
static __always_inline int make_room(struct __sk_buff *skb, u32 quote, u32 room)
{
	return bpf_skb_change_tail(skb, l2_length() + quote, 0) ||
	       bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0);
}

/* Back to where the packet came from. */
static __always_inline int turn_ethernet(struct __sk_buff *skb, struct ethhdr *eth)
{
	struct ethhdr old;

	if (config.l3_device)
		return 0;
	if (bpf_skb_load_bytes(skb, 0, &old, sizeof(old)))
		return -1;
	mac_copy(eth->h_dest, old.h_source);
	mac_copy(eth->h_source, old.h_dest);
	eth->h_proto = old.h_proto;
	return 0;
}

static __always_inline int reject4_make(struct __sk_buff *skb, enum rejection why, ipv4_addr source,
					u32 mtu)
{
	const u32 room = sizeof(struct iphdr) + sizeof(struct icmp_message);
	u32 quote = quote_length(skb->len - l2_length(), false);
	struct iphdr old;
	struct reject4 r;
	u32 sum;

	if (!quote || bpf_skb_load_bytes(skb, l2_length(), &old, sizeof(old)) ||
	    turn_ethernet(skb, &r.eth) || make_room(skb, quote, room))
		return -1;
	r.ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		/* RFC 1812, 4.3.2.5: the same service, with internetwork control's precedence */
		.tos = (old.tos & 0x1e) | 0xc0,
		.tot_len = bpf_htons(room + quote),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = source,
		.daddr = old.saddr,
	};
	r.ip.check = ~csum_fold(csum_more(0, &r.ip, sizeof(r.ip)));
	icmp_set(&r.icmp, why, mtu, false);
	sum = quote_sum(skb, l2_length() + room, quote, false);
	/* a device's sum over the packet: the new headers outweigh all */
	bpf_csum_update(skb, (u16)~csum_fold(sum));
	r.icmp.checksum = ~csum_fold(csum_more(sum, &r.icmp, sizeof(r.icmp)));
	return config.l3_device ? bpf_skb_store_bytes(skb, 0, &r.ip, room, 0)
				: bpf_skb_store_bytes(skb, 0, &r.eth, ETH_HLEN + room, 0);
}

static __always_inline int reject6_make(struct __sk_buff *skb, enum rejection why,
					const ipv6_addr *source, u32 mtu)
{
	const u32 room = sizeof(struct ipv6hdr) + sizeof(struct icmp_message);
	u32 quote = quote_length(skb->len - l2_length(), true);
	u32 payload = sizeof(struct icmp_message) + quote;
	struct reject6 r;
	u32 sum;

	/* its source is ours to answer */
	if (!quote ||
	    bpf_skb_load_bytes(skb, l2_length() + offsetof(struct ipv6hdr, saddr), &r.ip.daddr,
			       sizeof(ipv6_addr)) ||
	    turn_ethernet(skb, &r.eth) || make_room(skb, quote, room))
		return -1;
	__builtin_memset(&r.ip, 0, offsetof(struct ipv6hdr, saddr));
	r.ip.version = 6;
	r.ip.payload_len = bpf_htons(payload);
	r.ip.nexthdr = IPPROTO_ICMPV6;
	r.ip.hop_limit = 64;
	addr_copy(&r.ip.saddr, source, true);
	icmp_set(&r.icmp, why, mtu, true);
	sum = quote_sum(skb, l2_length() + room, quote, true);
	/* as above, but for what of the header the pseudo-header does not have */
	bpf_csum_update(skb,
			csum_add(~csum_fold(sum),
				 csum_fold(bpf_htons(0x6000) + bpf_htons(IPPROTO_ICMPV6 << 8 | 64) +
					   (u16)~bpf_htons(IPPROTO_ICMPV6))));
	/* RFC 8200, 8.1: addresses, length, protocol */
	sum = csum_more(csum_fold(sum), &r.ip.saddr, 2 * sizeof(ipv6_addr));
	sum = csum_more(csum_fold(sum), &r.icmp, sizeof(r.icmp));
	r.icmp.checksum = ~csum_fold((u64)sum + bpf_htonl(payload) + bpf_htonl(IPPROTO_ICMPV6));
	return config.l3_device ? bpf_skb_store_bytes(skb, 0, &r.ip, room, 0)
				: bpf_skb_store_bytes(skb, 0, &r.eth, ETH_HLEN + room, 0);
}

__noinline int reject4(struct __sk_buff *skb, enum rejection why, u32 source, u32 mtu)
{
	return may_reject() ? reject4_make(skb, why, source, mtu) : -1;
}

__noinline int reject6(struct __sk_buff *skb, enum rejection why, const ipv6_addr *source, u32 mtu)
{
	return source && may_reject() ? reject6_make(skb, why, source, mtu) : -1;
}

/* A packet that has become its own answer. */
static __always_inline int send_back(struct __sk_buff *skb)
{
	skb->mark = config.mark;
	return bpf_redirect(skb->ifindex, 0);
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
	return send_back(skb);
}

#endif
