// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * XDP on an uplink, only where asked for (--xdp): drops what is addressed to a
 * container's own address before the kernel has made a packet of it, so that a
 * flood of such costs little. uplink_ingress drops the same when this is off;
 * on a veth, XDP costs TCP more than it saves.
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "../lib/config.h"
#include "../lib/exempt.h"
#include "../maps/device.h"
#include "../maps/endpoint.h"
#include "../maps/metrics.h"

static __always_inline void count(void *map, u32 index, u32 bytes)
{
	struct traffic *t = bpf_map_lookup_elem(map, &index);

	if (t) {
		t->packets++;
		t->bytes += bytes;
	}
}

/*
 * Containers have asked for it under their own address, or it may be an error
 * from somewhere on the way there: uplink_ingress looks for the flow.
 */
static __always_inline bool may_be_asked_for(const void *source, u8 protocol, bool v6)
{
	return config.exempt &&
	       (protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || is_exempt(source, v6));
}

static __always_inline int drop_direct(const void *source, const u32 *slot, u8 protocol, u32 bytes,
				       bool v6)
{
	struct endpoint *ep = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	struct network *net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;

	if (!net || !(net->flags & NETWORK_MASQUERADE) || may_be_asked_for(source, protocol, v6))
		return XDP_PASS;
	count(&drops, DROP_DIRECT_ROUTING, bytes);
	count(&hook_traffic, HOOK_UPLINK_XDP * OUTCOMES + OUTCOME_DROPPED, bytes);
	return XDP_DROP;
}

SEC("xdp")
int uplink_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct iphdr *ip = (void *)(eth + 1);
	u32 bytes = end - data;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return drop_direct(&ip->saddr, bpf_map_lookup_elem(&ep_addr4, &ip->daddr),
				   ip->protocol, bytes, false);
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > end)
		return XDP_PASS;
	return drop_direct(&ip6->saddr, bpf_map_lookup_elem(&ep_addr6, &ip6->daddr), ip6->nexthdr,
			   bytes, true);
}

char _license[] SEC("license") = "Dual BSD/GPL";
