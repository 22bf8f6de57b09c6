// SPDX-License-Identifier: Apache-2.0
/*
 * Client and server of the benchmark.
 *
 *   rr server PORT [6]              TCP and UDP on PORT of IPv4 or IPv6: echoes
 *                                   a byte a byte, or takes a stream; runs until killed
 *   rr tcp_rr|tcp_crr|udp_rr ADDRESS PORT COUNT
 *   rr tcp_stream ADDRESS PORT MILLISECONDS
 *   rr udp_flood ADDRESS PORT MILLISECONDS
 *   rr blast ADDRESS PORT MILLISECONDS    UDP that nobody answers, as fast as it goes
 *
 * The round-trip modes print p50, p90 and p99 in ns; tcp_stream bytes a second
 * received; udp_flood packets a second sent and received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "rr: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void set(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/* What a connection is for is its first byte: 'e' echo, 's' sink. */
enum { ECHO = 'e', SINK = 's', STOP = 'q' };

/* Of either family. */
struct peer {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t length;
};

static struct peer peer_of(const char *address, int port)
{
	struct peer peer = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)},
			    .length = sizeof(peer.v4)};

	if (inet_pton(AF_INET, address, &peer.v4.sin_addr) == 1)
		return peer;
	peer.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	peer.length = sizeof(peer.v6);
	if (inet_pton(AF_INET6, address, &peer.v6.sin6_addr) != 1) {
		errno = EINVAL;
		die(address);
	}
	return peer;
}

static uint64_t flood_received;

static void serve_udp(int udp)
{
	char buffer[2048];
	struct peer peer = {.length = sizeof(peer.v6)};
	ssize_t n = recvfrom(udp, buffer, sizeof(buffer), 0, &peer.any, &peer.length);

	if (n <= 0)
		return;
	if (buffer[0] == SINK) {
		flood_received++;
	} else if (buffer[0] == STOP) {
		sendto(udp, &flood_received, sizeof(flood_received), 0, &peer.any, peer.length);
		flood_received = 0;
	} else {
		sendto(udp, buffer, n, 0, &peer.any, peer.length);
	}
}

