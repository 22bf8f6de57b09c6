// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * XDP on an uplink, only where asked for (--xdp): drops what is addressed to a
 * container's own address before the kernel has made a packet of it, so that a
 * flood of such costs little. uplink_ingress drops the same when this is off;
 * on a veth, XDP costs TCP more than it saves.
 */
#include <linux/if_ether.h>
#include <linux/ip.h>

#include "../lib/config.h"
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

SEC("xdp")
int uplink_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	u32 bytes = end - data;
	struct endpoint *ep;
	struct network *net;
	u32 *slot;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	slot = bpf_map_lookup_elem(&ep_addr4, &ip->daddr);
	ep = slot ? bpf_map_lookup_elem(&endpoints, slot) : NULL;
	net = ep ? bpf_map_lookup_elem(&networks, &ep->net) : NULL;
	if (!net || !(net->flags & NETWORK_MASQUERADE))
		return XDP_PASS;
	count(&drops, DROP_DIRECT_ROUTING, bytes);
	count(&hook_traffic, HOOK_UPLINK_XDP * OUTCOMES + OUTCOME_DROPPED, bytes);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
