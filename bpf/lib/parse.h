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
#include <linux/tcp.h>
#include <linux/udp.h>

#include "../maps/flow.h"
#include "bpf.h"
#include "config.h"
#include "types.h"

#define IPV4_FRAGMENT 0x3fff /* MF or an offset, host order */

/* RFC 792. The kernel's header pulls in libc's. */
struct icmp_echo {
	u8 type;
	u8 code;
	u16 checksum;
	be16 id;
	be16 sequence;
};

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_ECHO = 8,
};

enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

enum parsed {
	PARSED_FLOW,	 /* TCP, UDP or echo: key, l4 and tcp_flags are set */
	PARSED_FRAGMENT, /* ip is set; there may be no ports */
	PARSED_OTHER,	 /* ip is set; some other protocol or ICMP message */
	PARSED_MALFORMED,
	PARSED_NOT_IPV4,
};

struct packet {
	struct ethhdr *eth; /* NULL on an L3 device */
	struct iphdr *ip;
	/* TCP: 20 bytes, UDP and ICMP: 8 */
	void *l4;
	u8 tcp_flags; /* 0 unless TCP */
	u8 tos;
	u8 ttl;
	struct flow4_key key;
};

static __always_inline u32 l2_length(void)
{
	return config.l3_device ? 0 : ETH_HLEN;
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
		want = l2_length() + (*ip & 15) * 4 + sizeof(struct tcphdr);
	if (have >= want)
		return 0;
	return bpf_skb_pull_data(skb, skb->len < want ? skb->len : want);
}

static __always_inline enum parsed parse_l4(struct packet *p, void *end)
{
	struct iphdr *ip = p->ip;

	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = p->l4;

		if ((void *)(tcp + 1) > end)
			return PARSED_MALFORMED;
		p->key.sport = tcp->source;
		p->key.dport = tcp->dest;
		p->tcp_flags = ((u8 *)tcp)[13];
		return PARSED_FLOW;
	}
	if (ip->protocol == IPPROTO_UDP) {
		struct udphdr *udp = p->l4;

		if ((void *)(udp + 1) > end)
			return PARSED_MALFORMED;
		p->key.sport = udp->source;
		p->key.dport = udp->dest;
		return PARSED_FLOW;
	}
	if (ip->protocol == IPPROTO_ICMP) {
		struct icmp_echo *icmp = p->l4;

		if ((void *)(icmp + 1) > end)
			return PARSED_MALFORMED;
		if (icmp->type == ICMP_ECHO)
			p->key.sport = icmp->id;
		else if (icmp->type == ICMP_ECHOREPLY)
			p->key.dport = icmp->id;
		else
			return PARSED_OTHER;
		return PARSED_FLOW;
	}
	return PARSED_OTHER;
}

/* Parses from the network header on; p->key is complete on PARSED_FLOW. */
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
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return PARSED_FRAGMENT;
	p->l4 = (void *)ip + header;
	p->tcp_flags = 0;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->key = (struct flow4_key){
		.saddr = ip->saddr,
		.daddr = ip->daddr,
		.protocol = ip->protocol,
	};
	return parse_l4(p, end);
}

static __always_inline bool is_multicast(const u8 *mac)
{
	return mac[0] & 1;
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
