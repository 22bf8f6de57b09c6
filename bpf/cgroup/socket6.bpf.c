// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * IPv6 sockets on the root cgroup. What they name is IPv4 where it is a mapped
 * address (::ffff:a.b.c.d), and both where they bind the wildcard. sendmsg6
 * sees no mapped address: the kernel hands those to sendmsg4.
 */
#include "../lib/kern_sock.h"
#include "../lib/resolver.h"
#include "../lib/socket_peer.h"

/* As the socket names it: a mapped address stays one. */
static __always_inline struct socket_end named6(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {
		.addr.word[0] = ctx->user_ip6[0],
		.addr.word[1] = ctx->user_ip6[1],
		.addr.word[2] = ctx->user_ip6[2],
		.addr.word[3] = ctx->user_ip6[3],
		.port = ctx->user_port,
	};

	return end;
}

static __always_inline void rename6(struct bpf_sock_addr *ctx, const struct socket_end *end)
{
	ctx->user_ip6[0] = end->addr.word[0];
	ctx->user_ip6[1] = end->addr.word[1];
	ctx->user_ip6[2] = end->addr.word[2];
	ctx->user_ip6[3] = end->addr.word[3];
	ctx->user_port = end->port;
}

/* The IPv4 address of a mapped one. */
static __always_inline struct socket_end unmapped(const struct socket_end *end)
{
	struct socket_end bare = {.addr.word[0] = end->addr.word[3], .port = end->port};

	return bare;
}

static __always_inline void rename_mapped(struct bpf_sock_addr *ctx, const struct socket_end *end)
{
	ctx->user_ip6[3] = end->addr.word[0];
	ctx->user_port = end->port;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct socket_end peer = named6(ctx);
	enum socket_verdict verdict;

	if (is_mapped(&peer.addr)) {
		peer = unmapped(&peer);
		verdict = SOCKET_RENAMED;
		if (!resolver_translate(ctx, &peer))
			verdict = socket_connect(ctx, &peer, false);
		if (verdict == SOCKET_RENAMED)
			rename_mapped(ctx, &peer);
	} else {
		verdict = socket_connect(ctx, &peer, true);
		if (verdict == SOCKET_RENAMED)
			rename6(ctx, &peer);
	}
	return socket_answer(verdict);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct socket_end peer = named6(ctx);
	ipv6_addr source = {
		.word[0] = ctx->msg_src_ip6[0],
		.word[1] = ctx->msg_src_ip6[1],
		.word[2] = ctx->msg_src_ip6[2],
		.word[3] = ctx->msg_src_ip6[3],
	};
	enum socket_verdict verdict;

	verdict = socket_send(ctx, &peer, &source, true);
	if (verdict == SOCKET_RENAMED)
		rename6(ctx, &peer);
	return socket_answer(verdict);
}

/* What recvmsg6 and getpeername6 tell the program. */
static __always_inline void restore6(struct bpf_sock_addr *ctx, enum socket_event event)
{
	struct socket_end peer = named6(ctx);

	if (is_mapped(&peer.addr)) {
		peer = unmapped(&peer);
		if (resolver_restore(ctx, &peer)) {
			rename_mapped(ctx, &peer);
			return;
		}
		if (!socket_restore(ctx, &peer, false))
			return;
		rename_mapped(ctx, &peer);
	} else {
		if (!socket_restore(ctx, &peer, true))
			return;
		rename6(ctx, &peer);
	}
	count_socket(event);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	restore6(ctx, SOCKET_RECVMSG);
	return SOCKET_ALLOW;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	restore6(ctx, SOCKET_GETPEERNAME);
	return SOCKET_ALLOW;
}

/* :: holds the port of IPv4 too, unless the socket was told IPV6_V6ONLY. */
static __always_inline bool is_published6(struct bpf_sock_addr *ctx)
{
	struct socket_end at = named6(ctx);

	if (!is_mapped(&at.addr)) {
		if (socket_is_published(ctx, &at, true))
			return true;
		if (addr_is_set(&at.addr, true) || socket_is_v6only(ctx))
			return false;
	}
	at = unmapped(&at);
	return socket_is_published(ctx, &at, false);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	return is_published6(ctx) ? socket_refuse_bind() : SOCKET_ALLOW;
}

char _license[] SEC("license") = "Dual BSD/GPL";
