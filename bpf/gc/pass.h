/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One pass over the tables: which flows are over, and how many there are of each kind. */
#ifndef SLUICE_GC_PASS_H
#define SLUICE_GC_PASS_H

#include "../lib/config.h"
#include "../lib/flow.h"
#include "../lib/share.h"
#include "../maps/collector.h"
#include "../maps/endpoint.h"
#include "../maps/flow.h"
#include "../maps/service.h"
#include "../maps/socket.h"

struct pass {
	u32 now;  /* tick */
	u32 half; /* of port_use that is being counted */
	u64 seed;
	u32 active[FLOW_PROTOCOLS];
	u32 ports[PORT_USES];
	s32 entries;
};

static __always_inline u32 lifetime(u32 state, u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return ticks(state & FLOW_ESTABLISHED && !flow_closing(state)
				     ? config.tcp_established
				     : config.tcp_transitory);
	if (protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP)
		return ticks(state & FLOW_ANSWERED ? config.udp_answered : config.udp_oneway);
	return ticks(config.icmp);
}

/* NULL: it is no more, or a half that goes to it goes to another one's container. */
static __always_inline struct service_backend *backend_of(const struct flow *flow)
{
	u32 id = flow->publish;
	struct service_backend *backend = bpf_map_lookup_elem(&service_backends, &id);
	struct endpoint *ep = backend ? bpf_map_lookup_elem(&endpoints, &backend->endpoint) : NULL;

	if (!ep || backend->state == BACKEND_NONE || ep->generation != backend->generation)
		return NULL;
	if (!(flow->flags & FLOW_REPLY) &&
	    (backend->endpoint != flow->endpoint || backend->generation != flow->generation))
		return NULL;
	return backend;
}

/*
 * Idle in both directions for longer than allowed, or its container is gone.
 * An established flow of a service is allowed what the backend says. Without
 * that backend a connection stays for as long as one that closes: it has yet
 * to tell its client, who may wait for an answer (backend_may_finish).
 */
static __always_inline bool is_over(const union any_key *key, const struct flow *flow, u32 now,
				    bool v6)
{
	u32 slot = flow->endpoint;
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &slot);
	u32 limit = lifetime(flow->state, key->protocol);
	struct service_backend *backend;
	union any_key pkey;
	struct flow *partner;

	if (flow_rests(flow))
		return (s32)(now - flow->seen) > (s32)ticks(config.port_rest);
	if (flow->endpoint && ep && flow_dead(flow, ep))
		return true;
	if (flow->flags & FLOW_SERVICE) {
		backend = backend_of(flow);
		if (!backend && key->protocol != IPPROTO_TCP)
			return true;
		if (!backend)
			limit = ticks(config.tcp_transitory);
		else if (backend->idle && flow->state & FLOW_ESTABLISHED &&
			 !flow_closing(flow->state))
			limit = ticks(backend->idle);
	}
	/* signed: a packet may have come in since the pass began */
	if ((s32)(now - flow->seen) <= (s32)limit)
		return false;
	flow_reply_key(key, flow, &pkey, v6);
	partner = flow_find(&pkey, v6);
	return !partner || flow_rests(partner) || !flow_partner_of(key, partner, v6) ||
	       (s32)(now - partner->seen) > (s32)limit;
}

static __always_inline void count_for_endpoint(u32 slot)
{
	struct endpoint_load *load = bpf_map_lookup_elem(&endpoint_load, &slot);

	if (load)
		load->counted++;
}

static __always_inline void count_for_backend(const struct flow *flow)
{
	u32 id = flow->publish;
	struct backend_load *load = bpf_map_lookup_elem(&backend_load, &id);

	if (load && backend_of(flow))
		load->counted++;
}

static __always_inline void count_port(struct pass *pass, enum port_use_of of, u64 hash)
{
	u32 *count = share_counter(pass->half, of, hash);

	if (count && ++*count > pass->ports[of])
		pass->ports[of] = *count;
}

static __always_inline void count_ports(struct pass *pass, const union any_key *key,
					const struct flow *flow, bool v6)
{
	u64 hash;

	if (!holds_port(flow) || flow_rests(flow) || flow_finished(flow->state))
		return;
	hash = share_hash(pass->seed, key, v6);
	count_port(pass, PORT_USE_DESTINATION, hash);
	count_port(pass, PORT_USE_ENDPOINT, share_hash_endpoint(hash, flow->endpoint));
}

/* Counts an entry of a table that stays, or answers true: it is over. */
static __always_inline bool judge_family(const union any_key *key, struct flow *flow,
					 struct pass *pass, bool v6)
{
	struct flow_counts *counts = flow_counts(key->protocol);
	bool first_half = !(flow->flags & FLOW_REPLY);

