/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What struct bpf_sock does not show of a socket. */
#ifndef SLUICE_LIB_KERN_SOCK_H
#define SLUICE_LIB_KERN_SOCK_H

#include "bpf.h"
#include "types.h"
#include <bpf/bpf_core_read.h>
#include <linux/in.h>

/* include/net/sock.h: the bit-field's place is relocated at load. */
struct sock_common {
	u8 skc_ipv6only : 1;
} __attribute__((preserve_access_index));

/* IPV6_V6ONLY of an IPv6 socket, which bpf_getsockopt() does not tell. */
static __always_inline bool socket_is_v6only(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_common *common = NULL;

	if (!sk)
		return false;
	/* either begins with its struct sock_common */
	if (ctx->protocol == IPPROTO_TCP)
		common = (void *)bpf_skc_to_tcp6_sock(sk);
	else if (ctx->protocol == IPPROTO_UDP)
		common = (void *)bpf_skc_to_udp6_sock(sk);
	return common && BPF_CORE_READ_BITFIELD(common, skc_ipv6only);
}

#endif
