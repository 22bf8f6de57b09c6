/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * One cursor over the headers. Every pointer in a struct packet has been
 * checked against the end of the linear data up to the length named beside
 * it, and is void after any helper that may move the data.
 */
#ifndef SLUICE_LIB_PARSE_H
#define SLUICE_LIB_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "../maps/flow.h"
#include "bpf.h"
#include "config.h"
#include "types.h"

#define IPV4_FRAGMENT 0x3fff /* MF or an offset, host order */
#define IPV6_FRAGMENT 0xfff9 /* the same of IPv6's fragment header */

/* RFC 792 and RFC 4443. The kernel's headers pull in libc's. */
struct icmp_echo {
	u8 type;
	u8 code;
	u16 checksum;
	be16 id;
	be16 sequence;
};

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMPV6_DEST_UNREACH = 1,
	ICMPV6_PKT_TOOBIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_PARAMPROB = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	/* RFC 2710, 4861: of one link */
	ICMPV6_LINK_FIRST = 130,
	ICMPV6_ROUTER_ADVERTISEMENT = 134,
	ICMPV6_NEIGHBOUR_SOLICITATION = 135,
	ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMPV6_REDIRECT = 137,
	ICMPV6_LINK_LAST = 143,
};

enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

enum parsed {
	PARSED_FLOW,	   /* TCP, UDP, SCTP or echo: key, l4 and tcp_flags are set */
	PARSED_ICMP_ERROR, /* ip and l4 are set: 8 bytes, then the packet in question */
	PARSED_FRAGMENT,   /* ip is set; there may be no ports */
	PARSED_LINK,	   /* ICMPv6 between neighbours; ip and l4 are set */
	PARSED_OTHER,	   /* ip is set; some other protocol or ICMP message */
	PARSED_MALFORMED,
};

/* A fragment that has no header of layer 4, see fragment.h; else 0. */
enum later_fragment {
	LATER = 1,
	LATER_AGAIN = 2, /* its datagram is to be cut smaller */
};

struct packet {
	struct ethhdr *eth; /* NULL on an L3 device */
	void *ip;	    /* 20 or 40 bytes */
	/* TCP: 20 bytes, SCTP: 12, UDP and ICMP: 8 */
	void *l4;
	u8 tcp_flags; /* 0 unless TCP */
	bool answer;  /* an echo reply: belongs to a flow, or to nobody */
	u8 tos;
	u8 ttl;
	u8 later;	   /* enum later_fragment */
	union any_key key; /* addresses and protocol always, but of a malformed packet */
};

static __always_inline u32 l2_length(void)
{
	return config.l3_device ? 0 : ETH_HLEN;
}

/* Makes the first `want` bytes linear, or all if the packet is shorter. */
static __always_inline int make_linear(struct __sk_buff *skb, u32 want)
{
	u32 have = skb->data_end - skb->data;

	if (have >= want || have >= skb->len)
		return 0;
	return bpf_skb_pull_data(skb, skb->len < want ? skb->len : want);
}

/*
 * Makes the headers linear if they are not. Payload in fragments is the rule
 * for TCP and stays where it is: pulling it would copy a packet that its
 * sender still holds.
 */
static __always_inline int linearise(struct __sk_buff *skb)
{
	u32 have = skb->data_end - skb->data;
	u32 want = l2_length() + sizeof(struct iphdr) + sizeof(struct tcphdr);
	u8 *ip = (void *)(long)skb->data + l2_length();

	if (have >= skb->len)
		return 0;
	if ((void *)(ip + 1) <= (void *)(long)skb->data_end)
		want = l2_length() + sizeof(struct tcphdr) +
		       (*ip >> 4 == 6 ? sizeof(struct ipv6hdr) : (*ip & 15) * 4);
	if (have >= want)
		return 0;
	return bpf_skb_pull_data(skb, skb->len < want ? skb->len : want);
}

static __always_inline bool is_extension(u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT ||
	       next == IPPROTO_DSTOPTS || next == IPPROTO_AH;
}

