// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc egress of a network's bridge: what the host's own stack sends to
 * containers. Unicast goes on to the port that the static forwarding entry
 * names; the ports do not flood, so broadcast is cloned to them here.
 */
#include "../lib/broadcast.h"
#include "../lib/count.h"
#include "../lib/parse.h"

#define HOOK HOOK_BRIDGE_EGRESS

SEC("tc")
int bridge_egress(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	u32 ifindex = skb->ifindex;

	if ((void *)(eth + 1) <= (void *)(long)skb->data_end && is_multicast(eth->h_dest)) {
		struct device *device = bpf_map_lookup_elem(&devices, &ifindex);

		if (device)
			clone_to_members(skb, device->id, 0);
	}
	return pass(skb, HOOK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