static void server(const char *any, int port)
{
	const struct peer address = peer_of(any, port);
	const int family = address.any.sa_family;
	static char buffer[1 << 18];
	static char kind[65536];
	static uint64_t received[65536];
	int tcp = socket(family, SOCK_STREAM, 0), udp = socket(family, SOCK_DGRAM, 0);
	int poller = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN}, ready[64];

	set(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
	set(udp, SOL_SOCKET, SO_RCVBUF, 4 << 20);
	if (bind(tcp, &address.any, address.length) || listen(tcp, 1024) ||
	    bind(udp, &address.any, address.length))
		die("bind");
	event.data.fd = tcp;
	epoll_ctl(poller, EPOLL_CTL_ADD, tcp, &event);
	event.data.fd = udp;
	epoll_ctl(poller, EPOLL_CTL_ADD, udp, &event);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(poller, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;
			ssize_t got;

			if (fd == udp) {
				serve_udp(udp);
				continue;
			}
			if (fd == tcp) {
				int peer = accept(tcp, NULL, NULL);

				if (peer < 0 || peer >= 65536)
					continue;
				set(peer, IPPROTO_TCP, TCP_NODELAY, 1);
				kind[peer] = 0;
				received[peer] = 0;
				event.data.fd = peer;
				epoll_ctl(poller, EPOLL_CTL_ADD, peer, &event);
				continue;
			}
			got = read(fd, buffer, kind[fd] == SINK ? sizeof(buffer) : 1);
			if (got <= 0) {
				/* the sender has shut down: tell it how much came */
				if (kind[fd] == SINK && got == 0)
					(void)!write(fd, &received[fd], sizeof(*received));
				close(fd);
				continue;
			}
			if (!kind[fd])
				kind[fd] = buffer[0];
			received[fd] += got;
			if (kind[fd] == ECHO)
				(void)!write(fd, buffer, 1);
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void report(uint64_t *samples, int n)
{
	qsort(samples, n, sizeof(*samples), by_value);
	printf("{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"n\":%d}\n",
	       (unsigned long long)samples[n / 2], (unsigned long long)samples[n * 9 / 10],
	       (unsigned long long)samples[n * 99 / 100], n);
}

static int dial(const struct peer *to)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM, 0);

	if (connect(fd, &to->any, to->length))
		die("connect");
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

static void exchange(int fd)
{
	char byte = ECHO;

	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		die("exchange");
}

int main(int argc, char **argv)
{
	struct peer to;
	struct timeval patience = {.tv_sec = 5};
	uint64_t *samples, begun, received = 0, sent = 0;
	int amount, fd;

	if (argc == 3 && !strcmp(argv[1], "server"))
		server("0.0.0.0", atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "server") && !strcmp(argv[3], "6"))
		server("::", atoi(argv[2]));
	if (argc != 5)
		return 2;
	to = peer_of(argv[2], atoi(argv[3]));
	amount = atoi(argv[4]);
	samples = calloc(amount, sizeof(*samples));

	if (!strcmp(argv[1], "tcp_rr")) {
		fd = dial(&to);
		for (int i = -amount / 10; i < amount; i++) {
			begun = now();
			exchange(fd);
			if (i >= 0)
				samples[i] = now() - begun;
		}
		report(samples, amount);
	} else if (!strcmp(argv[1], "tcp_crr")) {
		for (int i = -amount / 10; i < amount; i++) {
			begun = now();
			fd = dial(&to);
			exchange(fd);
			close(fd);
			if (i >= 0)
				samples[i] = now() - begun;
		}
		report(samples, amount);
	} else if (!strcmp(argv[1], "udp_rr")) {
		fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (connect(fd, &to.any, to.length))
			die("connect");
		for (int i = -amount / 10; i < amount; i++) {
			begun = now();
			exchange(fd);
			if (i >= 0)
				samples[i] = now() - begun;
		}
		report(samples, amount);
	} else if (!strcmp(argv[1], "tcp_stream")) {
		static char buffer[1 << 17] = {SINK};

		fd = dial(&to);
		begun = now();
		while (now() - begun < amount * 1000000ull)
			if (write(fd, buffer, sizeof(buffer)) < 0)
				die("write");
		shutdown(fd, SHUT_WR);
		if (read(fd, &received, sizeof(received)) != sizeof(received))
			die("read");
		printf("{\"bytesPerSecond\":%.0f}\n", received / ((now() - begun) / 1e9));
	} else if (!strcmp(argv[1], "udp_flood")) {
		char packet[64] = {SINK};

		fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (connect(fd, &to.any, to.length))
			die("connect");
		begun = now();
		while (now() - begun < amount * 1000000ull)
			sent += send(fd, packet, sizeof(packet), 0) > 0;
		begun = now() - begun;
		packet[0] = STOP;
		usleep(50000);
		if (send(fd, packet, 1, 0) < 0 || recv(fd, &received, sizeof(received), 0) < 0)
			die("flood");
		printf("{\"sentPerSecond\":%.0f,\"receivedPerSecond\":%.0f}\n",
		       sent / (begun / 1e9), received / (begun / 1e9));
	} else if (!strcmp(argv[1], "blast")) {
		char packet[18] = {SINK};

		fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
		if (connect(fd, &to.any, to.length))
			die("connect");
		begun = now();
		while (now() - begun < amount * 1000000ull)
			sent += send(fd, packet, sizeof(packet), 0) > 0;
		printf("{\"packets\":%llu,\"seconds\":%.6f}\n", (unsigned long long)sent,
		       (now() - begun) / 1e9);
	} else {
		return 2;
	}
	return 0;
}
