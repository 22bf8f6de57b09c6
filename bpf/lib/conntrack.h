/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What nf_conntrack of the host knows: a bridge beside ours may be masqueraded by netfilter. */
#ifndef SLUICE_LIB_CONNTRACK_H
#define SLUICE_LIB_CONNTRACK_H

#include "bpf.h"
#include "config.h"
#include "types.h"
#include <linux/in.h>

/* net/netfilter/nf_conntrack_bpf.c, in the size that kernels from 5.18 on take. */
struct bpf_ct_opts {
	s32 netns_id;
	s32 error;
	u8 l4proto;
	u8 dir;
	u8 reserved[2];
};

/* include/net/netfilter/nf_conntrack.h; nothing of it is read. */
struct nf_conn {
	u32 timeout;
};

/*
 * Without CONFIG_NF_CONNTRACK, or with its module not loaded yet, they are not
 * there. Asked of config.host_conntrack: libbpf before 1.2 makes a program that
 * asks for the address of a module's function one that no kernel takes.
 */
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					 u32 tuple_size, struct bpf_ct_opts *opts,
					 u32 opts_size) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *ct) __ksym __weak;

/* include/uapi/linux/netfilter/nf_conntrack_tuple_common.h, and that there is none. */
enum tracked {
	TRACKED_ORIGINAL, /* by the one who opened it */
	TRACKED_REPLY,	  /* as an answer: the host, or who is masqueraded by it, has asked */
	TRACKED_NOT,
};

/* How a packet with this tuple belongs to a connection of TCP or UDP that netfilter follows. */
static __always_inline enum tracked tracked(struct __sk_buff *skb, struct bpf_sock_tuple *tuple,
					    u32 size, u8 protocol)
{
	struct bpf_ct_opts opts;
	struct nf_conn *ct;

	if (!config.host_conntrack)
		return TRACKED_NOT;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return TRACKED_NOT;
	/* no initialiser: as a constant it would be put beside the configuration */
	opts.netns_id = BPF_F_CURRENT_NETNS;
	opts.error = 0;
	opts.l4proto = protocol;
	opts.dir = 0;
	opts.reserved[0] = 0;
	opts.reserved[1] = 0;
	ct = bpf_skb_ct_lookup(skb, tuple, size, &opts, sizeof(opts));
	if (!ct)
		return TRACKED_NOT;
	bpf_ct_release(ct);
	return opts.dir ? TRACKED_REPLY : TRACKED_ORIGINAL;
}

#endif
