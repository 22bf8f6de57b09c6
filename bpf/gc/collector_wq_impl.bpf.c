// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For kernels from 6.10 on whose kfunc takes the program's own record as its last argument. */
#include "work.h"

extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int(callback)(void *map, int *key, void *v),
				    unsigned int flags, void *aux) __ksym;

static int set_callback(struct bpf_wq *wq)
{
	return bpf_wq_set_callback_impl(wq, collect, 0, NULL);
}
