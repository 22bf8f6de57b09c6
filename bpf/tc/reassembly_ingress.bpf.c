// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc ingress of the veth to the reassembly namespace: what comes back. Each
 * packet goes to the device that it came in by, as it came in there, and is
 * marked: that device's program takes it from here.
 */
#include "../lib/count.h"
#include "../lib/csum.h"
#include "../lib/ethernet.h"
#include "../lib/fragment_way.h"

#define HOOK HOOK_REASSEMBLY_INGRESS

/* The namespace has taken a hop off. */
static __always_inline int restore_hop(struct __sk_buff *skb, bool v6)
{
	u8 hops;
	u16 sum;

	if (v6) {
		u32 at = l2_length() + offsetof(struct ipv6hdr, hop_limit);

		if (bpf_skb_load_bytes(skb, at, &hops, sizeof(hops)))
			return -1;
		hops++;
		return bpf_skb_store_bytes(skb, at, &hops, sizeof(hops), BPF_F_RECOMPUTE_CSUM);
	}
	if (bpf_skb_load_bytes(skb, l2_length() + offsetof(struct iphdr, ttl), &hops,
			       sizeof(hops)) ||
	    bpf_skb_load_bytes(skb, l2_length() + offsetof(struct iphdr, check), &sum, sizeof(sum)))
		return -1;
	hops++;
	sum = csum_update(sum, bpf_htons(0x0100));
	return bpf_skb_store_bytes(skb, l2_length() + offsetof(struct iphdr, ttl), &hops,
				   sizeof(hops), BPF_F_RECOMPUTE_CSUM) ||
			       bpf_skb_store_bytes(skb, l2_length() + offsetof(struct iphdr, check),
						   &sum, sizeof(sum), BPF_F_RECOMPUTE_CSUM)
		       ? -1
		       : 0;
}

static __always_inline int back(struct __sk_buff *skb, bool v6)
{
	struct fragment_pair pair = {};
	struct fragment_way *way;

	if (read_pair(skb, &pair, v6))
		return drop(skb, HOOK, DROP_MALFORMED);
	/* the namespace's own: it tells routers what it listens to */
	if (v6 && *(u8 *)&pair.daddr == 0xff)
		return TCX_DROP;
	way = bpf_map_lookup_elem(&fragment_ways, &pair);
	if (!way)
		return drop(skb, HOOK, DROP_FRAGMENT);
	if (restore_hop(skb, v6) || write_ethernet(skb, &way->to, &way->from, v6))
		return drop(skb, HOOK, DROP_MALFORMED);
	skb->mark = mark_in_order();
	count_outcome(skb, HOOK, OUTCOME_PASSED);
	return bpf_redirect(way->ifindex, BPF_F_INGRESS);
}

SEC("tc")
int reassembly_ingress(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return back(skb, false);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return back(skb, true);
	return TCX_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
