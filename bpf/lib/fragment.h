/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments. The programs send all of them to the reassembly namespace, from
 * where they come back in order, first fragment first, cut as they were. The
 * program on the way back hands them to the hook that they came in by, with a
 * mark: there they count as packets of their flow, the later ones by what the
 * first one said.
 */
#ifndef SLUICE_LIB_FRAGMENT_H
#define SLUICE_LIB_FRAGMENT_H

#include "../maps/fragment.h"
#include "count.h"
#include "ethernet.h"
#include "fragment_way.h"
#include "parse.h"

#define IPV4_DF		0x4000
#define IPV4_OFFSET	0x1fff
#define FRAGMENTS_FIRST 1 /* skb->cb[0]: packets come in order, the first fragment first */

/* Not a verdict: the packet is not to be reassembled, or there is nowhere to. */
#define FRAGMENT_STAYS (-100)

/* RFC 8200. */
struct fragment_header {
	u8 next;
	u8 reserved;
	be16 offset;
	be32 id;
};

/* To be called once, before anything else looks at the mark. */
static __always_inline void fragment_begin(struct __sk_buff *skb)
{
	bool in_order = skb->mark == mark_in_order();

	skb->cb[0] = in_order ? FRAGMENTS_FIRST : 0;
	if (in_order)
		skb->mark = 0;
}

/* Offset of the fragment header of an IPv6 packet, or -1. */
static __noinline int find_fragment_header(struct __sk_buff *skb)
{
	u32 offset = l2_length() + sizeof(struct ipv6hdr);
	u8 next;
	u32 i;

	if (bpf_skb_load_bytes(skb, l2_length() + offsetof(struct ipv6hdr, nexthdr), &next,
			       sizeof(next)))
		return -1;
	for (i = 0; i < MAX_EXTENSIONS; i++) {
		u8 header[2];

		if (next == IPPROTO_FRAGMENT)
			return offset;
		if (!is_extension(next) || bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return -1;
		offset += next == IPPROTO_AH ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		next = header[0];
	}
	return -1;
}

/*
 * Which datagram a fragment belongs to. Answers the offset of its upper
 * layer's header from the start of the packet, 0 for a fragment that is not
 * the first, or -1; *protocol is set for the first.
 */
static __always_inline int fragment_identify(struct __sk_buff *skb, struct fragment_key *key,
					     u8 *protocol, bool v6)
{
	if (read_pair(skb, (struct fragment_pair *)key, v6))
		return -1;
	if (v6) {
		int at = find_fragment_header(skb);
		struct fragment_header header;
		int behind;

		if (at < 0 || bpf_skb_load_bytes(skb, at, &header, sizeof(header)))
			return -1;
		key->id = header.id;
		if (header.offset & bpf_htons(IPV6_FRAGMENT & ~7))
			return 0;
		behind = at + sizeof(header);
		*protocol = header.next;
		if (is_extension(header.next)) {
			int skipped = skip_extensions(skb, behind, header.next);

			if (skipped < 0)
				return -1;
			*protocol = skipped >> 16;
			behind = skipped & 0xffff;
		}
		return behind;
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, l2_length(), &ip, sizeof(ip)))
			return -1;
		key->id = ip.id;
		key->protocol = *protocol = ip.protocol;
		return ip.frag_off & bpf_htons(IPV4_OFFSET) ? 0 : l2_length() + ip.ihl * 4;
	}
}

/* The answer of fragment_ports: fields of one number, since pointers do not pass. */
#define PORTS_PROTOCOL_SHIFT  32
#define PORTS_TCP_FLAGS_SHIFT 40
#define PORTS_L4_SHIFT	      48 /* offset from the IP header */
#define PORTS_L4_MASK	      0x3ff
#define PORTS_ANSWER	      (1ULL << 61)
#define PORTS_AGAIN	      (1ULL << 62)
#define PORTS_LATER	      (1ULL << 63)

/* The ports of a first fragment at `offset`. -1: a message without any. */
static __always_inline int read_ports(struct __sk_buff *skb, u32 offset,
				      struct fragment_ports *ports, u8 *tcp_flags, bool v6)
{
	struct icmp_echo l4;

