/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Opening a flow through a published port. */
#ifndef SLUICE_LIB_PUBLISH_H
#define SLUICE_LIB_PUBLISH_H

#include "../maps/device.h"
#include "../maps/endpoint.h"
#include "../maps/publish.h"
#include "flow.h"
#include "snat.h"

/*
 * The publish that answers at this address and port, and its id in *id: that
 * of the very address first, then that of all addresses of the host.
 */
static __always_inline struct publish *publish4_find(const struct flow4_key *key, u32 slot, u32 *id)
{
	*id = 0;
	if (slot & PORT_SLOT_BY_ADDRESS) {
		struct publish_addr4_key at = {
			.addr = key->daddr,
			.port = key->dport,
			.protocol = key->protocol,
		};
		u32 *own = bpf_map_lookup_elem(&publish_addr4, &at);

		if (own)
			*id = *own;
	}
	if (!*id) {
		*id = slot & PORT_SLOT_ID;
		if (!*id || !bpf_map_lookup_elem(&host_addr4, &key->daddr))
			return NULL;
	}
	return bpf_map_lookup_elem(&publishes, id);
}

/*
 * A UDP socket of the host that is connected to this very peer: the packet is
 * an answer to it. TCP needs no such look: an answer is no bare SYN.
 */
static __always_inline bool host_is_connected(struct __sk_buff *skb, const struct flow4_key *key)
{
	struct bpf_sock *sk;
	bool connected;

	if (key->protocol != IPPROTO_UDP)
		return false;
	sk = host_socket(skb, key);
	if (!sk)
		return false;
	connected = sk->dst_port;
	bpf_sk_release(sk);
	return connected;
}

/* Fills what a published flow's first half has in common on every hook. */
static __always_inline void publish4_target(const struct flow4_key *key,
					    const struct publish *publish, u32 id,
					    struct flow4 *flow)
{
	flow->saddr = key->saddr;
	flow->sport = key->sport;
	flow->daddr = publish->addr4;
	flow->dport = bpf_htons(bpf_ntohs(key->dport) - publish->host_port + publish->port);
	flow->endpoint = publish->endpoint;
	flow->generation = publish->generation;
	flow->action = FLOW_TO_ENDPOINT;
	flow->flags = FLOW_PUBLISHED;
	flow->publish = id;
}

/* Only a bare SYN opens a TCP flow. */
static __always_inline bool opens_flow(const struct packet *p)
{
	return p->key.protocol != IPPROTO_TCP ||
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

#endif
