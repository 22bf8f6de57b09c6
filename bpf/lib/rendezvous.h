/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Weighted rendezvous: each candidate draws a number u in (0, 1) from a hash
 * of the question and its own seed, and the least -log2(u) / weight wins. A
 * candidate wins in proportion to its weight, and one that goes leaves all
 * questions with their answers but its own.
 */
#ifndef SLUICE_LIB_RENDEZVOUS_H
#define SLUICE_LIB_RENDEZVOUS_H

#include "bpf.h"
#include "types.h"

/* Sebastiano Vigna's variant 13 of MurmurHash3's finalizer: every bit depends on every one. */
static __always_inline u64 hash_mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/*
 * -log2((2 * drawn + 1) / 2^33), times 2^32. With m in [1/2, 1) and the number
 * m * 2^-s, that is s - log2(m); -log2(1 - y) / y over [0, 1/2] is a polynomial
 * of degree 5, to one part in 10^5 everywhere, so that also small differences
 * of weight show. Coefficients times 2^30.
 */
static __always_inline u64 rendezvous_length(u32 drawn)
{
	/* the least draw of all counts as the next one: it would need one more shift */
	u64 m = (u64)(drawn ? drawn : 1) * 2 + 1;
	u64 shift = 0;
	s64 acc = 1284820501;
	s64 y;

	if (m < 1ULL << 17) {
		m <<= 16;
		shift += 16;
	}
	if (m < 1ULL << 25) {
		m <<= 8;
		shift += 8;
	}
	if (m < 1ULL << 29) {
		m <<= 4;
		shift += 4;
	}
	if (m < 1ULL << 31) {
		m <<= 2;
		shift += 2;
	}
	if (m < 1ULL << 32) {
		m <<= 1;
		shift += 1;
	}
	y = ((1ULL << 33) - m) >> 1;
	acc = (acc * y >> 32) - 449591653;
	acc = (acc * y >> 32) + 610999253;
	acc = (acc * y >> 32) + 488306944;
	acc = (acc * y >> 32) + 775783319;
	acc = (acc * y >> 32) + 1549073323;
	return (shift << 32) + (u64)(acc * y >> 30);
}

/* What a candidate drew for a question. */
static __always_inline u64 rendezvous_draw(u64 question, u32 seed)
{
	return rendezvous_length(hash_mix(question + seed * 0x9e3779b97f4a7c15ULL) >> 32);
}

/* Lengths are below 2^39 and weights below 2^16: no overflow. */
static __always_inline bool rendezvous_beats(u64 length, u32 weight, u64 than, u32 than_weight)
{
	return length * than_weight < than * weight;
}

#endif
