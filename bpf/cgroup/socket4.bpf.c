// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Sockets that name an IPv4 address, on the root cgroup: those of the host
 * reach published ports at the host's own addresses, and cannot bind them.
 * sendmsg4 and recvmsg4 see datagrams of sockets that name their peer with
 * each; IPv6 sockets that send to a mapped address come by sendmsg4 as well.
 */
#include "../lib/socket4.h"

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct peer4 container;

	if (!socket4_translate(ctx, ctx->user_ip4, 0, &container)) {
		socket4_forget(ctx, ctx->user_ip4);
		return SOCKET_ALLOW;
	}
	ctx->user_ip4 = container.addr;
	ctx->user_port = container.port;
	count_socket(SOCKET_CONNECT);
	return SOCKET_ALLOW;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct peer4 container;

	if (!socket4_translate(ctx, ctx->user_ip4, ctx->msg_src_ip4, &container))
		return SOCKET_ALLOW;
	ctx->user_ip4 = container.addr;
	ctx->user_port = container.port;
	count_socket(SOCKET_SENDMSG);
	return SOCKET_ALLOW;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct peer4 named;

	if (!socket4_restore(ctx, ctx->user_ip4, &named))
		return SOCKET_ALLOW;
	ctx->user_ip4 = named.addr;
	ctx->user_port = named.port;
	count_socket(SOCKET_RECVMSG);
	return SOCKET_ALLOW;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct peer4 named;

	if (!socket4_restore(ctx, ctx->user_ip4, &named))
		return SOCKET_ALLOW;
	ctx->user_ip4 = named.addr;
	ctx->user_port = named.port;
	count_socket(SOCKET_GETPEERNAME);
	return SOCKET_ALLOW;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	return socket4_is_published(ctx, ctx->user_ip4) ? socket_refuse_bind() : SOCKET_ALLOW;
}

char _license[] SEC("license") = "Dual BSD/GPL";
