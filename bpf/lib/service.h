/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Flows through a service: where the first packet goes, and whether the next one still does. */
#ifndef SLUICE_LIB_SERVICE_H
#define SLUICE_LIB_SERVICE_H

#include "../maps/device.h"
#include "flow.h"
#include "parse.h"
#include "publish.h"
#include "service_choose.h"
#include "spoof.h"

/* Of a flow that is planned towards a VIP: what its backend is chosen by. */
static __always_inline u64 service_hash(const struct flow *flow, u8 protocol, bool v6)
{
	u64 hash = hash_mix((u64)flow->sport << 32 | (u32)flow->dport << 16 | protocol);
	const u32 *from = flow_saddr(flow, v6);
	const u32 *to = flow_daddr(flow, v6);

	hash = hash_mix(hash ^ ((u64)from[0] << 32 | to[0]));
	if (!v6)
		return hash;
	hash = hash_mix(hash ^ ((u64)from[1] << 32 | to[1]));
	hash = hash_mix(hash ^ ((u64)from[2] << 32 | to[2]));
	return hash_mix(hash ^ ((u64)from[3] << 32 | to[3]));
}

/*
 * A server that would take the client for itself, or could not find it: both
 * are one sandbox, or the network lets its containers not reach one another.
 */
static __always_inline bool hides_client(const struct endpoint *client,
					 const struct endpoint *server)
{
	struct network *net = bpf_map_lookup_elem(&networks, &server->net);

	return client->sandbox == server->sandbox ||
	       (client->net == server->net && net && net->flags & NETWORK_NO_ICC);
}

static __always_inline int plan_backend_family(struct flow *flow, u8 protocol, u32 client_slot,
					       bool v6)
{
	struct service_port *at = service_at(flow_daddr(flow, v6), flow->dport, protocol, v6);
	const u32 *source = flow_saddr(flow, v6);
	struct affinity_key client = {};
	struct service_backend *backend;
	struct endpoint *self, *target;
	u32 id;

	if (v6 && client_slot && is_link_local(source))
		return DROP_MARTIAN;
	if (!at) {
		at = service_at(flow_daddr(flow, v6), 0, 0, v6);
		if (at)
			service_count_refusal(at->service, SERVICE_REFUSED_PORT);
		return DROP_NO_SERVICE;
	}
	if (v6) {
		addr_copy(&client.client, source, true);
	} else {
		client.client.word[2] = bpf_htonl(0xffff);
		client.client.word[3] = source[0];
	}
	if (!service_allows(at, &client.client)) {
		service_count_refusal(at->service, SERVICE_REFUSED_SOURCE);
		return DROP_NOT_ALLOWED;
	}
	client.service = at->service;
	client.endpoint = client_slot;
	if (client_slot)
		__builtin_memset(&client.client, 0, sizeof(client.client));
	id = service_choose(at, &client,
			    at->flags & SERVICE_BY_FLOW ? service_hash(flow, protocol, v6) : 0);
	backend = bpf_map_lookup_elem(&service_backends, &id);
	target = id && backend ? bpf_map_lookup_elem(&endpoints, &backend->endpoint) : NULL;
	if (!target || !addr_is_set(ep_addr(target, v6), v6)) {
		service_count_refusal(at->service, SERVICE_REFUSED_NO_BACKEND);
		return DROP_NO_BACKEND;
	}
	flow->flags = (flow->flags & FLOW_AT_ENDPOINT) | FLOW_SERVICE;
	self = client_slot ? bpf_map_lookup_elem(&endpoints, &client_slot) : NULL;
	if (self && hides_client(self, target)) {
		addr_copy(flow_saddr(flow, v6), flow_daddr(flow, v6), v6);
		flow->flags |= FLOW_SNAT;
	}
	addr_copy(flow_daddr(flow, v6), ep_addr(target, v6), v6);
	flow->dport = at->port;
	flow->endpoint = backend->endpoint;
	flow->generation = backend->generation;
	flow->action = FLOW_TO_ENDPOINT;
	flow->publish = id;
	return DROP_NONE;
}

/* Not static: verified once, whatever the number of its callers. */
__noinline int plan_backend4(union any_flow *flow, u32 protocol, u32 client_slot)
{
	return !flow ? DROP_NO_BACKEND
		     : plan_backend_family((struct flow *)flow, protocol, client_slot, false);
}

