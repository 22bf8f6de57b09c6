/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ICMP errors about a flow's packets, translated as those packets were, the
 * other way round, the quoted headers included (RFC 5508, REQ-3 to REQ-5).
 */
#ifndef SLUICE_LIB_ICMP_H
#define SLUICE_LIB_ICMP_H

#include "deliver.h"
#include "flow.h"
#include "maintain.h"
#include "parse.h"

/* Where things are in the packet: offsets from its start. */
struct quoted {
	u32 icmp;
	u32 ip;
	u32 l4;
	u32 end; /* as the outer header has it; what lies behind only fills up the frame */
};

/* Offset of the layer-4 checksum that a change of ports shows in, or 0. */
static __always_inline u32 l4_checksum_offset(u8 protocol, bool v6)
{
	if (protocol == IPPROTO_TCP)
		return offsetof(struct tcphdr, check);
	if (protocol == IPPROTO_UDP)
		return offsetof(struct udphdr, check);
	if (protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return offsetof(struct icmp_echo, checksum);
	return 0;
}

union ip_header {
	struct iphdr v4;
	struct ipv6hdr v6;
};
_Static_assert(sizeof(union ip_header) <= sizeof(union any_flow), "read into the scratch");

/*
 * Reads the quoted packet, and answers in *key what a packet towards its
 * sender carries: the key of the flow's half that the error belongs to. Not
 * 0: no flow's packet, or only a later fragment of one. `ip`: room to read to.
 */
static __always_inline int read_quoted(struct __sk_buff *skb, struct quoted *at, union any_key *key,
				       union ip_header *ip, bool v6)
{
	struct icmp_echo l4;

	__builtin_memset(key, 0, sizeof(*key));
	if (v6) {
		u8 next;

		if (bpf_skb_load_bytes(skb, at->ip, &ip->v6, sizeof(ip->v6)) || ip->v6.version != 6)
			return -1;
		addr_copy(&key->v6.saddr, &ip->v6.daddr, true);
		addr_copy(&key->v6.daddr, &ip->v6.saddr, true);
		at->l4 = at->ip + sizeof(ip->v6);
		next = ip->v6.nexthdr;
		if (is_extension(next)) {
			int behind = skip_extensions(skb, at->l4, next);

			if (behind < 0 || behind & BEHIND_FRAGMENT)
				return -1;
			at->l4 = behind & 0xffff;
			next = behind >> 16;
		}
		key->protocol = next;
	} else {
		if (bpf_skb_load_bytes(skb, at->ip, &ip->v4, sizeof(ip->v4)) ||
		    ip->v4.version != 4 || ip->v4.ihl < 5 || ip->v4.frag_off & bpf_htons(0x1fff))
			return -1;
		key->v4.saddr = ip->v4.daddr;
		key->v4.daddr = ip->v4.saddr;
		at->l4 = at->ip + ip->v4.ihl * 4;
		key->protocol = ip->v4.protocol;
	}
	if (at->l4 + sizeof(l4) > at->end || bpf_skb_load_bytes(skb, at->l4, &l4, sizeof(l4)))
		return -1;
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP ||
	    key->protocol == IPPROTO_SCTP) {
		__builtin_memcpy(&key->dport, &l4, sizeof(be16));
		__builtin_memcpy(&key->sport, (void *)&l4 + 2, sizeof(be16));
		return 0;
	}
	if (key->protocol != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return -1;
	if (l4.type == (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO))
		key->dport = l4.id;
	else if (l4.type == (v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY))
		key->sport = l4.id;
	else
		return -1;
	return 0;
}

static __always_inline int store16(struct __sk_buff *skb, u32 offset, u16 value)
{
	return bpf_skb_store_bytes(skb, offset, &value, sizeof(value), BPF_F_RECOMPUTE_CSUM);
}

/* Writes the quoted packet as its sender sent it. Answers the ICMP sum's difference in *delta. */
static __always_inline int write_quoted(struct __sk_buff *skb, const struct quoted *at,
					const struct flow *flow, u8 protocol, u16 *delta, bool v6)
{
	u32 size = v6 ? sizeof(ipv6_addr) : sizeof(ipv4_addr);
	u32 saddr = at->ip + (v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr));
	u32 field = l4_checksum_offset(protocol, v6);
	bool echo = protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	u16 changes = flow->port_delta;
	u16 sum;

	if (bpf_skb_store_bytes(skb, saddr, flow_daddr(flow, v6), size, BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, saddr + size, flow_saddr(flow, v6), size,
				BPF_F_RECOMPUTE_CSUM))
		return -1;
	*delta = flow->port_delta;
	if (v6) {
		*delta = csum_add(*delta, flow->addr_delta);
	} else {
		u32 check = at->ip + offsetof(struct iphdr, check);

		/* its own checksum outweighs the header's change */
		if (bpf_skb_load_bytes(skb, check, &sum, sizeof(sum)) ||
		    store16(skb, check, csum_update(sum, flow->addr_delta)))
			return -1;
	}
	if (v6 || !echo)
		changes = csum_add(changes, flow->addr_delta);
	if (echo) {
		if (store16(skb, at->l4 + offsetof(struct icmp_echo, id),
			    flow->sport | flow->dport))
			return -1;
	} else if (store16(skb, at->l4, flow->dport) || store16(skb, at->l4 + 2, flow->sport)) {
		return -1;
	}
	/* a short quote ends before TCP's checksum */
	if (field && at->l4 + field + sizeof(sum) <= at->end &&
	    !bpf_skb_load_bytes(skb, at->l4 + field, &sum, sizeof(sum)) &&
	    (sum || protocol != IPPROTO_UDP)) {
		sum = csum_update(sum, changes);
		if (store16(skb, at->l4 + field, !sum && protocol == IPPROTO_UDP ? 0xffff : sum))
			return -1;
		*delta = csum_add(*delta, ~changes);
	}
	return 0;
}

