// SPDX-License-Identifier: Apache-2.0
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from '../base/clock.js';
import { parseResolvConf, type ResolvConf } from '../base/resolv-conf.js';

/** For so long the file is taken to be as it was. */
const FRESH_MS = 1_000;
const NOTHING: ResolvConf = { servers: [], search: [], options: [] };

/** The host's resolv.conf as it is now: read again when it has changed, and looked at when somebody asks. */
export class HostResolvers {
  readonly #path: string;
  readonly #clock: Clock;
  #seen = '';
  #at = Number.NEGATIVE_INFINITY;
  #conf = NOTHING;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  get conf(): ResolvConf {
    const now = this.#clock.monotonic();
    if (now - this.#at >= FRESH_MS) {
      this.#at = now;
      this.#look();
    }
    return this.#conf;
  }

  #look(): void {
    try {
      const { mtimeNs, ino, size } = statSync(this.#path, { bigint: true });
      const seen = `${mtimeNs} ${ino} ${size}`;
      if (seen === this.#seen) return;
      const read = parseResolvConf(readFileSync(this.#path, 'utf8'));
      this.#conf = { ...read, search: read.search.map(domain) };
      this.#seen = seen;
    } catch {
      // absent for a moment while somebody replaces it, or for good: what it said last counts
    }
  }
}

/** As questions are compared: lower case, without the dot at the end. */
export function domain(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}
