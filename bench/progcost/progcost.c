// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * What a packet costs in each program, in ns, net of an empty one, by
 * BPF_PROG_TEST_RUN: every case behind the same wrapper, all cases interleaved
 * round by round, CPU time of the thread over the number of runs.
 *
 * Flows are opened, answered and promoted by the programs themselves, so a
 * case that does not hit what it claims to hit fails here. Run it in a network
 * namespace of its own (bench/progcost/run.sh makes it).
 *
 * usage: progcost OBJECT_DIR WRAPPER UPLINK_IFINDEX BRIDGE_IFINDEX [ROUNDS [REPEAT [NEW]]]
 * NEW: entries of the table of new flows. Prints one JSON object a case on a line.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* What the programs' maps hold; sizes are checked against the kernel's below. */
#include "../../bpf/lib/types.h"
#define SLUICE_LIB_BPF_H
#define SEC(name)	  __attribute__((unused))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#include "../../bpf/maps/device.h"
#include "../../bpf/maps/endpoint.h"
#include "../../bpf/maps/flow.h"
#include "../../bpf/maps/publish.h"
#include "../../bpf/maps/service.h"

#define PART	  (1 << 15)
#define CLIENT	  0x0a640000u /* 10.100.0.0, first client */
#define HOST	  0xc0a80a01u /* 192.168.10.1 */
#define CONTAINER 0x0a400002u /* 10.64.0.2 */
#define GATEWAY	  0x0a400001u
#define VIP	  0x0a400064u

static const mac_addr container_mac = {{2, 0x42, 10, 64, 0, 2}};
static const mac_addr gateway_mac = {{2, 0, 0, 0, 0, 1}};
static mac_addr uplink_mac;

struct run {
	u8 headers[56];
	u32 order, flows, index, base, towards_client, mark;
};
enum order { ORDER_ONE, ORDER_NEXT, ORDER_RANDOM };

enum program { EMPTY, UPLINK_IN, UPLINK_OUT, ENDPOINT, PROGRAMS };
static const char *program_name[PROGRAMS] = {"empty", "uplink_ingress", "uplink_egress",
					     "endpoint_ingress"};
#define MOST_MAPS 64
static int program_fd[PROGRAMS], wrapper_fd, target_fd, run_fd, map_fd[MOST_MAPS];
static const char *map_name[MOST_MAPS];
static int maps_known;
static u32 new_entries = 1 << 18;

static void die(const char *what)
{
	fprintf(stderr, "progcost: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int find_map(const char *name)
{
	for (int i = 0; i < maps_known; i++)
		if (!strcmp(map_name[i], name))
			return map_fd[i];
	errno = ENOENT;
	die(name);
	return -1;
}

static void put(const char *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(find_map(map), key, value, 0))
		die(map);
}

/* Loads one object; maps of a name seen before are shared. */
static void load(const char *path, enum program p)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	struct bpf_map *map;

	if (!object)
		die(path);
	bpf_object__for_each_map(map, object)
	{
		const char *name = bpf_map__name(map);

		if (strchr(name, '.'))
			continue;
		/* the daemon's sizes on a machine of 24 GiB */
		if (!strcmp(name, "flows4"))
			bpf_map__set_max_entries(map, 1 << 19);
		if (!strcmp(name, "flows4_new"))
			bpf_map__set_max_entries(map, new_entries);
		for (int i = 0; i < maps_known; i++)
			if (!strcmp(map_name[i], name) && bpf_map__reuse_fd(map, map_fd[i]))
				die("reuse");
	}
	if (bpf_object__load(object))
		die(path);
	bpf_object__for_each_map(map, object)
	{
		const char *name = bpf_map__name(map);
		int i;

		for (i = 0; i < maps_known && strcmp(map_name[i], name); i++)
			;
		if (i == MOST_MAPS) {
			errno = E2BIG;
			die(name);
		}
		if (i == maps_known) {
			map_name[maps_known] = name;
			map_fd[maps_known++] = bpf_map__fd(map);
		}
	}
	program = bpf_object__find_program_by_name(object, program_name[p]);
	program_fd[p] = bpf_program__fd(program);
}

static void check_size(const char *map, u32 key, u32 value)
{
	struct bpf_map_info info = {};
	u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(find_map(map), &info, &size) || info.key_size != key ||
	    info.value_size != value) {
		errno = EINVAL;
		die(map);
	}
}

