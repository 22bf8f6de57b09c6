// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * The second lock: clsact filters that the kernel holds by itself, without pin
 * or daemon, and that close what is open when a program of ours is not there.
 * Where it is, its verdict ends tc's work and the guard of a port never runs.
 */
#include "../lib/count.h"

/* include/uapi/linux/if_packet.h */
#define PACKET_LOOPBACK 5

/* tc ingress of a veth, behind its program: nobody has looked at this packet. */
SEC("tc")
int guard_port(struct __sk_buff *skb)
{
	return drop(skb, HOOK_ENDPOINT_INGRESS, DROP_NO_PROGRAM);
}

/*
 * tc ingress of a bridge: what came up from its ports, and the host's own
 * multicast, which its stack hands back to itself.
 */
SEC("tc")
int guard_to_host(struct __sk_buff *skb)
{
	return was_let_through(skb) || skb->pkt_type == PACKET_LOOPBACK
		       ? TCX_NEXT
		       : drop(skb, HOOK_ENDPOINT_INGRESS, DROP_NO_PROGRAM);
}

/*
 * tc egress of a bridge: what the host itself sends came in by no device. The
 * kernel forwards nothing to containers; our programs do, and not by this way.
 */
SEC("tc")
int guard_forward(struct __sk_buff *skb)
{
	return !skb->ingress_ifindex || was_let_through(skb)
		       ? TCX_NEXT
		       : drop(skb, HOOK_BRIDGE_EGRESS, DROP_NO_PROGRAM);
}

char _license[] SEC("license") = "Dual BSD/GPL";
