/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The BPF environment: helpers, section macro, what Debian's headers lack. */
#ifndef SLUICE_LIB_BPF_H
#define SLUICE_LIB_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <stdbool.h>

#endif
