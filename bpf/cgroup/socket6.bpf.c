// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * IPv6 sockets on the root cgroup, as far as they speak IPv4: mapped addresses
 * (::ffff:a.b.c.d), and the wildcard that takes both families. There is no
 * sendmsg6 for mapped addresses: the kernel hands those to sendmsg4.
 */
#include "../lib/kern_sock.h"
#include "../lib/socket4.h"

static __always_inline bool is_mapped(struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

static __always_inline bool is_wildcard6(struct bpf_sock_addr *ctx)
{
	return !(ctx->user_ip6[0] | ctx->user_ip6[1] | ctx->user_ip6[2] | ctx->user_ip6[3]);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct peer4 container;

	if (!is_mapped(ctx))
		return SOCKET_ALLOW;
	if (!socket4_translate(ctx, ctx->user_ip6[3], 0, &container)) {
		socket4_forget(ctx, ctx->user_ip6[3]);
		return SOCKET_ALLOW;
	}
	ctx->user_ip6[3] = container.addr;
	ctx->user_port = container.port;
	count_socket(SOCKET_CONNECT);
	return SOCKET_ALLOW;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct peer4 named;

	if (!is_mapped(ctx) || !socket4_restore(ctx, ctx->user_ip6[3], &named))
		return SOCKET_ALLOW;
	ctx->user_ip6[3] = named.addr;
	ctx->user_port = named.port;
	count_socket(SOCKET_RECVMSG);
	return SOCKET_ALLOW;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct peer4 named;

	if (!is_mapped(ctx) || !socket4_restore(ctx, ctx->user_ip6[3], &named))
		return SOCKET_ALLOW;
	ctx->user_ip6[3] = named.addr;
	ctx->user_port = named.port;
	count_socket(SOCKET_GETPEERNAME);
	return SOCKET_ALLOW;
}

/* :: holds the port of IPv4 too, unless the socket was told IPV6_V6ONLY. */
SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	if (!is_mapped(ctx) && (!is_wildcard6(ctx) || socket_is_v6only(ctx)))
		return SOCKET_ALLOW;
	return socket4_is_published(ctx, ctx->user_ip6[3]) ? socket_refuse_bind() : SOCKET_ALLOW;
}

char _license[] SEC("license") = "Dual BSD/GPL";
