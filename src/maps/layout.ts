// SPDX-License-Identifier: Apache-2.0
/**
 * Of what the pinned maps hold: raised by every version that changes it. What
 * an earlier one left is converted (loader/carry.ts), what a later one left is refused.
 */
export const LAYOUT_VERSION = 2;
