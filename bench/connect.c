// SPDX-License-Identifier: Apache-2.0
/*
 * What connect() costs a program whose peer nobody published.
 *
 *   connect tcp|udp ADDRESS COUNT
 *
 * ADDRESS is one of this host. tcp makes COUNT connections to a listener of its
 * own, and resets each; udp names the peer of one socket COUNT times, which is
 * the system call and its hook without any packet. Prints the median in ns.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* So many calls between two looks at the clock, which costs as much as a hook. */
enum { UDP_BATCH = 200 };

static void die(const char *what)
{
	fprintf(stderr, "connect: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A socket at the address with a port that the kernel picks, told in *at. */
static int local(int type, const char *address, struct sockaddr_storage *at, socklen_t *length)
{
	struct sockaddr_in6 *v6 = (void *)at;
	struct sockaddr_in *v4 = (void *)at;
	int fd;

	memset(at, 0, sizeof(*at));
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		at->ss_family = AF_INET6;
		*length = sizeof(*v6);
	} else if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		at->ss_family = AF_INET;
		*length = sizeof(*v4);
	} else {
		die(address);
	}
	fd = socket(at->ss_family, type, 0);
	if (fd < 0 || bind(fd, (void *)at, *length) || getsockname(fd, (void *)at, length))
		die("bind");
	return fd;
}

/* Closed without a trace: thousands in TIME_WAIT would slow the search for ports. */
static void reset(int fd)
{
	struct linger off = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	close(fd);
}

static double one_tcp(int listener, const struct sockaddr_storage *at, socklen_t length)
{
	int fd = socket(at->ss_family, SOCK_STREAM, 0), peer;
	double begun = now(), took;

	if (fd < 0 || connect(fd, (const void *)at, length))
		die("connect");
	took = now() - begun;
	peer = accept(listener, NULL, NULL);
	if (peer < 0)
		die("accept");
	reset(fd);
	close(peer);
	return took;
}

static double many_udp(int fd, const struct sockaddr_storage *at, socklen_t length)
{
	double begun = now();

	for (int i = 0; i < UDP_BATCH; i++)
		if (connect(fd, (const void *)at, length))
			die("connect");
	return (now() - begun) / UDP_BATCH;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length;
	int is_tcp, server, client = -1;
	long samples;
	double *took;

	if (argc != 4 || (strcmp(argv[1], "tcp") && strcmp(argv[1], "udp"))) {
		fprintf(stderr, "usage: connect tcp|udp ADDRESS COUNT\n");
		return 2;
	}
	is_tcp = !strcmp(argv[1], "tcp");
	samples = atol(argv[3]) / (is_tcp ? 1 : UDP_BATCH);
	if (samples < 1)
		samples = 1;
	took = calloc(samples, sizeof(*took));
	server = local(is_tcp ? SOCK_STREAM : SOCK_DGRAM, argv[2], &at, &length);
	if (is_tcp && listen(server, 16))
		die("listen");
	if (!is_tcp)
		client = socket(at.ss_family, SOCK_DGRAM, 0);
	for (long i = 0; i < samples; i++)
		took[i] = is_tcp ? one_tcp(server, &at, length) : many_udp(client, &at, length);
	qsort(took, samples, sizeof(*took), compare);
	printf("{\"p50\": %.1f}\n", took[samples / 2]);
	return 0;
}
