// SPDX-License-Identifier: Apache-2.0
/** Random choices that a seed repeats (mulberry32). */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** The next 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** From `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + (this.word() % (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.word() % from.length] as T;
  }

  /** Picks by weight. */
  weighted<T>(from: readonly (readonly [number, T])[]): T {
    let at = this.word() % from.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of from) {
      if (at < weight) return value;
      at -= weight;
    }
    throw new Error('no weights');
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.word() & 255));
  }
}

/**
 * That of the environment, or one that stands for the programs: what passed
 * before they were changed says nothing new when it is played again, and what
 * fails after a change fails for everybody. Whoever asks prints it.
 */
export function seedOf(environment: string | undefined): number {
  if (environment !== undefined && environment !== '') return Number(environment);
  const hash = createHash('sha256');
  const directory = join(import.meta.dirname, '../../bpf');
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((f) =>
    /\.[ch]$/.test(f),
  );
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(directory, file)));
  return hash.digest().readUInt32LE() % 1_000_000_000;
}
