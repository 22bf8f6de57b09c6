// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc egress of a network's bridge: what the host's own stack sends to
 * containers. Unicast goes on to the port that the static forwarding entry
 * names; broadcast the bridge sends to every port, since the ports' flood
 * settings do not bind what the bridge itself sends (br_flood()).
 */
#include "../lib/count.h"

#define HOOK HOOK_BRIDGE_EGRESS

SEC("tc")
int bridge_egress(struct __sk_buff *skb)
{
	return pass(skb, HOOK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
