/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Opening a flow through a published port. */
#ifndef SLUICE_LIB_PUBLISH_H
#define SLUICE_LIB_PUBLISH_H

#include "../maps/device.h"
#include "../maps/endpoint.h"
#include "../maps/publish.h"
#include "flow.h"
#include "holders.h"
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
	addr_mapped(&source.source, key_saddr(key, v6), v6);
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

/*
 * A packet from the middle of a connection. Where its mapping is certain it
 * opens a flow as well: the connection may have had one that was idle for too
 * long, or that was lost, and both ends still hold it.
 */
static __always_inline bool picks_up(const struct packet *p)
{
	return p->key.protocol == IPPROTO_TCP &&
	       (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK;
}

static __always_inline int publish_is_certain_family(struct __sk_buff *skb,
						     const struct publish *publish, bool v6)
{
	struct endpoint *target = bpf_map_lookup_elem(&endpoints, &publish->endpoint);

	if (publish->flags & PUBLISH_SERVICE || !target ||
	    target->generation != publish->generation)
		return false;
	return v6 ? !is_asked_for6(skb) : !is_asked_for4(skb);
}

/* Calls, for the stack. */
static __noinline int publish_is_certain4(struct __sk_buff *skb, const struct publish *publish)
{
	return publish ? publish_is_certain_family(skb, publish, false) : false;
}

static __noinline int publish_is_certain6(struct __sk_buff *skb, const struct publish *publish)
{
	return publish ? publish_is_certain_family(skb, publish, true) : false;
}

/*
 * A connection whose packet has this key can only be that container's: it is
 * there, it is no connection of the host's own, and no service's, of which any
 * backend might have it.
 */
static __always_inline bool publish_is_certain(struct __sk_buff *skb, const struct publish *publish,
					       const union any_key *key, bool v6)
{
	scratch_put_key(key, v6);
	return v6 ? publish_is_certain6(skb, publish) : publish_is_certain4(skb, publish);
}

#endif
