// SPDX-License-Identifier: Apache-2.0
// Generated from bpf/maps by src/maps/gen (npm run gen). Not to be edited.

/** The defaults that bpf/lib/config.h gives, as they lie in .rodata. */
export const configDefaults = Buffer.from('0000c0510000000001000000000000001400000000000000000000000100000000800000ffff0000101d0000f00000002c010000780000003c0000003c0000000a000000', 'hex');
