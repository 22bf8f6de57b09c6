// SPDX-License-Identifier: Apache-2.0
/**
 * Maglev tables (Eisenbud et al., NSDI 2016, §3.4): each place of a table of
 * prime size belongs to one backend. Every backend has a permutation of the
 * places, from two hashes of its name; in turns, each takes the next of its
 * permutation that nobody has. A change of one backend so moves few places of
 * the others.
 *
 * Weights decide when turns come: a backend of weight w has its turn number k
 * (from 0) at time (2k + 1) / 2w, so it has had t·w of them, rounded, at any
 * time t. The first turn of each comes at once, so that none is without place.
 * When a turn comes depends on no other backend, and turns of one time go in
 * the order of names at first and then in that of the turns before, which a
 * departure does not change: so it moves few places with weights too.
 */
import { hashName } from './hash.js';

const SIZES = [8191, 16381, 32749, 65521, 131071] as const;
/** With half as many, one that leaves moves 2.3 % of the others' places. */
const PLACES_PER_BACKEND = 200;
/** The largest weight; times are counted in its inverses. */
const FINEST = 1000;
/** Of the two hashes; the slots' seed is another. */
const OFFSET_SEED = 0x6f666673;
const SKIP_SEED = 0x736b6970;
const RING = 2048;
const NONE = -1;

export interface Weighted {
  readonly name: string;
  /** 1…1000. */
  readonly weight: number;
}

/** How many places a table for so many backends has. */
export function placesFor(backends: number): number {
  return SIZES.find((size) => size >= PLACES_PER_BACKEND * backends) ?? (SIZES[SIZES.length - 1] as number);
}

/** For each place the index of its backend. `backends` are in the order of their names, which are all different. */
export function maglevTable(backends: readonly Weighted[], places = placesFor(backends.length)): Uint16Array {
  const table = new Uint16Array(places);
  const taken = new Uint8Array(places);
  const at = new Uint32Array(backends.length);
  const skip = new Uint32Array(backends.length);
  backends.forEach(({ name }, i) => {
    at[i] = hashName(name, OFFSET_SEED) % places;
    skip[i] = (hashName(name, SKIP_SEED) % (places - 1)) + 1;
  });
  const turns = new Turns(backends);
  for (let filled = 0; filled < places; filled++) {
    const backend = turns.next();
    let place = at[backend] as number;
    const step = skip[backend] as number;
    while (taken[place] === 1) {
      place += step;
      if (place >= places) place -= places;
    }
    taken[place] = 1;
    table[place] = backend;
    place += step;
    at[backend] = place >= places ? place - places : place;
  }
  return table;
}

/** Whose turn it is. No turn is further ahead than one and a half of FINEST, so the times go round in a ring. */
class Turns {
  readonly #weights: Uint16Array;
  readonly #had: Uint32Array;
  /** By backend: the next one of the same time. */
  readonly #next: Int32Array;
  readonly #first = new Int32Array(RING).fill(NONE);
  readonly #last = new Int32Array(RING).fill(NONE);
  #time = 0;

  constructor(backends: readonly Weighted[]) {
    this.#weights = Uint16Array.from(backends, ({ weight }) => weight);
    this.#had = new Uint32Array(backends.length);
    this.#next = new Int32Array(backends.length);
    for (let i = 0; i < backends.length; i++) this.#queue(0, i);
  }

  next(): number {
    while (this.#first[this.#time % RING] === NONE) this.#time++;
    const backend = this.#first[this.#time % RING] as number;
    this.#first[this.#time % RING] = this.#next[backend] as number;
    const had = (this.#had[backend] as number) + 1;
    this.#had[backend] = had;
    this.#queue(Math.floor(((2 * had + 1) * FINEST) / (2 * (this.#weights[backend] as number))), backend);
    return backend;
  }

  #queue(time: number, backend: number): void {
    const place = time % RING;
    this.#next[backend] = NONE;
    if (this.#first[place] === NONE) this.#first[place] = backend;
    else this.#next[this.#last[place] as number] = backend;
    this.#last[place] = backend;
  }
}