	if (!is_over(key, flow, pass->now, v6)) {
		pass->active[flow_protocol_of(key->protocol)] += first_half;
		if (first_half && flow->flags & FLOW_SERVICE)
			count_for_backend(flow);
		if (first_half)
			count_for_endpoint(flow->endpoint);
		else
			count_ports(pass, key, flow, v6);
		pass->entries++;
		return false;
	}
	if (flow_to_rest(key->protocol, flow) && config.port_rest) {
		flow->seen = pass->now;
		flow->flags |= FLOW_RESTS;
		pass->entries++;
		return false;
	}
	if (first_half && counts)
		counts->expired++;
	return true;
}

/* Not static: verified once, whatever the number of its callers. */
__noinline int judge4(const struct flow4_key *key, struct flow4 *flow, struct pass *pass)
{
	return key && flow && pass &&
	       judge_family((const union any_key *)key, (struct flow *)flow, pass, false);
}

__noinline int judge6(const struct flow6_key *key, struct flow6 *flow, struct pass *pass)
{
	return key && flow && pass &&
	       judge_family((const union any_key *)key, (struct flow *)flow, pass, true);
}

/* A copy of the key: such calls do not take what is read-only. */
static __always_inline long visit4(void *map, const struct flow4_key *key, struct flow4 *flow,
				   struct pass *pass)
{
	struct flow4_key copy = *key;

	if (judge4(&copy, flow, pass))
		bpf_map_delete_elem(map, &copy);
	return 0;
}

static __always_inline long visit6(void *map, const struct flow6_key *key, struct flow6 *flow,
				   struct pass *pass)
{
	struct flow6_key copy = *key;

	if (judge6(&copy, flow, pass))
		bpf_map_delete_elem(map, &copy);
	return 0;
}

static long visit_proven4(void *map, struct flow4_key *key, struct flow4 *flow, struct pass *pass)
{
	return visit4(&flows4, key, flow, pass);
}

static long visit_new4(void *map, struct flow4_key *key, struct flow4 *flow, struct pass *pass)
{
	return visit4(&flows4_new, key, flow, pass);
}

static long visit_proven6(void *map, struct flow6_key *key, struct flow6 *flow, struct pass *pass)
{
	return visit6(&flows6, key, flow, pass);
}

static long visit_new6(void *map, struct flow6_key *key, struct flow6 *flow, struct pass *pass)
{
	return visit6(&flows6_new, key, flow, pass);
}

static long settle_load(void *map, u32 *slot, struct endpoint_load *load, void *unused)
{
	load->flows = load->counted;
	load->counted = 0;
	return 0;
}

static long settle_backend(void *map, u32 *id, struct backend_load *load, void *unused)
{
	load->active = load->counted;
	load->counted = 0;
	return 0;
}

static long clear_port_use(u32 index, u32 *first)
{
	u32 at = *first + index;
	u32 *count = bpf_map_lookup_elem(&port_use, &at);

	if (count)
		*count = 0;
	return 0;
}

/* Not static: verified once for both of its callers. */
__noinline int collect_once(u32 index)
{
	struct collector_state *state = bpf_map_lookup_elem(&collector_map, &index);
	struct share_state *share = share_get();
	u64 begun = bpf_ktime_get_ns();
	/* the clock of clock_tick, which programs of this type may not call */
	struct pass pass = {.now = begun >> TICK_SHIFT};
	u32 first, i;

	if (!share || !state)
		return 0;
	pass.seed = share->seed;
	pass.half = !share->half;
	first = pass.half * PORT_USES * PORT_USE_BUCKETS;
	bpf_loop(PORT_USES * PORT_USE_BUCKETS, clear_port_use, &first, 0);
	bpf_for_each_map_elem(&flows4, visit_proven4, &pass, 0);
	share->proven[0] = pass.entries;
	pass.entries = 0;
	bpf_for_each_map_elem(&flows6, visit_proven6, &pass, 0);
	share->proven[1] = pass.entries;
	for (i = 0; i < FLOW_PROTOCOLS; i++) {
		state->proven[i] = pass.active[i];
		pass.active[i] = 0;
	}
	bpf_for_each_map_elem(&flows4_new, visit_new4, &pass, 0);
	bpf_for_each_map_elem(&flows6_new, visit_new6, &pass, 0);
	for (i = 0; i < FLOW_PROTOCOLS; i++)
		state->fresh[i] = pass.active[i];
	share->half = pass.half;
	for (i = 0; i < PORT_USES; i++)
		state->ports[i] = pass.ports[i];
	bpf_for_each_map_elem(&endpoint_load, settle_load, NULL, 0);
	bpf_for_each_map_elem(&backend_load, settle_backend, NULL, 0);
	state->duration_ns = bpf_ktime_get_ns() - begun;
	state->passes++;
	return 0;
}

#endif
