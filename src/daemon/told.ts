// SPDX-License-Identifier: Apache-2.0

const BITS = 2 ** 24;

/**
 * Keys that were told, in 2 MiB whatever their number: a Bloom filter with two
 * hashes. It never forgets one; of others it takes some for told, at a million
 * about one in a hundred, so it is asked only where a repetition is likely.
 */
export class Told {
  readonly #words = new Uint32Array(BITS / 32);

  add(key: string): void {
    for (const bit of places(key)) {
      const word = bit >>> 5;
      this.#words[word] = (this.#words[word] as number) | (1 << (bit & 31));
    }
  }

  has(key: string): boolean {
    return places(key).every((bit) => ((this.#words[bit >>> 5] as number) & (1 << (bit & 31))) !== 0);
  }
}

/** FNV-1a, and the same bits mixed once more. */
function places(key: string): [number, number] {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return [(hash ^ (hash >>> 12)) & (BITS - 1), (mixed ^ (mixed >>> 13)) & (BITS - 1)];
}
