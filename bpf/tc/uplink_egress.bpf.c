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
static __always_inline bool reply_is_taken(const struct flow4_key *key)
{
	struct flow4_key reply = {
		.saddr = key->daddr,
		.daddr = key->saddr,
		.sport = key->dport,
		.dport = key->sport,
		.protocol = key->protocol,
	};
	struct flow4 *holder = flow4_find(&reply);

	return holder && holder->flags & FLOW_REPLY && holder->action == FLOW_TO_ENDPOINT &&
	       !(holder->flags & FLOW_AT_ENDPOINT);
}

static __always_inline int send_translated(struct __sk_buff *skb, struct packet *p,
					   const struct flow4 *flow)
{
	if (translate4(skb, p, flow, false, NULL))
		return drop(skb, HOOK, DROP_MALFORMED);
	return pass(skb, HOOK);
}

static __noinline int open_flow(struct __sk_buff *skb, struct packet *p)
{
	struct flow4 flow = {
		.saddr = p->key.saddr,
		.daddr = p->key.daddr,
		.sport = p->key.sport,
		.dport = p->key.dport,
		.ifindex = skb->ifindex,
		.action = FLOW_ON,
		.flags = FLOW_AT_HOST | FLOW_SNAT,
	};
	int reason = flow4_open(skb, &p->key, &flow, true);

	if (reason != DROP_NONE)
		return drop(skb, HOOK, reason);
	return send_translated(skb, p, &flow);
}

SEC("tc")
int uplink_egress(struct __sk_buff *skb)
{
	struct packet p = {};
	struct flow4 *flow;

	if (skb->mark == config.mark) {
		skb->mark = 0;
		return pass(skb, HOOK);
	}
	if (skb->protocol != bpf_htons(ETH_P_IP) || linearise(skb) ||
	    parse_ipv4(skb, &p) != PARSED_FLOW)
		return pass(skb, HOOK);
	flow = flow4_find(&p.key);
	if (flow && flow->flags & FLOW_AT_HOST) {
		if (flow4_due(flow, &p)) {
			flow4_maintain(skb, &p.key, p.tcp_flags, p.tos);
			flow = flow4_find(&p.key);
			if (!flow)
				return drop(skb, HOOK, DROP_NOT_A_FLOW);
		}
		return send_translated(skb, &p, flow);
	}
	if (opens_flow(&p) && reply_is_taken(&p.key))
		return open_flow(skb, &p);
	return pass(skb, HOOK);
}

char _license[] SEC("license") = "Dual BSD/GPL";
