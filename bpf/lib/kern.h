/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What __sk_buff does not show: the state of the packet's checksum. */
#ifndef SLUICE_LIB_KERN_H
#define SLUICE_LIB_KERN_H

#include "bpf.h"
#include "config.h"
#include "types.h"
#include <bpf/bpf_core_read.h>

/* include/linux/skbuff.h: the bit-field's place is relocated at load. */
struct sk_buff {
	u8 ip_summed : 2;
} __attribute__((preserve_access_index));

/* include/linux/skbuff.h, "CHECKSUM_*". */
enum {
	SKB_CHECKSUM_NONE = 0,
	SKB_CHECKSUM_UNNECESSARY = 1,
	SKB_CHECKSUM_COMPLETE = 2, /* skb->csum holds the sum over the packet */
	SKB_CHECKSUM_PARTIAL = 3,  /* the field holds the pseudo-header's sum only */
};

extern void *bpf_cast_to_kern_ctx(void *obj) __ksym __weak;

/* One of SKB_CHECKSUM_*. Only where config.kern_ctx is set. */
static __always_inline u32 skb_checksum_state(struct __sk_buff *skb)
{
	struct sk_buff *kern = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kern, ip_summed);
}

#endif
