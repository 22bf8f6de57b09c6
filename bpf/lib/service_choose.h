/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which backend of a service a new connection gets. For programs of any type:
 * nothing here knows packets.
 */
#ifndef SLUICE_LIB_SERVICE_CHOOSE_H
#define SLUICE_LIB_SERVICE_CHOOSE_H

#include "../maps/endpoint.h"
#include "../maps/publish.h"
#include "../maps/service.h"
#include "bpf.h"
#include "clock.h"
#include "rendezvous.h"
#include "types.h"

/*
 * Choices until one is alive: a container that left is in its services' slots
 * until user space has taken it out.
 */
#define SERVICE_TRIES 8

/* What answers at a port of a VIP; port 0 and protocol 0: the VIP itself. NULL: nothing. */
static __always_inline struct service_port *service_at(const void *vip, be16 port, u8 protocol,
						       bool v6)
{
	const u32 *word = vip;

	if (v6) {
		struct service6_key key = {
			.addr = {.word = {word[0], word[1], word[2], word[3]}},
			.port = port,
			.protocol = protocol,
		};

		return bpf_map_lookup_elem(&services6, &key);
	} else {
		struct service4_key key = {
			.addr = word[0],
			.port = port,
			.protocol = protocol,
		};

		return bpf_map_lookup_elem(&services4, &key);
	}
}

/* The backend, if it is this service's and its container is still the one that it names. */
static __always_inline struct service_backend *backend_alive(u32 id, u32 service)
{
	struct service_backend *backend = bpf_map_lookup_elem(&service_backends, &id);
	struct endpoint *ep;

	if (!id || !backend || backend->state == BACKEND_NONE || backend->service != service)
		return NULL;
	ep = bpf_map_lookup_elem(&endpoints, &backend->endpoint);
	return ep && ep->generation && ep->generation == backend->generation ? backend : NULL;
}

/* The same for new connections: it is not draining either. */
static __always_inline struct service_backend *backend_open(u32 id, u32 service)
{
	struct service_backend *backend = backend_alive(id, service);

	return backend && backend->state == BACKEND_ACTIVE ? backend : NULL;
}

/* A walk over a service's slots. */
struct service_walk {
	u64 question; /* rendezvous: the hash */
	u64 length;   /* the winner's */
	u32 slots;
	u32 left; /* random: how far to walk yet, in weights */
	u32 weight;
	u32 backend;
};

static long walk_random(u32 index, struct service_walk *walk)
{
	u32 at = walk->slots + index;
	struct service_slot *slot = bpf_map_lookup_elem(&service_slots, &at);

	if (!slot)
		return 1;
	walk->backend = slot->backend;
	if (walk->left < slot->weight)
		return 1;
	walk->left -= slot->weight;
	return 0;
}

static long walk_rendezvous(u32 index, struct service_walk *walk)
{
	u32 at = walk->slots + index;
	struct service_slot *slot = bpf_map_lookup_elem(&service_slots, &at);
	u64 length;

	if (!slot)
		return 1;
	length = rendezvous_draw(walk->question, slot->seed);
	if (walk->backend && !rendezvous_beats(length, slot->weight, walk->length, walk->weight))
		return 0;
	walk->length = length;
	walk->weight = slot->weight;
	walk->backend = slot->backend;
	return 0;
}

/* A number below `end` that the upper half of the hash decides. */
static __always_inline u32 hash_below(u64 hash, u32 end)
{
	return (hash >> 32) * end >> 32;
}

/* What the table has at the place that the hash decides. */
static __always_inline u32 service_by_table(const struct service_port *at, u64 hash)
{
	u32 place = at->table + hash_below(hash, at->places);
	u32 index = place / 4;
	struct service_places *places = bpf_map_lookup_elem(&service_table, &index);
	struct service_slot *slot;

	if (!places)
		return 0;
	index = at->slots + places->slot[place & 3];
	slot = bpf_map_lookup_elem(&service_slots, &index);
	return slot ? slot->backend : 0;
}

