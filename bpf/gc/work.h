/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The walk in a work item, in process context: 1 M entries take about 0.2 s.
 * set_callback() is defined by who includes this, by the kfunc that the kernel has.
 */
#ifndef SLUICE_GC_WORK_H
#define SLUICE_GC_WORK_H

#include "clock.h"

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;

static int set_callback(struct bpf_wq *wq);

static int collect(void *map, int *key, void *value)
{
	return collect_once(*key);
}

static long pass_prepare(struct collector_state *state)
{
	int err = bpf_wq_init(&state->work, &collector_map, 0);

	/* EBUSY: as with the timer */
	return err && err != -EBUSY ? err : set_callback(&state->work);
}

static void pass_begin(struct collector_state *state, u32 index)
{
	bpf_wq_start(&state->work, 0);
}

#endif