/* RFC 8200 lets each but one header occur once. */
#define MAX_EXTENSIONS	     6
#define MAX_EXTENSION_LENGTH 512
#define HEADER_MASK	     0x3ff /* holds the length of IPv6's header with all of them */

enum {
	BEHIND_FRAGMENT = 1 << 30, /* flag: a fragment header of a true fragment was met */
};

/*
 * Where the upper layer's header is behind the extension headers at `offset`,
 * whose first is of type `next`: offset | protocol << 16 | BEHIND_FRAGMENT, or
 * -1 where they do not end. Behind a fragment that is not the first there is
 * no header; the answer then only says that it is one.
 */
__noinline int skip_extensions(struct __sk_buff *skb, u32 offset, u32 next)
{
	u32 start = offset;
	u32 flags = 0;
	u32 i;

	for (i = 0; i < MAX_EXTENSIONS; i++) {
		struct {
			u8 next;
			u8 length;
			be16 fragment;
		} header;

		if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)))
			return -1;
		if (next == IPPROTO_FRAGMENT) {
			if (header.fragment & bpf_htons(IPV6_FRAGMENT))
				flags = BEHIND_FRAGMENT;
			offset += 8;
			if (header.fragment & bpf_htons(IPV6_FRAGMENT & ~7))
				return offset | header.next << 16 | flags;
		} else if (next == IPPROTO_AH) {
			offset += (header.length + 2) * 4;
		} else {
			offset += (header.length + 1) * 8;
		}
		next = header.next;
		if (offset - start > MAX_EXTENSION_LENGTH)
			return -1;
		if (!is_extension(next))
			return offset | next << 16 | flags;
	}
	return -1;
}

static __always_inline enum parsed parse_icmp(struct packet *p, bool v6)
{
	struct icmp_echo *icmp = p->l4;
	u8 type = icmp->type;

	if (type == (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO)) {
		p->key.sport = icmp->id;
		return PARSED_FLOW;
	}
	if (type == (v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY)) {
		p->key.dport = icmp->id;
		p->answer = true;
		return PARSED_FLOW;
	}
	if (v6) {
		if (type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB)
			return PARSED_ICMP_ERROR;
		if (type >= ICMPV6_LINK_FIRST && type <= ICMPV6_LINK_LAST)
			return PARSED_LINK;
		return PARSED_OTHER;
	}
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB
		       ? PARSED_ICMP_ERROR
		       : PARSED_OTHER;
}

/*
 * `length`: of layer 4 as the IP header has it; what lies behind only fills up
 * the frame.
 */
static __always_inline enum parsed parse_l4(struct packet *p, void *end, u32 length, bool v6)
{
	u8 protocol = p->key.protocol;

	if (protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = p->l4;

		if ((void *)(tcp + 1) > end || length < sizeof(*tcp))
			return PARSED_MALFORMED;
		p->key.sport = tcp->source;
		p->key.dport = tcp->dest;
		p->tcp_flags = ((u8 *)tcp)[13];
		return PARSED_FLOW;
	}
	if (protocol == IPPROTO_UDP) {
		struct udphdr *udp = p->l4;

		if ((void *)(udp + 1) > end || length < sizeof(*udp))
			return PARSED_MALFORMED;
		p->key.sport = udp->source;
		p->key.dport = udp->dest;
		return PARSED_FLOW;
	}
	if (protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		if (p->l4 + sizeof(struct icmp_echo) > end || length < sizeof(struct icmp_echo))
			return PARSED_MALFORMED;
		return parse_icmp(p, v6);
	}
	if (protocol == IPPROTO_SCTP) {
		be16 *port = p->l4;

		/* RFC 9260: ports, verification tag, checksum */
		if (p->l4 + 12 > end || length < 12)
			return PARSED_MALFORMED;
		p->key.sport = port[0];
		p->key.dport = port[1];
		return PARSED_FLOW;
	}
	return PARSED_OTHER;
}

