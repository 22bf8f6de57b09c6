/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Opening a flow, with a source port of its own where one is needed.
 *
 * The reply's entry, inserted with "must not exist", is the only lock: whoever
 * inserts it owns the port towards that destination. Insert into the table of
 * new flows first, then look into that of proven ones: a promotion inserts
 * there before it deletes here, so one of the two looks finds the holder.
 */
#ifndef SLUICE_LIB_SNAT_H
#define SLUICE_LIB_SNAT_H

#include "../maps/metrics.h"
#include "../maps/publish.h"
#include "count.h"
#include "flow.h"

/* Index of a protocol's part of port_slots, or PORT_TABLES if it has none. */
static __always_inline u32 port_table(u8 protocol)
{
	return protocol == IPPROTO_TCP	 ? PORT_TABLE_TCP
	       : protocol == IPPROTO_UDP ? PORT_TABLE_UDP
					 : PORT_TABLES;
}

/* The slot of a port, 0 where nothing is published. */
static __always_inline u32 port_slot(u8 protocol, be16 port)
{
	u32 table = port_table(protocol);
	u32 index = table << 16 | bpf_ntohs(port);
	u32 *slot = table < PORT_TABLES ? bpf_map_lookup_elem(&port_slots, &index) : NULL;

	return slot ? *slot : 0;
}

/* A socket of the host that a packet with this key would reach. */
static __always_inline struct bpf_sock *host_socket(struct __sk_buff *skb,
						    const struct flow4_key *key)
{
	struct bpf_sock_tuple tuple = {
		.ipv4.saddr = key->saddr,
		.ipv4.daddr = key->daddr,
		.ipv4.sport = key->sport,
		.ipv4.dport = key->dport,
	};

	if (key->protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (key->protocol == IPPROTO_UDP)
		return bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	return NULL;
}

/* A port of the host's own address that the host itself needs. */
static __always_inline bool port_held_by_host(struct __sk_buff *skb, const struct flow4_key *reply)
{
	struct bpf_sock *sk;

	if (port_slot(reply->protocol, reply->dport))
		return true;
	sk = host_socket(skb, reply);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* errno-base.h */
#define EEXIST 17

static __always_inline be16 random_port(void)
{
	u32 span = config.snat_port_max - config.snat_port_min + 1;

	return bpf_htons(config.snat_port_min + (u32)((u64)bpf_get_prandom_u32() * span >> 32));
}

static __always_inline void count_tries(u32 tries)
{
	u64 *count = bpf_map_lookup_elem(&snat_tries, &tries);

	if (count)
		(*count)++;
}

struct opening {
	struct __sk_buff *skb;
	const struct flow4_key *key;
	struct flow4 *flow;
	struct flow4_key pkey;
	struct flow4 partner;
	u32 host_address;
	u32 tries;
	enum drop_reason reason;
};

/*
 * Takes the source port in flow->sport for the flow, if nobody has it. On
 * success both halves are in the table of new flows.
 */
static __always_inline enum drop_reason flow4_claim(struct opening *o)
{
	const struct flow4_key *key = o->key;
	struct flow4 *holder;
	long err;

	if (o->host_address && port_held_by_host(o->skb, &o->pkey))
		return DROP_NO_PORT;
	flow4_set_deltas(key, o->flow);
	o->partner.addr_delta = ~o->flow->addr_delta;
	o->partner.port_delta = ~o->flow->port_delta;
	err = bpf_map_update_elem(&flows4_new, &o->pkey, &o->partner, BPF_NOEXIST);
	if (err == -EEXIST) {
		/* our own, whose other half was evicted: goes on where it was */
		holder = bpf_map_lookup_elem(&flows4_new, &o->pkey);
		if (!holder || !flow4_partner_of(key, holder) ||
		    holder->generation != o->partner.generation)
			return DROP_NO_PORT;
		bpf_map_update_elem(&flows4_new, &o->pkey, &o->partner, BPF_ANY);
	} else if (err) {
		return DROP_TABLE_FULL;
	}
	if (bpf_map_lookup_elem(&flows4, &o->pkey)) {
		bpf_map_delete_elem(&flows4_new, &o->pkey);
		return DROP_NO_PORT;
	}
	if (bpf_map_update_elem(&flows4_new, key, o->flow, BPF_ANY)) {
		bpf_map_delete_elem(&flows4_new, &o->pkey);
		return DROP_TABLE_FULL;
	}
	return DROP_NONE;
}

static long try_port(u32 index, struct opening *o)
{
	o->flow->sport = random_port();
	o->pkey.dport = o->flow->sport;
	o->flow->flags |= FLOW_SNAT;
	o->partner.flags |= FLOW_SNAT;
	o->tries = index + 1;
	o->reason = flow4_claim(o);
	return o->reason != DROP_NO_PORT;
}

/*
 * Opens a flow from its first half, all of which is set but the deltas. The
 * source port in flow->sport is kept if free, else one is picked at random
 * from the range, SNAT_TRIES tries in all. `host_address`: flow->saddr is an
 * address of the host, whose own ports are not to be taken. For echo the
 * identifier is the port. Answers DROP_NONE or why not.
 */
static __noinline int flow4_open(struct __sk_buff *skb, const struct flow4_key *key,
				 struct flow4 *flow, bool host_address)
{
	struct flow_counts *counts = flow_counts(key->protocol);
	struct opening o = {
		.skb = skb,
		.key = key,
		.flow = flow,
		.host_address = host_address,
	};

	flow->seen = flow->opened = clock_tick();
	flow4_partner(key, flow, &o.pkey, &o.partner);
	o.reason = flow4_claim(&o);
	if (o.reason == DROP_NO_PORT)
		bpf_loop(SNAT_TRIES - 1, try_port, &o, 0);
	if (host_address)
		count_tries(o.reason == DROP_NO_PORT ? SNAT_TRIES : o.tries);
	if (o.reason == DROP_NONE && counts)
		counts->opened++;
	return o.reason;
}

#endif
