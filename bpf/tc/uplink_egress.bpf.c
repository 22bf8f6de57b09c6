// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * tc egress of an uplink: what the host's own stack sends, and what our other
 * programs have sent already. A host's packet whose reply would be taken for a
 * container's gets another source port.
 */
#include "../lib/count.h"
#include "../lib/flow.h"
#include "../lib/maintain.h"
#include "../lib/nat.h"
#include "../lib/publish.h"
#include "../lib/snat.h"

#define HOOK HOOK_UPLINK_EGRESS

/* A container's flow holds the reply's key. */
static __always_inline bool reply_is_taken(const union any_key *key, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct flow *holder;

	if (!scratch)
		return false;
	key_reverse(key, &scratch->pkey, v6);
	holder = flow_find(&scratch->pkey, v6);
	return holder && holder->flags & FLOW_REPLY && holder->action == FLOW_TO_ENDPOINT &&
	       !(holder->flags & FLOW_AT_ENDPOINT);
}

/* Calls: rare, and their stack is not needed where a flow is opened. */
static __noinline int send_translated4(struct __sk_buff *skb, struct packet *p,
				       const struct flow *flow)
{
	return translate(skb, p, flow, false, NULL, false) ? drop(skb, HOOK, DROP_MALFORMED)
							   : pass(skb, HOOK);
}

static __noinline int send_translated6(struct __sk_buff *skb, struct packet *p,
				       const struct flow *flow)
{
	return translate(skb, p, flow, false, NULL, true) ? drop(skb, HOOK, DROP_MALFORMED)
							  : pass(skb, HOOK);
}

static __always_inline int send_translated(struct __sk_buff *skb, struct packet *p,
					   const struct flow *flow, bool v6)
{
	return v6 ? send_translated6(skb, p, flow) : send_translated4(skb, p, flow);
}

/* Verified on its own; parses again, since packet pointers do not pass. */
static __always_inline int open_flow_family(struct __sk_buff *skb, bool v6)
{
	struct flow *flow = flow_plan();
	struct packet p;
	int reason;

	if (!flow || parse(skb, &p, v6) != PARSED_FLOW)
		return pass(skb, HOOK);
	addr_copy(flow_saddr(flow, v6), key_saddr(&p.key, v6), v6);
	addr_copy(flow_daddr(flow, v6), key_daddr(&p.key, v6), v6);
	flow->sport = p.key.sport;
	flow->dport = p.key.dport;
	flow->ifindex = skb->ifindex;
	flow->action = FLOW_ON;
	flow->flags = FLOW_AT_HOST | FLOW_SNAT;
	reason = flow_open(skb, &p.key, true, v6);
	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	return send_translated(skb, &p, flow, v6);
}

__noinline int open_flow4(struct __sk_buff *skb)
{
	return open_flow_family(skb, false);
}

__noinline int open_flow6(struct __sk_buff *skb)
{
	return open_flow_family(skb, true);
}

static __always_inline int from_host(struct __sk_buff *skb, bool v6)
{
	struct packet p;
	struct flow *flow;

	if (linearise(skb) || parse(skb, &p, v6) != PARSED_FLOW)
		return pass(skb, HOOK);
	flow = flow_find(&p.key, v6);
	if (flow && flow->flags & FLOW_AT_HOST) {
		if (flow_due(flow, &p))
			flow = flow_maintain(skb, &p, v6);
		if (flow)
			return send_translated(skb, &p, flow, v6);
	}
	if (opens_flow(&p) && reply_is_taken(&p.key, v6))
		return v6 ? open_flow6(skb) : open_flow4(skb);
	return pass(skb, HOOK);
}

SEC("tc")
int uplink_egress(struct __sk_buff *skb)
{
	if (skb->mark == config.mark) {
		skb->mark = 0;
		return pass(skb, HOOK);
	}
	/* of a VLAN's device above, whose program has seen it and cleared the mark */
	if (skb->vlan_present)
		return pass(skb, HOOK);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return from_host(skb, false);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return from_host(skb, true);
	return pass(skb, HOOK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