static __always_inline enum parsed parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + l2_length();
	u32 header;

	if ((void *)(ip + 1) > end)
		return PARSED_MALFORMED;
	p->eth = config.l3_device ? NULL : data;
	p->ip = ip;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || bpf_ntohs(ip->tot_len) < header ||
	    bpf_ntohs(ip->tot_len) > skb->len - l2_length())
		return PARSED_MALFORMED;
	p->l4 = (void *)ip + header;
	p->tcp_flags = 0;
	p->answer = false;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->later = 0;
	p->key.v4 = (struct flow4_key){
		.saddr = ip->saddr,
		.daddr = ip->daddr,
		.protocol = ip->protocol,
	};
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return PARSED_FRAGMENT;
	return parse_l4(p, end, bpf_ntohs(ip->tot_len) - header, false);
}

static __always_inline enum parsed parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + l2_length();
	u32 header = sizeof(*ip);
	u8 next;

	if ((void *)(ip + 1) > end)
		return PARSED_MALFORMED;
	if (ip->version != 6 || bpf_ntohs(ip->payload_len) + sizeof(*ip) > skb->len - l2_length())
		return PARSED_MALFORMED;
	next = ip->nexthdr;
	if (is_extension(next)) {
		int behind = skip_extensions(skb, l2_length() + sizeof(*ip), next);

		if (behind < 0)
			return PARSED_MALFORMED;
		header = (behind & 0xffff) - l2_length();
		next = behind >> 16;
		if (header > sizeof(*ip) + MAX_EXTENSION_LENGTH ||
		    header > sizeof(*ip) + bpf_ntohs(ip->payload_len))
			return PARSED_MALFORMED;
		if (make_linear(skb, l2_length() + header + sizeof(struct tcphdr)))
			return PARSED_MALFORMED;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		ip = data + l2_length();
		if ((void *)(ip + 1) > end)
			return PARSED_MALFORMED;
		if (behind & BEHIND_FRAGMENT)
			header = 0;
		/* less than this it is: verifiers before 6.8 forget that of a word on the stack */
		barrier_var(header);
		header &= HEADER_MASK;
	}
	p->eth = config.l3_device ? NULL : data;
	p->ip = ip;
	p->l4 = (void *)ip + header;
	p->tcp_flags = 0;
	p->answer = false;
	p->tos = bpf_ntohs(*(be16 *)ip) >> 4;
	p->ttl = ip->hop_limit;
	p->later = 0;
	p->key.sport = 0;
	p->key.dport = 0;
	p->key.protocol = next;
	__builtin_memset(p->key.pad, 0, sizeof(p->key.pad));
	__builtin_memcpy(&p->key.v6.saddr, &ip->saddr, sizeof(ipv6_addr));
	__builtin_memcpy(&p->key.v6.daddr, &ip->daddr, sizeof(ipv6_addr));
	if (!header)
		return PARSED_FRAGMENT;
	return parse_l4(p, end, sizeof(*ip) + bpf_ntohs(ip->payload_len) - header, true);
}

/* Parses from the network header on. Voids earlier packet pointers. */
static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *p, bool v6)
{
	return v6 ? parse_ipv6(skb, p) : parse_ipv4(skb, p);
}

static __always_inline bool is_multicast(const u8 *mac)
{
	return mac[0] & 1;
}

/* IEEE 802.1D and 802.1Q: what bridges say to each other, spanning tree and LLDP among it. */
static __always_inline bool is_of_bridges(const u8 *mac)
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2;
}

/* A VLAN tag in the frame itself: the second one where the kernel has taken one out. */
static __always_inline bool is_tag(be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool mac_equal(const void *a, const void *b)
{
	return *(u32 *)a == *(u32 *)b && *(u16 *)(a + 4) == *(u16 *)(b + 4);
}

/* In halfwords: on the stack an Ethernet header is aligned to no more. */
static __always_inline void mac_copy(void *to, const void *from)
{
	u16 *t = to;
	const u16 *f = from;

	t[0] = f[0];
	t[1] = f[1];
	t[2] = f[2];
}

#endif