	if (bpf_skb_load_bytes(skb, offset, &l4, sizeof(l4)))
		return -1;
	if (ports->protocol == IPPROTO_TCP || ports->protocol == IPPROTO_UDP ||
	    ports->protocol == IPPROTO_SCTP) {
		__builtin_memcpy(&ports->sport, &l4, sizeof(be16));
		__builtin_memcpy(&ports->dport, (void *)&l4 + 2, sizeof(be16));
		return ports->protocol == IPPROTO_TCP
			       ? bpf_skb_load_bytes(skb, offset + 13, tcp_flags, 1)
			       : 0;
	}
	if (ports->protocol != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return -1;
	if (l4.type == (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO))
		ports->sport = l4.id;
	else if (l4.type == (v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY))
		ports->dport = l4.id;
	else
		return -1;
	ports->answer = l4.type == (v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY);
	return 0;
}

static __always_inline u64 fragment_ports_family(struct __sk_buff *skb, bool v6)
{
	struct fragment_key key = {};
	struct fragment_ports ports = {};
	struct fragment_ports *known;
	u64 flags = 0;
	u8 tcp_flags = 0;
	int l4 = fragment_identify(skb, &key, &ports.protocol, v6);

	if (l4 < 0)
		return 0;
	if (!l4) {
		known = bpf_map_lookup_elem(&fragment_ports, &key);
		if (!known)
			return 0;
		ports = *known;
		flags = PORTS_LATER | (ports.again ? PORTS_AGAIN : 0);
	} else if (read_ports(skb, l4, &ports, &tcp_flags, v6)) {
		bpf_map_delete_elem(&fragment_ports, &key);
		return 0;
	} else if (bpf_map_update_elem(&fragment_ports, &key, &ports, BPF_ANY)) {
		return 0;
	} else {
		flags = (u64)((l4 - l2_length()) & PORTS_L4_MASK) << PORTS_L4_SHIFT;
	}
	if (ports.answer)
		flags |= PORTS_ANSWER;
	return ports.sport | (u32)ports.dport << 16 | (u64)ports.protocol << PORTS_PROTOCOL_SHIFT |
	       (u64)tcp_flags << PORTS_TCP_FLAGS_SHIFT | flags;
}

__noinline u64 fragment4_ports(struct __sk_buff *skb)
{
	return fragment_ports_family(skb, false);
}

__noinline u64 fragment6_ports(struct __sk_buff *skb)
{
	return fragment_ports_family(skb, true);
}

/* As its own header has it: of a parsed packet. */
static __always_inline u32 ip_total_length(const struct packet *p, bool v6)
{
	return v6 ? sizeof(struct ipv6hdr) + bpf_ntohs(((struct ipv6hdr *)p->ip)->payload_len)
		  : bpf_ntohs(((struct iphdr *)p->ip)->tot_len);
}

/*
 * As parse, but where fragments come in order each of them is PARSED_FLOW,
 * with the ports of its datagram.
 */
static __always_inline enum parsed parse_in_order(struct __sk_buff *skb, struct packet *p, bool v6)
{
	enum parsed parsed = parse(skb, p, v6);
	u64 ports;

	if (parsed != PARSED_FRAGMENT || skb->cb[0] != FRAGMENTS_FIRST)
		return parsed;
	ports = v6 ? fragment6_ports(skb) : fragment4_ports(skb);
	if (!ports)
		return PARSED_FRAGMENT;
	p->key.sport = ports;
	p->key.dport = ports >> 16;
	p->key.protocol = ports >> PORTS_PROTOCOL_SHIFT;
	p->answer = ports & PORTS_ANSWER;
	if (ports & PORTS_LATER) {
		p->later = ports & PORTS_AGAIN ? LATER_AGAIN : LATER;
	} else {
		u32 header = ports >> PORTS_L4_SHIFT & PORTS_L4_MASK;
		bool tcp = p->key.protocol == IPPROTO_TCP;

		if (header + (tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr)) >
		    ip_total_length(p, v6))
			return PARSED_MALFORMED;
		p->tcp_flags = ports >> PORTS_TCP_FLAGS_SHIFT;
		p->l4 = p->ip + header;
	}
	return PARSED_FLOW;
}