static __always_inline u64 random_u64(void)
{
	return (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
}

/*
 * The backend that the connection's hash, or chance, falls to; 0 if it takes no
 * new connection. A call, for the stack.
 */
static __noinline u32 service_pick(const struct service_port *at, u64 flow)
{
	u64 hash = at->flags & SERVICE_BY_FLOW ? flow : random_u64();
	struct service_walk walk = {
		.question = hash,
		.slots = at->slots,
		.left = hash_below(hash, at->weights),
	};
	u32 count = at->count;

	if (count > SERVICE_RENDEZVOUS)
		count = SERVICE_RENDEZVOUS;
	if (at->places)
		walk.backend = service_by_table(at, hash_mix(hash));
	else if (at->flags & SERVICE_BY_FLOW)
		bpf_loop(count, walk_rendezvous, &walk, 0);
	else
		bpf_loop(count, walk_random, &walk, 0);
	return backend_open(walk.backend, at->service) ? walk.backend : 0;
}

/*
 * The backend that the client keeps, or 0. A copy of the key: before 6.2 the
 * verifier takes no argument of a global function as one. A call, for the stack.
 */
static __noinline u32 service_kept(const struct service_port *at, const struct affinity_key *client)
{
	struct affinity_key key = *client;
	struct affinity *kept = bpf_map_lookup_elem(&service_affinity, &key);
	u32 now = clock_tick();

	if (!kept || now - kept->seen > ticks(at->affinity) ||
	    !backend_open(kept->backend, at->service))
		return 0;
	kept->seen = now;
	return kept->backend;
}

/* The client keeps the backend from now on. */
static __noinline u32 service_keep(const struct affinity_key *client, u32 backend)
{
	struct affinity_key key = *client;
	struct affinity keep = {.backend = backend, .seen = clock_tick()};

	bpf_map_update_elem(&service_affinity, &key, &keep, BPF_ANY);
	return backend;
}

/*
 * The id of a backend for a new connection, 0 if nobody is there. `client` is
 * asked for where the service keeps backends (affinity), and `flow`, a hash of
 * the connection, where it chooses by flow (SERVICE_BY_FLOW); where there is
 * no port to hash yet, any random number does.
 */
__noinline u32 service_choose(const struct service_port *at, const struct affinity_key *client,
			      u64 flow)
{
	struct backend_load *load;
	u32 id = 0;
	u32 i;

	if (!at || !client || !at->count)
		return 0;
	if (at->affinity) {
		id = service_kept(at, client);
		if (id)
			return id;
	}
	/* unrolled: before 6.3 the verifier takes it for endless, its counter being on the stack */
#pragma unroll
	for (i = 0; i < SERVICE_TRIES; i++) {
		id = service_pick(at, flow);
		if (id)
			break;
		flow = hash_mix(flow + 1);
	}
	if (!id)
		return 0;
	if (at->affinity)
		service_keep(client, id);
	load = bpf_map_lookup_elem(&backend_load, &id);
	if (load)
		__sync_fetch_and_add(&load->picks, 1);
	return id;
}

/* Whether the source, IPv4 as ::ffff:a.b.c.d, may use the service. Not asked for the host itself.
 */
static __always_inline bool service_allows(const struct service_port *at, const ipv6_addr *source)
{
	struct publish_allow_key key = {
		.prefix_length = 32 + 128,
		.publish = bpf_htonl(PUBLISH_ALLOW_SERVICE | at->service),
		.source = *source,
	};

	return !(at->flags & SERVICE_LIMITED) || bpf_map_lookup_elem(&publish_allow, &key);
}

static __always_inline void service_count_refusal(u32 service, enum service_refusal why)
{
	struct service_refusals *refusals = bpf_map_lookup_elem(&service_refusals, &service);

	if (refusals && why < SERVICE_REFUSALS)
		__sync_fetch_and_add(&refusals->count[why], 1);
}

#endif
