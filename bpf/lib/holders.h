/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Who holds a port of the host's own address: a publish, a socket, netfilter. */
#ifndef SLUICE_LIB_HOLDERS_H
#define SLUICE_LIB_HOLDERS_H

#include "../maps/publish.h"
#include "address.h"
#include "conntrack.h"
#include "scratch.h"

/* Index of a protocol's part of port_slots, or PORT_TABLES if it has none. */
static __always_inline u32 port_table(u8 protocol, bool v6)
{
	u32 base = v6 ? PORT_TABLES_FAMILY : 0;

	return protocol == IPPROTO_TCP	  ? base + PORT_TABLE_TCP
	       : protocol == IPPROTO_UDP  ? base + PORT_TABLE_UDP
	       : protocol == IPPROTO_SCTP ? base + PORT_TABLE_SCTP
					  : PORT_TABLES;
}

/* The slot of a port, 0 where nothing is published. */
static __always_inline u32 port_slot(u8 protocol, be16 port, bool v6)
{
	u32 table = port_table(protocol, v6);
	u32 index = table << 16 | bpf_ntohs(port);
	u32 *slot = table < PORT_TABLES ? bpf_map_lookup_elem(&port_slots, &index) : NULL;

	return slot ? *slot : 0;
}

/* The tuple of a packet with this key. Answers its size. */
static __always_inline u32 tuple_of(struct bpf_sock_tuple *tuple, const union any_key *key, bool v6)
{
	if (v6) {
		__builtin_memcpy(tuple->ipv6.saddr, &key->v6.saddr, sizeof(ipv6_addr));
		__builtin_memcpy(tuple->ipv6.daddr, &key->v6.daddr, sizeof(ipv6_addr));
		tuple->ipv6.sport = key->sport;
		tuple->ipv6.dport = key->dport;
		return sizeof(tuple->ipv6);
	}
	tuple->ipv4.saddr = key->v4.saddr;
	tuple->ipv4.daddr = key->v4.daddr;
	tuple->ipv4.sport = key->sport;
	tuple->ipv4.dport = key->dport;
	return sizeof(tuple->ipv4);
}

/* A socket of the host that a packet with this tuple would reach. */
static __always_inline struct bpf_sock *
tuple_socket(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, u32 size, u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (protocol == IPPROTO_UDP)
		return bpf_sk_lookup_udp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
	return NULL;
}

static __always_inline int tuple_is_held(struct __sk_buff *skb, const union any_key *key, bool v6)
{
	struct bpf_sock_tuple tuple;
	u32 size = tuple_of(&tuple, key, v6);
	struct bpf_sock *sk = tuple_socket(skb, &tuple, size, key->protocol);

	if (sk) {
		bpf_sk_release(sk);
		return true;
	}
	return tracked(skb, &tuple, size, key->protocol) != TRACKED_NOT;
}

/* Calls, for the sake of the stack: the tuple is gone when the flow is inserted. */
static __noinline int tuple_is_held4(struct __sk_buff *skb, const union any_key *key)
{
	return tuple_is_held(skb, key, false);
}

static __noinline int tuple_is_held6(struct __sk_buff *skb, const union any_key *key)
{
	return tuple_is_held(skb, key, true);
}

static __always_inline int is_asked_for(struct __sk_buff *skb, bool v6)
{
	struct flow_scratch *scratch = flow_scratch_get();
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	bool connected;
	u8 protocol;
	u32 size;

	if (!scratch)
		return false;
	protocol = scratch->key.protocol;
	size = tuple_of(&tuple, &scratch->key, v6);
	sk = tuple_socket(skb, &tuple, size, protocol);
	if (sk) {
		connected = sk->dst_port;
		bpf_sk_release(sk);
		if (connected)
			return true;
	}
	return tracked(skb, &tuple, size, protocol) == TRACKED_REPLY;
}

/* Calls, for the stack; the key is in the scratch. */
static __noinline int is_asked_for4(struct __sk_buff *skb)
{
	return is_asked_for(skb, false);
}

static __noinline int is_asked_for6(struct __sk_buff *skb)
{
	return is_asked_for(skb, true);
}

/* The answer to what a connected socket of the host has asked, or netfilter has translated. */
static __always_inline bool tracked_answer(struct __sk_buff *skb, const union any_key *key, bool v6)
{
	scratch_put_key(key, v6);
	return v6 ? is_asked_for6(skb) : is_asked_for4(skb);
}

/*
 * A datagram that a socket of the host is connected to the sender for, or that
 * netfilter has masqueraded the question to. TCP needs no such look: an answer
 * is no bare SYN.
 */
static __always_inline bool host_asked(struct __sk_buff *skb, const union any_key *key, bool v6)
{
	if (key->protocol != IPPROTO_UDP)
		return false;
	return tracked_answer(skb, key, v6);
}

#endif
