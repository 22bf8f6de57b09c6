// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* For kernels from 7.0 on, whose verifier adds the program's own record to the arguments itself. */
#include "work.h"

extern int bpf_wq_set_callback(struct bpf_wq *wq, int(callback)(void *map, int *key, void *v),
			       unsigned int flags) __ksym;

static int set_callback(struct bpf_wq *wq)
{
	return bpf_wq_set_callback(wq, collect, 0);
}