__noinline int plan_backend6(union any_flow *flow, u32 protocol, u32 client_slot)
{
	return !flow ? DROP_NO_BACKEND
		     : plan_backend_family((struct flow *)flow, protocol, client_slot, true);
}

/*
 * Leads a first half that is planned from a client to a VIP and port on to a
 * backend. The client's address stays, but where its answers would get lost:
 * there the VIP stands for it. `client_slot`: its endpoint, 0 for somebody
 * outside. Answers DROP_NONE or why not.
 */
static __always_inline int plan_backend(struct flow *flow, u8 protocol, u32 client_slot, bool v6)
{
	union any_flow *any = (union any_flow *)flow;

	return v6 ? plan_backend6(any, protocol, client_slot)
		  : plan_backend4(any, protocol, client_slot);
}

static __always_inline void count_backend_traffic(struct __sk_buff *skb, u32 id)
{
	struct backend_traffic *traffic = bpf_map_lookup_elem(&backend_traffic, &id);

	if (traffic)
		count_traffic((struct traffic *)traffic, skb);
}

/* Counts a flow that has been opened, and its first packet. */
static __always_inline void count_backend_flow(struct __sk_buff *skb, u32 id)
{
	struct backend_load *load = bpf_map_lookup_elem(&backend_load, &id);

	if (load)
		__sync_fetch_and_add(&load->flows, 1);
	count_backend_traffic(skb, id);
}

/* The backend is still the one that this half goes to, or that `sender` is. */
static __always_inline bool backend_is_of(const struct service_backend *backend,
					  const struct flow *flow, const struct endpoint *sender)
{
	struct endpoint *ep;

	if (!(flow->flags & FLOW_REPLY))
		return backend->endpoint == flow->endpoint &&
		       backend->generation == flow->generation;
	ep = bpf_map_lookup_elem(&endpoints, &backend->endpoint);
	return ep && sender && ep->generation == backend->generation &&
	       ep->sandbox == sender->sandbox;
}

/*
 * Whether a TCP segment of a backend that is none any more still goes to its
 * client: while the half towards the backend is there. The client's
 * acknowledgement finds that dead, and is answered by RST with the number that
 * the client expects. A client that only reads would hear nothing otherwise.
 */
static __always_inline bool backend_may_finish_family(u32 sandbox, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct flow *flow, *request;
	const union any_key *key;
	struct endpoint *ep;

	if (!scratch)
		return false;
	key = &scratch->key;
	flow = flow_find(key, v6);
	if (!flow || !(flow->flags & FLOW_REPLY))
		return false;
	flow_reply_key(key, flow, &scratch->pkey, v6);
	request = flow_find(&scratch->pkey, v6);
	if (!request || !(request->flags & FLOW_SERVICE) || !flow_partner_of(key, request, v6))
		return false;
	ep = bpf_map_lookup_elem(&endpoints, &request->endpoint);
	return ep && ep->sandbox == sandbox && !flow_dead(request, ep);
}

/* Calls, for the stack; the key is in the scratch. */
__noinline int backend_may_finish4(u32 sandbox)
{
	return backend_may_finish_family(sandbox, false);
}

__noinline int backend_may_finish6(u32 sandbox)
{
	return backend_may_finish_family(sandbox, true);
}

static __always_inline bool backend_may_finish(const union any_key *key,
					       const struct endpoint *sender, bool v6)
{
	if (!sender || key->protocol != IPPROTO_TCP)
		return false;
	scratch_put_key(key, v6);
	return v6 ? backend_may_finish6(sender->sandbox) : backend_may_finish4(sender->sandbox);
}

/*
 * Of a flow with FLOW_SERVICE, before anything is noted about the packet:
 * counts it for the backend, or answers false where the flow is dead. A
 * connection that is closed and opened anew is a new one, with a choice of its
 * own: clients that go round their ports reach backends that came since, and
 * none that drains. `sender`: whose hook this is; NULL on an uplink.
 */
static __always_inline bool service_goes_on(struct __sk_buff *skb, const struct packet *p,
					    const struct flow *flow, const struct endpoint *sender,
					    bool v6)
{
	struct service_backend *backend = bpf_map_lookup_elem(&service_backends, &flow->publish);

	if (!backend || backend->state == BACKEND_NONE || !backend_is_of(backend, flow, sender))
		return backend_may_finish(&p->key, sender, v6);
	if (p->tcp_flags && opens_flow(p) && flow_closing(flow->state))
		return false;
	count_backend_traffic(skb, flow->publish);
	return true;
}

#endif
