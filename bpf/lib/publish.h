/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Opening a flow through a published port. */
#ifndef SLUICE_LIB_PUBLISH_H
#define SLUICE_LIB_PUBLISH_H

#include "../maps/device.h"
#include "../maps/endpoint.h"
#include "../maps/publish.h"
#include "flow.h"
#include "local.h"

/* The publish of this very address and port, or 0. */
static __always_inline u32 publish_of_address(const union any_key *key, bool v6)
{
	u32 *id;

	if (v6) {
		struct publish_addr6_key at = {
			.addr = key->v6.daddr,
			.port = key->dport,
			.protocol = key->protocol,
		};

		id = bpf_map_lookup_elem(&publish_addr6, &at);
	} else {
		struct publish_addr4_key at = {
			.addr = key->v4.daddr,
			.port = key->dport,
			.protocol = key->protocol,
		};

		id = bpf_map_lookup_elem(&publish_addr4, &at);
	}
	return id ? *id : 0;
}

/*
 * The publish that answers at this address and port, and its id in *id: that
 * of the very address first, then that of all addresses of the host.
 */
static __always_inline struct publish *publish_find(const union any_key *key, u32 slot, u32 *id,
						    bool v6)
{
	*id = slot & PORT_SLOT_BY_ADDRESS ? publish_of_address(key, v6) : 0;
	if (!*id) {
		*id = slot & PORT_SLOT_ID;
		if (!*id || !addr_is_local(key_daddr(key, v6), v6))
			return NULL;
	}
	return bpf_map_lookup_elem(&publishes, id);
}

/* The publish takes packets from this source. */
static __always_inline bool publish_allows(const struct publish *publish, u32 id,
					   const union any_key *key, bool v6)
{
	struct publish_allow_key source = {
		.prefix_length = 32 + 128,
		.publish = bpf_htonl(id),
	};

	if (!(publish->flags & PUBLISH_LIMITED))
		return true;
	if (v6) {
		source.source = key->v6.saddr;
	} else {
		source.source.word[2] = bpf_htonl(0xffff);
		source.source.word[3] = key->v4.saddr;
	}
	return bpf_map_lookup_elem(&publish_allow, &source);
}

/* Fills what a published flow's first half has in common on every hook. */
static __always_inline void publish_target(const union any_key *key, const struct publish *publish,
					   u32 id, struct flow *flow, bool v6)
{
	addr_copy(flow_saddr(flow, v6), key_saddr(key, v6), v6);
	addr_copy(flow_daddr(flow, v6),
		  v6 ? (const void *)&publish->addr6 : (const void *)&publish->addr4, v6);
	flow->sport = key->sport;
	flow->dport = bpf_htons(bpf_ntohs(key->dport) - publish->host_port + publish->port);
	flow->endpoint = publish->endpoint;
	flow->generation = publish->generation;
	flow->action = FLOW_TO_ENDPOINT;
	flow->flags = FLOW_PUBLISHED;
	flow->publish = id;
}

/* Only a bare SYN opens a TCP flow, only a request one of echoes. */
static __always_inline bool opens_flow(const struct packet *p)
{
	if (p->key.protocol == IPPROTO_TCP)
		return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return !p->answer;
}

#endif
