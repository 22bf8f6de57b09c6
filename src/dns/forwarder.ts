// SPDX-License-Identifier: Apache-2.0
/** Questions for somebody else: which server, how long, how often, and how many at once. */
import { randomInt } from 'node:crypto';
import type { Clock } from '../base/clock.js';
import {
  answersQuestion,
  isTruncated,
  type Query,
  RCODE,
  rcodeOf,
  truncated,
  udpLimit,
  withId,
} from './message.js';
import { type AskOptions, askTcp, askUdp, Timeout, type Upstream } from './upstream.js';

/** All tries together: libraries give a server 5 s before they ask the next. */
const PATIENCE_MS = 4_500;
const FIRST_TRY_MS = 1_500;
/** In less than this nobody need be asked. */
const LEAST_TRY_MS = 200;
/** For so long a server that did not answer is asked last. */
const AVOIDED_MS = 10_000;
/** Questions that wait for an answer. */
const MOST_PENDING = 2_048;
const MOST_PENDING_EACH = 256;
/** As the C library: further ones are not asked. */
const MOST_SERVERS = 3;

/** What another server might know better. */
const GIVES_UP: ReadonlySet<number> = new Set([RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED]);

export class Forwarder {
  readonly #o: AskOptions;
  readonly #clock: Clock;
  readonly #avoided = new Map<string, number>();
  readonly #pending = new Map<string, number>();
  #total = 0;

  constructor(options: AskOptions) {
    this.#o = options;
    this.#clock = options.clock;
  }

  get pending(): number {
    return this.#total;
  }

  /**
   * The answer with the query's id, which fits where the query came from; null:
   * nobody answers, or too many questions of `asker` are waiting already.
   */
  async forward(
    query: Query,
    upstreams: readonly Upstream[],
    transport: 'udp' | 'tcp',
    asker: string,
  ): Promise<Buffer | null> {
    const mine = this.#pending.get(asker) ?? 0;
    if (this.#total >= MOST_PENDING || mine >= MOST_PENDING_EACH) return null;
    this.#total++;
    this.#pending.set(asker, mine + 1);
    try {
      const answer = await this.#try(query, upstreams, transport);
      return answer === null ? null : fitted(query, withId(answer, query.id), transport);
    } finally {
      this.#total--;
      const left = (this.#pending.get(asker) ?? 1) - 1;
      if (left === 0) this.#pending.delete(asker);
      else this.#pending.set(asker, left);
    }
  }

  async #try(query: Query, upstreams: readonly Upstream[], transport: 'udp' | 'tcp'): Promise<Buffer | null> {
    const end = this.#clock.monotonic() + PATIENCE_MS;
    let refusal: Buffer | null = null;
    let left = this.#inOrder(upstreams.slice(0, MOST_SERVERS));
    for (let ms = FIRST_TRY_MS; left.length > 0; ms *= 2) {
      const silent: Upstream[] = [];
      for (const upstream of left) {
        const remaining = end - this.#clock.monotonic();
        if (remaining < LEAST_TRY_MS) return refusal;
        try {
          const answer = await this.#ask(query, upstream, transport, Math.min(ms, remaining));
          this.#avoided.delete(key(upstream));
          if (!GIVES_UP.has(rcodeOf(answer))) return answer;
          refusal = answer;
        } catch (e) {
          this.#avoid(upstream);
          if (e instanceof Timeout) silent.push(upstream);
        }
      }
      left = silent;
    }
    return refusal;
  }

  async #ask(query: Query, upstream: Upstream, transport: 'udp' | 'tcp', ms: number): Promise<Buffer> {
    const id = randomInt(0x10000);
    const question = withId(query.bytes, id);
    const accept = (bytes: Buffer): boolean => answersQuestion(query, id, bytes);
    if (transport === 'tcp') return askTcp(this.#o, upstream, question, accept, ms);
    const answer = await askUdp(this.#o, upstream, question, accept, ms);
    if (!isTruncated(answer)) return answer;
    // the client may have room for more than the server sends by UDP
    return askTcp(this.#o, upstream, question, accept, ms).catch(() => answer);
  }

  #inOrder(upstreams: readonly Upstream[]): Upstream[] {
    const now = this.#clock.monotonic();
    const bad = (upstream: Upstream): boolean => (this.#avoided.get(key(upstream)) ?? 0) > now;
    return [...upstreams.filter((upstream) => !bad(upstream)), ...upstreams.filter(bad)];
  }

  #avoid(upstream: Upstream): void {
    const now = this.#clock.monotonic();
    for (const [name, until] of this.#avoided) if (until <= now) this.#avoided.delete(name);
    this.#avoided.set(key(upstream), now + AVOIDED_MS);
  }
}

function key({ address, port, netns }: Upstream): string {
  return `${netns ?? ''} ${address} ${port}`;
}

function fitted(query: Query, answer: Buffer, transport: 'udp' | 'tcp'): Buffer {
  return transport === 'tcp' || answer.length <= udpLimit(query) ? answer : truncated(query, answer);
}
