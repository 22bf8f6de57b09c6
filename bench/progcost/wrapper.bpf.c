// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Puts the packet back before each run of the program under test, since
 * BPF_PROG_TEST_RUN's `repeat` does not, and writes the flow's address and
 * port into it. Then a static tail call: the program runs as it is.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADERS	 54
#define TCX_DROP 2

enum order { ORDER_ONE, ORDER_NEXT, ORDER_RANDOM };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

struct run {
	unsigned char headers[56];
	__u32 order;
	__u32 flows;	      /* a power of two */
	__u32 index;	      /* of the last flow */
	__u32 base;	      /* client address of flow 0, host order */
	__u32 towards_client; /* 1: the client is the destination */
	__u32 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct run);
} run_map SEC(".maps");

SEC("tc")
int wrapper(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct run *run = bpf_map_lookup_elem(&run_map, &zero);
	void *data = (void *)(long)skb->data;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 index, address;
	__u16 port;

	if (!run || (void *)(tcp + 1) > (void *)(long)skb->data_end)
		return TCX_DROP;
	__builtin_memcpy(data, run->headers, HEADERS);
	if (run->order == ORDER_NEXT)
		run->index++;
	else if (run->order == ORDER_RANDOM)
		run->index = run->index * 1664525 + 1013904223;
	index = (run->index >> (run->order == ORDER_RANDOM ? 8 : 0)) & (run->flows - 1);
	address = bpf_htonl(run->base + (index >> 14));
	port = bpf_htons(1024 + (index & 0x3fff));
	if (run->towards_client) {
		ip->daddr = address;
		tcp->dest = port;
	} else {
		ip->saddr = address;
		tcp->source = port;
	}
	skb->mark = run->mark;
	bpf_tail_call_static(skb, &target, 0);
	return TCX_DROP;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return -1;
}

char _license[] SEC("license") = "GPL";