/* In words: on the stack the second MAC is aligned to no more than a halfword. */
static __always_inline bool same_way(const struct fragment_way *a, const struct fragment_way *b)
{
	const u32 *x = (const u32 *)a;
	const u32 *y = (const u32 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

/* Remembers where fragments of this pair come in. */
static __always_inline int note_way(struct __sk_buff *skb, bool v6)
{
	struct fragment_pair pair = {};
	struct fragment_way way = {.ifindex = skb->ifindex};
	struct fragment_way *known;

	if (read_pair(skb, &pair, v6))
		return -1;
	/* both MACs, in the order of the header */
	if (!config.l3_device && bpf_skb_load_bytes(skb, 0, &way.to, 2 * sizeof(mac_addr)))
		return -1;
	known = bpf_map_lookup_elem(&fragment_ways, &pair);
	if (known && same_way(known, &way))
		return 0;
	return bpf_map_update_elem(&fragment_ways, &pair, &way, BPF_ANY);
}

/* The mark that has the namespace cut packets to `mtu` at most; 0: there is none. */
static __always_inline u32 mark_of_mtu(const struct reassembly *to, u32 mtu)
{
	u32 mark = 0;
	u32 i;

	for (i = 0; i < REASSEMBLY_MTUS; i++)
		if (to->mtu[i] && to->mtu[i] <= mtu)
			mark = i + 1;
	return mark;
}

/* Of a datagram whose first fragment this is: the others are to follow it. */
static __always_inline void cut_again(struct __sk_buff *skb, bool v6)
{
	struct fragment_key key = {};
	struct fragment_ports *ports;
	u8 protocol;

	if (fragment_identify(skb, &key, &protocol, v6) <= 0)
		return;
	ports = bpf_map_lookup_elem(&fragment_ports, &key);
	if (ports)
		ports->again = 1;
}

static __always_inline int fragment_away(struct __sk_buff *skb, u32 hook, u32 mtu, bool v6)
{
	u32 zero = 0;
	struct reassembly *to = bpf_map_lookup_elem(&reassembly, &zero);
	u32 mark = 0;

	if (!to || !to->ifindex)
		return FRAGMENT_STAYS;
	if (mtu) {
		be16 flags;

		mark = mark_of_mtu(to, mtu);
		/* routers fragment IPv4 only */
		if (!mark || v6 ||
		    bpf_skb_load_bytes(skb, l2_length() + offsetof(struct iphdr, frag_off), &flags,
				       sizeof(flags)) ||
		    flags & bpf_htons(IPV4_DF))
			return FRAGMENT_STAYS;
		if (skb->cb[0] == FRAGMENTS_FIRST)
			cut_again(skb, v6);
	} else if (skb->cb[0] == FRAGMENTS_FIRST) {
		return FRAGMENT_STAYS;
	}
	if (note_way(skb, v6))
		return drop(skb, hook, DROP_FRAGMENT);
	if (config.l3_device) {
		mac_addr none = {};

		if (bpf_skb_change_head(skb, ETH_HLEN, 0) || write_ethernet(skb, &none, &none, v6))
			return drop(skb, hook, DROP_MALFORMED);
	}
	skb->mark = mark;
	bpf_skb_change_type(skb, PACKET_HOST);
	count_outcome(skb, hook, OUTCOME_TO_REASSEMBLY);
	return bpf_redirect_peer(to->ifindex, 0);
}

__noinline int fragment4_away(struct __sk_buff *skb, u32 hook, u32 mtu)
{
	return fragment_away(skb, hook, mtu, false);
}

__noinline int fragment6_away(struct __sk_buff *skb, u32 hook, u32 mtu)
{
	return fragment_away(skb, hook, mtu, true);
}

/*
 * Sends a fragment to be put in order, or with `mtu` a packet to be cut to
 * that size. Its hop count must be above 1. Answers the verdict, or
 * FRAGMENT_STAYS: there is no such namespace, the fragment has been there, or
 * the packet is none that a router fragments.
 */
static __always_inline int fragment_send(struct __sk_buff *skb, enum hook hook, u32 mtu, bool v6)
{
	return v6 ? fragment6_away(skb, hook, mtu) : fragment4_away(skb, hook, mtu);
}

#endif