/* Writes the outer header: from `saddr` to the flow's sender, one hop less. */
static __always_inline int write_outer(struct __sk_buff *skb, union ip_header *ip,
				       const void *saddr, const void *daddr, u16 *delta, bool v6)
{
	u16 change;

	if (v6) {
		if (bpf_skb_load_bytes(skb, l2_length(), &ip->v6, sizeof(ip->v6)))
			return -1;
		*delta = csum_add(*delta, csum_add(addr_delta(&ip->v6.saddr, saddr, true),
						   addr_delta(&ip->v6.daddr, daddr, true)));
		addr_copy(&ip->v6.saddr, saddr, true);
		addr_copy(&ip->v6.daddr, daddr, true);
		ip->v6.hop_limit--;
		return bpf_skb_store_bytes(skb, l2_length(), &ip->v6, sizeof(ip->v6),
					   BPF_F_RECOMPUTE_CSUM);
	}
	if (bpf_skb_load_bytes(skb, l2_length(), &ip->v4, sizeof(ip->v4)))
		return -1;
	change = csum_add(csum_delta32(ip->v4.saddr, *(u32 *)saddr),
			  csum_delta32(ip->v4.daddr, *(u32 *)daddr));
	ip->v4.saddr = *(u32 *)saddr;
	ip->v4.daddr = *(u32 *)daddr;
	ip->v4.ttl--;
	ip->v4.check = csum_update(ip->v4.check, csum_add(change, TTL_DELTA));
	return bpf_skb_store_bytes(skb, l2_length(), &ip->v4, sizeof(ip->v4), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Both headers and the checksum over them, as calls for the sake of the stack.
 * `outer_source`: NULL where the outer header stays as it is.
 */
static __always_inline int write_error(struct __sk_buff *skb, const struct quoted *at,
				       const struct flow *flow, u8 protocol,
				       const void *outer_source, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	u16 delta;
	u16 sum;

	if (!scratch || write_quoted(skb, at, flow, protocol, &delta, v6))
		return -1;
	if (outer_source && write_outer(skb, (union ip_header *)&scratch->partner, outer_source,
					flow_daddr(flow, v6), &delta, v6))
		return -1;
	if (bpf_skb_load_bytes(skb, at->icmp + offsetof(struct icmp_message, checksum), &sum,
			       sizeof(sum)))
		return -1;
	return store16(skb, at->icmp + offsetof(struct icmp_message, checksum),
		       csum_update(sum, delta));
}

static __noinline int write_error4(struct __sk_buff *skb, const struct quoted *at,
				   const struct flow *flow, u8 protocol, const void *outer_source)
{
	return write_error(skb, at, flow, protocol, outer_source, false);
}

static __noinline int write_error6(struct __sk_buff *skb, const struct quoted *at,
				   const struct flow *flow, u8 protocol, const void *outer_source)
{
	return write_error(skb, at, flow, protocol, outer_source, true);
}

/* Where the packet ends by its own account. */
static __always_inline int outer_end(struct __sk_buff *skb, u32 *end, bool v6)
{
	u32 at = l2_length() +
		 (v6 ? offsetof(struct ipv6hdr, payload_len) : offsetof(struct iphdr, tot_len));
	be16 length;

	if (bpf_skb_load_bytes(skb, at, &length, sizeof(length)))
		return -1;
	*end = l2_length() + bpf_ntohs(length) + (v6 ? sizeof(struct ipv6hdr) : 0);
	return 0;
}

/* Not a verdict: the error belongs to no flow that enters at this hook. */
#define ERROR_OF_NO_FLOW (-100)

/* `outer`: the error's own addresses; `icmp`: its offset. */
static __always_inline int icmp_error_family(struct __sk_buff *skb, u32 hook,
					     const union any_key *outer, u32 icmp, u32 ttl, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct quoted at;
	struct endpoint *ep;
	struct flow *flow;
	const void *source;
	union ip_header *ip;
	union any_key *key;

	if (!scratch)
		return ERROR_OF_NO_FLOW;
	key = &scratch->pkey;
	ip = (union ip_header *)&scratch->partner;
	at.icmp = icmp;
	at.ip = at.icmp + sizeof(struct icmp_message);
	if (outer_end(skb, &at.end, v6))
		return ERROR_OF_NO_FLOW;
	if (read_quoted(skb, &at, key, ip, v6))
		return ERROR_OF_NO_FLOW;
	/* a container is on no way but its own */
	if (hook == HOOK_ENDPOINT_INGRESS &&
	    !addr_equal(key_saddr(outer, v6), key_saddr(key, v6), v6))
		return ERROR_OF_NO_FLOW;
	flow = flow_find(key, v6);
	if (!flow || (flow->flags & (FLOW_AT_ENDPOINT | FLOW_AT_HOST)) !=
			     (hook == HOOK_ENDPOINT_INGRESS ? FLOW_AT_ENDPOINT : 0))
		return ERROR_OF_NO_FLOW;
	ep = bpf_map_lookup_elem(&endpoints, &flow->endpoint);
	if (flow->action != FLOW_TO_HOST) {
		if (!ep || flow_dead(flow, ep))
			return ERROR_OF_NO_FLOW;
		if (ttl <= 1)
			return drop(skb, hook, DROP_TTL);
		if (flow->seen != clock_tick() && flow->action != FLOW_TO_ENDPOINT &&
		    flow_reroute(skb, key, flow, 0, v6) == FLOW_REFUSED)
			return drop(skb, hook, DROP_NO_ROUTE);
	}
	/* a container's own address never shows; a router on the way keeps its own */
	source = addr_equal(key_saddr(outer, v6), key_saddr(key, v6), v6) ? flow_saddr(flow, v6)
									  : key_saddr(outer, v6);
	if (flow->action == FLOW_TO_HOST)
		source = NULL;
	if (v6 ? write_error6(skb, &at, flow, key->protocol, source)
	       : write_error4(skb, &at, flow, key->protocol, source))
		return drop(skb, hook, DROP_MALFORMED);
	if (!source)
		return pass(skb, hook);
	/* seen to above; the verifier has forgotten */
	if (!ep)
		return ERROR_OF_NO_FLOW;
	if (flow->action == FLOW_TO_ENDPOINT && !config.l3_device &&
	    write_ethernet(skb, &ep->mac, &ep->gateway_mac, v6))
		return drop(skb, hook, DROP_MALFORMED);
	return send_by_flow(skb, hook, flow, ep, v6);
}

__noinline int icmp4_error(struct __sk_buff *skb, u32 hook, const union any_key *outer, u32 icmp,
			   u32 ttl)
{
	return !outer ? ERROR_OF_NO_FLOW : icmp_error_family(skb, hook, outer, icmp, ttl, false);
}

__noinline int icmp6_error(struct __sk_buff *skb, u32 hook, const union any_key *outer, u32 icmp,
			   u32 ttl)
{
	return !outer ? ERROR_OF_NO_FLOW : icmp_error_family(skb, hook, outer, icmp, ttl, true);
}

/* Translates and sends an ICMP error about a flow's packet, or answers ERROR_OF_NO_FLOW. */
static __always_inline int icmp_error(struct __sk_buff *skb, enum hook hook, const struct packet *p,
				      bool v6)
{
	u32 offset = l2_length() + (p->l4 - p->ip);

	return v6 ? icmp6_error(skb, hook, &p->key, offset, p->ttl)
		  : icmp4_error(skb, hook, &p->key, offset, p->ttl);
}

#endif
