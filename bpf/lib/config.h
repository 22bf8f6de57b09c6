/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Load-time constants. User space writes them before the program is loaded;
 * the verifier then drops what they switch off, so a disabled feature costs
 * nothing. The initialiser holds the defaults.
 */
#ifndef SLUICE_LIB_CONFIG_H
#define SLUICE_LIB_CONFIG_H

#include "types.h"

struct config {
	u32 mark;	     /* skb->mark of packets that we sent out ourselves */
	u32 l3_device;	     /* 1: packets on this hook carry no Ethernet header */
	u32 kern_ctx;	     /* 1: the kernel has bpf_cast_to_kern_ctx (6.2) */
	u32 csum_ipv6;	     /* BPF_F_IPV6 if the kernel knows it, see nat.h */
	u32 fib_flags;	     /* BPF_FIB_LOOKUP_* that the kernel knows, see fib.h */
	u32 host_conntrack;  /* 1: the kernel has bpf_skb_ct_lookup, see conntrack.h */
	u32 exempt;	     /* 1: masquerade_exempt is not empty */
	u32 socket_services; /* 0: services of sandboxes are served packet by packet only */
	u32 snat_port_min;   /* masquerade picks from here when the own port is taken */
	u32 snat_port_max;   /* inclusive */
	u32 tcp_established; /* seconds without a packet until a flow is collected */
	u32 tcp_transitory;
	u32 udp_answered;
	u32 udp_oneway;
	u32 icmp;
	u32 port_rest;	      /* seconds for which a UDP port that became free is nobody else's */
	u32 collect_interval; /* seconds between two passes of the collector */
};

const volatile struct config config = {
	.mark = 0x51c00000,
	.l3_device = 0,
	.kern_ctx = 1,
	.csum_ipv6 = 0,
	.fib_flags = 4 | 16,
	.host_conntrack = 0,
	.exempt = 0,
	.socket_services = 1,
	.snat_port_min = 32768,
	.snat_port_max = 65535,
	.tcp_established = 7440, /* RFC 5382 REQ-5: at least 2 h 4 min */
	.tcp_transitory = 240,	 /* RFC 5382 REQ-5: at least 4 min */
	.udp_answered = 300,	 /* RFC 4787 REQ-5: 5 min recommended */
	.udp_oneway = 120,	 /* RFC 4787 REQ-5: at least 2 min */
	.icmp = 60,		 /* RFC 5508 REQ-2: at least 60 s */
	.port_rest = 60,
	.collect_interval = 10,
};

#endif