static void fill(u32 uplink, u32 bridge)
{
	struct device d = {.kind = DEVICE_UPLINK, .mac = uplink_mac, .addr4 = htonl(HOST)};
	struct endpoint ep = {.ifindex = uplink,
			      .generation = 7,
			      .net = 1,
			      .sandbox = 1,
			      .addr4 = htonl(CONTAINER),
			      .mac = container_mac,
			      .gateway_mac = gateway_mac,
			      .member = 1};
	struct network net = {.ifindex = bridge,
			      .flags = NETWORK_MASQUERADE,
			      .gateway4 = htonl(GATEWAY),
			      .members_end = 2,
			      .mac = gateway_mac};
	struct publish publish = {.endpoint = 1,
				  .generation = 7,
				  .addr4 = htonl(CONTAINER),
				  .host_port = 8080,
				  .host_port_end = 8080,
				  .port = 80,
				  .protocol = IPPROTO_TCP};
	struct mac_key mac = {.net = 1, .mac = container_mac};
	ipv4_addr address = htonl(CONTAINER), host = htonl(HOST);
	u32 one = 1, slot = 1, id = 1, port = 8080;

	check_size("flows4", sizeof(struct flow4_key), sizeof(struct flow4));
	check_size("endpoints", 4, sizeof(struct endpoint));
	check_size("devices", 4, sizeof(struct device));
	check_size("publishes", 4, sizeof(struct publish));
	put("devices", &uplink, &d);
	d = (struct device){.kind = DEVICE_ENDPOINT, .id = 1};
	put("devices", &one, &d); /* the loopback device plays the container's veth */
	put("endpoints", &slot, &ep);
	put("networks", &one, &net);
	put("ep_addr4", &address, &slot);
	put("ep_mac", &mac, &slot);
	put("host_addr4", &host, &uplink);
	put("publishes", &id, &publish);
	put("port_slots", &port, &id);
}

/* The container is the one backend of a service, which the host's port 8081 leads to. */
static void fill_service(void)
{
	struct publish publish = {.addr4 = htonl(VIP),
				  .host_port = 8081,
				  .host_port_end = 8081,
				  .port = 80,
				  .protocol = IPPROTO_TCP,
				  .flags = PUBLISH_SERVICE};
	struct service4_key key = {.addr = htonl(VIP), .port = htons(80), .protocol = IPPROTO_TCP};
	struct service_port at = {
		.service = 1, .net = 1, .count = 1, .weights = 1, .port = htons(81)};
	struct service_slot slot = {.backend = 1, .weight = 1};
	struct service_backend backend = {
		.endpoint = 1, .generation = 7, .service = 1, .state = BACKEND_ACTIVE};
	u32 zero = 0, one = 1, two = 2, port = 8081;

	check_size("services4", sizeof(key), sizeof(at));
	check_size("service_backends", 4, sizeof(backend));
	put("service_backends", &one, &backend);
	put("service_slots", &zero, &slot);
	put("services4", &key, &at);
	put("publishes", &two, &publish);
	put("port_slots", &port, &two);
}

struct packet {
	enum program program;
	u32 ifindex;
	struct run run;
};

/* A TCP packet, or a UDP one; 64 bytes with its checksums left wrong. */
static struct packet packet(enum program program, u32 ifindex, u32 from, u16 sport, u32 to,
			    u16 dport, u8 protocol, u8 tcp_flags)
{
	struct packet p = {.program = program, .ifindex = ifindex};
	struct ethhdr *eth = (void *)p.run.headers;
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .ttl = 64,
			   .protocol = protocol,
			   .tot_len = htons(50),
			   .saddr = htonl(from),
			   .daddr = htonl(to)};
	struct tcphdr tcp = {.source = htons(sport), .dest = htons(dport), .doff = 5};

	((u8 *)&tcp)[13] = tcp_flags;
	eth->h_proto = htons(ETH_P_IP);
	memcpy(eth->h_dest, program == ENDPOINT ? &gateway_mac : &uplink_mac, 6);
	memcpy(eth->h_source, program == ENDPOINT ? &container_mac : &gateway_mac, 6);
	memcpy(p.run.headers + 14, &ip, 20);
	memcpy(p.run.headers + 34, &tcp, 20);
	p.run.base = CLIENT;
	p.run.flows = 1;
	p.run.towards_client = program != UPLINK_IN;
	return p;
}

/* Runs the packet `repeat` times behind the wrapper; answers CPU ns a run. */
static double run(const struct packet *p, enum program program, u32 repeat, int want)
{
	u8 in[64] = {}, out[256];
	struct __sk_buff ctx = {.ifindex = p->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = repeat);
	struct timespec a, b;
	u32 zero = 0;

	if (bpf_map_update_elem(target_fd, &zero, &program_fd[program], 0) ||
	    bpf_map_update_elem(run_fd, &zero, &p->run, 0))
		die("wrapper");
	memcpy(in, p->run.headers, 54);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	if (bpf_prog_test_run_opts(wrapper_fd, &opts))
		die("test run");
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	if (want != 99 && (int)opts.retval != want) {
		fprintf(stderr, "progcost: %s answered %d, not %d\n", program_name[program],
			(int)opts.retval, want);
		exit(1);
	}
	return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / repeat;
}

