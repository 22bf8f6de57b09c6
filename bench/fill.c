// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Puts entries into a pinned table of proven IPv4 flows: flows of no container
 * that were seen just now. usage: fill PIN ENTRIES
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../bpf/lib/types.h"
#define SLUICE_LIB_BPF_H
#define SEC(name)	  __attribute__((unused))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#include "../bpf/maps/flow.h"

#define BATCH 4096

int main(int argc, char **argv)
{
	static struct flow4_key keys[BATCH];
	static struct flow4 values[BATCH];
	struct timespec now;
	u32 tick, count;
	int fd, entries;

	if (argc != 3)
		return 2;
	fd = bpf_obj_get(argv[1]);
	entries = atoi(argv[2]);
	clock_gettime(CLOCK_MONOTONIC, &now);
	tick = (now.tv_sec * 1000000000ull + now.tv_nsec) >> 30;
	for (int done = 0; done < entries; done += count) {
		count = entries - done < BATCH ? entries - done : BATCH;
		for (u32 i = 0; i < count; i++) {
			u32 n = done + i;

			keys[i].protocol = 6;
			keys[i].sport = htons(1024 + n % 50000);
			keys[i].dport = htons(443);
			keys[i].saddr = htonl(0x0ac80000 + n / 50000);
			keys[i].daddr = htonl(0xc6120001);
			values[i].action = FLOW_ON;
			values[i].seen = values[i].opened = tick;
			values[i].state = FLOW_ANSWERED | FLOW_ESTABLISHED;
		}
		if (bpf_map_update_batch(fd, keys, values, &count, NULL)) {
			fprintf(stderr, "fill: after %d: %s\n", done, strerror(errno));
			return 1;
		}
	}
	return 0;
}
