// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Sockets that name an IPv4 address, on the root cgroup: those of the host
 * reach published ports at the host's own addresses, and cannot bind them;
 * those of the host and of sandboxes reach services, those of sandboxes our
 * resolver at 127.0.0.11.
 * sendmsg4 and recvmsg4 see datagrams of sockets that name their peer with
 * each; IPv6 sockets that send to a mapped address come by sendmsg4 as well.
 */
#include "../lib/resolver.h"
#include "../lib/socket_peer.h"

static __always_inline struct socket_end named4(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {.addr.word[0] = ctx->user_ip4, .port = ctx->user_port};

	return end;
}

static __always_inline void rename4(struct bpf_sock_addr *ctx, const struct socket_end *end)
{
	ctx->user_ip4 = end->addr.word[0];
	ctx->user_port = end->port;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct socket_end peer = named4(ctx);
	enum socket_verdict verdict = SOCKET_RENAMED;

	if (!resolver_translate(ctx, &peer))
		verdict = socket_connect(ctx, &peer, false);
	if (verdict == SOCKET_RENAMED)
		rename4(ctx, &peer);
	return socket_answer(verdict);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	ipv6_addr source = {.word[0] = ctx->msg_src_ip4};
	struct socket_end peer = named4(ctx);
	enum socket_verdict verdict = SOCKET_RENAMED;

	if (!resolver_translate(ctx, &peer))
		verdict = socket_send(ctx, &peer, &source, false);
	if (verdict == SOCKET_RENAMED)
		rename4(ctx, &peer);
	return socket_answer(verdict);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct socket_end peer = named4(ctx);

	if (resolver_restore(ctx, &peer)) {
		rename4(ctx, &peer);
	} else if (socket_restore(ctx, &peer, false)) {
		rename4(ctx, &peer);
		count_socket(SOCKET_RECVMSG);
	}
	return SOCKET_ALLOW;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct socket_end peer = named4(ctx);

	if (resolver_restore(ctx, &peer)) {
		rename4(ctx, &peer);
	} else if (socket_restore(ctx, &peer, false)) {
		rename4(ctx, &peer);
		count_socket(SOCKET_GETPEERNAME);
	}
	return SOCKET_ALLOW;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	struct socket_end at = named4(ctx);

	return socket_is_published(ctx, &at, false) ? socket_refuse_bind() : SOCKET_ALLOW;
}

char _license[] SEC("license") = "Dual BSD/GPL";