static u32 entries(const char *map)
{
	static struct flow4_key keys[4096];
	static struct flow4 values[4096];
	u32 position, next, count, n = 0;
	bool begun = false;
	int err;

	do {
		count = 4096;
		err = bpf_map_lookup_batch(find_map(map), begun ? &position : NULL, &next, keys,
					   values, &count, NULL);
		n += count;
		position = next;
		begun = true;
	} while (!err);
	return n;
}

static void empty_map(const char *map)
{
	static struct flow4_key keys[4096];
	static struct flow4 values[4096];
	u32 position, next, count;
	bool begun = false;
	int err;

	do {
		count = 4096;
		err = bpf_map_lookup_and_delete_batch(find_map(map), begun ? &position : NULL,
						      &next, keys, values, &count, NULL);
		position = next;
		begun = true;
	} while (!err);
	if (err != -ENOENT)
		die("empty");
}

#define REDIRECT 7
#define NEXT	 (-1)
#define SYN	 2
#define ACK	 16

struct kase {
	const char *name;
	struct packet p;
	u32 flows;
	bool opens; /* a new flow each: short runs, the table emptied between */
	int want;
	double *net;
};

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv)
{
	u32 uplink, bridge, rounds = 15, repeat = 500000, all = 1 << 17;
	const char *only = getenv("ONLY"); /* cases whose name contains it */
	char path[512];
	struct bpf_object *wrapper;
	struct packet p;

	if (argc < 5)
		return 2;
	uplink = atoi(argv[3]);
	bridge = atoi(argv[4]);
	if (argc > 5)
		rounds = atoi(argv[5]);
	if (argc > 6)
		repeat = atoi(argv[6]);
	if (argc > 7)
		new_entries = atoi(argv[7]);
	{
		struct ifreq request = {};
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		if_indextoname(uplink, request.ifr_name);
		if (ioctl(fd, SIOCGIFHWADDR, &request))
			die("uplink");
		memcpy(&uplink_mac, request.ifr_hwaddr.sa_data, 6);
		close(fd);
	}
	wrapper = bpf_object__open_file(argv[2], NULL);
	if (!wrapper || bpf_object__load(wrapper))
		die(argv[2]);
	wrapper_fd = bpf_program__fd(bpf_object__find_program_by_name(wrapper, "wrapper"));
	program_fd[EMPTY] = bpf_program__fd(bpf_object__find_program_by_name(wrapper, "empty"));
	target_fd = bpf_map__fd(bpf_object__find_map_by_name(wrapper, "target"));
	run_fd = bpf_map__fd(bpf_object__find_map_by_name(wrapper, "run_map"));
	for (int i = UPLINK_IN; i < PROGRAMS; i++) {
		snprintf(path, sizeof(path), "%s/%s.bpf.o", argv[1], program_name[i]);
		load(path, i);
	}
	fill(uplink, bridge);
	fill_service();

	struct packet syn = packet(UPLINK_IN, uplink, CLIENT, 1024, HOST, 8080, IPPROTO_TCP, SYN);
	struct packet syn_ack =
		packet(ENDPOINT, 1, CONTAINER, 80, CLIENT, 1024, IPPROTO_TCP, SYN | ACK);
	struct packet data = packet(UPLINK_IN, uplink, CLIENT, 1024, HOST, 8080, IPPROTO_TCP, ACK);
	struct packet reply = packet(ENDPOINT, 1, CONTAINER, 80, CLIENT, 1024, IPPROTO_TCP, ACK);
	struct packet udp = packet(ENDPOINT, 1, CONTAINER, 5000, CLIENT, 1024, IPPROTO_UDP, 0);
	struct packet host_in = packet(UPLINK_IN, uplink, CLIENT, 1024, HOST, 22, IPPROTO_TCP, ACK);
	struct packet host_out =
		packet(UPLINK_OUT, uplink, HOST, 22, CLIENT, 1024, IPPROTO_TCP, ACK);
	struct packet marked = host_out;
	struct packet bridged = reply;

	marked.run.mark = 0x51c00000;
	memcpy(bridged.run.headers, &container_mac, 6);
	syn.run.order = syn_ack.run.order = data.run.order = ORDER_NEXT;
	syn.run.flows = syn_ack.run.flows = data.run.flows = all;
	/* in parts that the table of new flows holds without evicting */
	for (u32 part = 0; part < all; part += PART) {
		syn.run.index = syn_ack.run.index = data.run.index = part - 1;
		run(&syn, UPLINK_IN, PART, REDIRECT);
		run(&syn_ack, ENDPOINT, PART, REDIRECT);
		run(&data, UPLINK_IN, PART, REDIRECT);
		sleep(3);
		run(&data, UPLINK_IN, PART, REDIRECT);
	}
	if (entries("flows4") != 2 * all) {
		fprintf(stderr, "progcost: %u of %u halves proven\n", entries("flows4"), 2 * all);
		return 1;
	}
	struct packet service_syn =
		packet(UPLINK_IN, uplink, CLIENT, 1024, HOST, 8081, IPPROTO_TCP, SYN);
	struct packet service_data =
		packet(UPLINK_IN, uplink, CLIENT, 1024, HOST, 8081, IPPROTO_TCP, ACK);
	struct packet service_reply =
		packet(ENDPOINT, 1, CONTAINER, 81, CLIENT, 1024, IPPROTO_TCP, ACK);

	service_syn.run.order = service_data.run.order = service_reply.run.order = ORDER_NEXT;
	service_syn.run.flows = service_data.run.flows = service_reply.run.flows = 1 << 10;
	run(&service_syn, UPLINK_IN, 1 << 10, REDIRECT);
	run(&service_reply, ENDPOINT, 1 << 10, REDIRECT);
	run(&service_data, UPLINK_IN, 1 << 10, REDIRECT);
	sleep(3);
	run(&service_data, UPLINK_IN, 1 << 10, REDIRECT);
	if (entries("flows4") != 2 * (all + (1 << 10))) {
		fprintf(stderr, "progcost: flows of the service are not proven\n");
		return 1;
	}
	service_data.run.order = service_reply.run.order = ORDER_RANDOM;
	data.run.order = ORDER_RANDOM;
	reply.run.order = ORDER_RANDOM;

	struct kase kases[] = {
		{"published, established, 1 flow", data, 1, false, REDIRECT, NULL},
		{"published, established, 1k flows", data, 1 << 10, false, REDIRECT, NULL},
		{"published, established, 16k flows", data, 1 << 14, false, REDIRECT, NULL},
		{"published, established, 131k flows", data, 1 << 17, false, REDIRECT, NULL},
		{"reply, established, 1 flow", reply, 1, false, REDIRECT, NULL},
		{"reply, established, 1k flows", reply, 1 << 10, false, REDIRECT, NULL},
		{"reply, established, 16k flows", reply, 1 << 14, false, REDIRECT, NULL},
		{"reply, established, 131k flows", reply, 1 << 17, false, REDIRECT, NULL},
		{"service, established, 1 flow", service_data, 1, false, REDIRECT, NULL},
		{"service, established, 1k flows", service_data, 1 << 10, false, REDIRECT, NULL},
		{"service's reply, established, 1 flow", service_reply, 1, false, REDIRECT, NULL},
		{"service's reply, established, 1k flows", service_reply, 1 << 10, false, REDIRECT,
		 NULL},
		{"bridged, to another endpoint", bridged, 1, false, REDIRECT, NULL},
		{"host's own, in", host_in, 1, false, NEXT, NULL},
		{"host's own, out", host_out, 1, false, NEXT, NULL},
		{"ours, out", marked, 1, false, NEXT, NULL},
		{"new flow, published", syn, 1 << 17, true, REDIRECT, NULL},
		{"new flow, service", service_syn, 1 << 17, true, REDIRECT, NULL},
		{"new flow, masquerade", udp, 1 << 17, true, REDIRECT, NULL},
	};
	int n = sizeof(kases) / sizeof(*kases);

	for (int i = 0; i < n; i++)
		kases[i].net = calloc(rounds, sizeof(double));
	for (u32 r = 0; r < rounds; r++) {
		for (int i = 0; i < n; i++) {
			struct kase *k = &kases[i];

			if (only && !strstr(k->name, only))
				continue;
			u32 times = k->opens ? 1 << 15 : repeat;
			double empty;

			p = k->p;
			p.run.flows = k->flows;
			if (k->opens) {
				p.run.order = ORDER_NEXT;
				p.run.base = CLIENT + 0x100000; /* flows of its own */
				p.run.index = r << 15;
				empty_map("flows4_new");
			}
			empty = run(&p, EMPTY, times, NEXT);
			k->net[r] = run(&p, k->p.program, times, k->want) - empty;
		}
	}
	for (int i = 0; i < n; i++) {
		struct kase *k = &kases[i];

		if (only && !strstr(k->name, only))
			continue;
		qsort(k->net, rounds, sizeof(double), by_value);
		printf("{\"case\":\"%s\",\"program\":\"%s\",\"min\":%.1f,\"median\":%.1f,\"max\":%."
		       "1f,"
		       "\"rounds\":%u}\n",
		       k->name, program_name[k->p.program], k->net[0], k->net[rounds / 2],
		       k->net[rounds - 1], rounds);
	}
	return 0;
}
