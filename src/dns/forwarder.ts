// SPDX-License-Identifier: Apache-2.0
/** Questions for somebody else: which server, how long, how often, and how many at once. */
import type { Clock } from '../base/clock.js';
import { Lanes } from './lanes.js';
import { Mailbox } from './mailbox.js';
import {
  asAsked,
  isTruncated,
  OUR_LIMIT,
  type Query,
  RCODE,
  rcodeOf,
  sameness,
  truncated,
  udpLimit,
} from './message.js';
import { Shares } from './shares.js';
import { type Asked, type AskOptions, askTcp, type Told, type Upstream } from './upstream.js';

/** All tries together: libraries give a server 5 s before they ask the next. */
const PATIENCE_MS = 4_500;
const FIRST_TRY_MS = 1_500;
/** For an answer by TCP instead of a cut one. */
const FETCH_MS = 3_000;
/** In less than this nobody need be asked. */
const LEAST_TRY_MS = 200;
/** For so long a server that did not answer is asked last. */
const AVOIDED_MS = 10_000;
/** Questions that wait for an answer: of one sandbox alone half of it, see Shares. */
const MOST_PENDING = 8_192;
/** Connections to servers, shared in the same way. */
const MOST_CONNECTIONS = 1_024;
/** As the C library: further ones are not asked. */
const MOST_SERVERS = 3;

/** What another server might know better. */
const GIVES_UP: ReadonlySet<number> = new Set([RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED]);

type Transport = 'udp' | 'tcp';
/** null: the server cannot be reached. */
type News = { readonly upstream: Upstream; readonly answer: Buffer | null };

export interface ForwarderOptions extends AskOptions {
  readonly clock: Clock;
}

export class Forwarder {
  readonly #o: ForwarderOptions;
  readonly #clock: Clock;
  readonly #avoided = new Map<string, number>();
  readonly #room = new Shares(MOST_PENDING);
  readonly #connections = new Shares(MOST_CONNECTIONS);
  readonly #lanes = new Map<string, Lanes>();
  readonly #asking = new Map<string, Promise<Buffer | null>>();
  #merged = 0;

  constructor(options: ForwarderOptions) {
    this.#o = options;
    this.#clock = options.clock;
  }

  get pending(): number {
    return this.#room.total;
  }

  /** Questions that had the answer to an equal one, which was being asked already. */
  get merged(): number {
    return this.#merged;
  }

  /**
   * The answer with the query's id and letters, which fits where the query came
   * from; null in the end: nobody answers. null at once: too many questions wait
   * already, of all or of `asker`.
   */
  forward(
    query: Query,
    upstreams: readonly Upstream[],
    transport: Transport,
    asker: string,
  ): Promise<Buffer | null> | null {
    if (query.bytes.length > OUR_LIMIT || !this.#room.take(asker)) return null;
    return this.#once(query, upstreams, transport, asker)
      .then((answer) => (answer === null ? null : fitted(query, asAsked(query, answer), transport)))
      .finally(() => this.#room.give(asker));
  }

  /** Equal questions are one: the servers have less to do, and a forger fewer answers that fit. */
  #once(
    query: Query,
    upstreams: readonly Upstream[],
    transport: Transport,
    asker: string,
  ): Promise<Buffer | null> {
    const question = [transport, ...upstreams.map(key), sameness(query)].join(' ');
    const same = this.#asking.get(question);
    if (same !== undefined) {
      this.#merged++;
      return same;
    }
    const answer = this.#try(query, upstreams, transport, asker).finally(() => this.#asking.delete(question));
    this.#asking.set(question, answer);
    return answer;
  }

  /** One server after the other. Whoever was asked may answer for as long as anybody waits. */
  async #try(
    query: Query,
    upstreams: readonly Upstream[],
    transport: Transport,
    asker: string,
  ): Promise<Buffer | null> {
    const end = this.#clock.monotonic() + PATIENCE_MS;
    const news = new Mailbox<News>(this.#clock);
    const asked = new Map<Upstream, Asked>();
    const left = new Set(this.#inOrder(upstreams.slice(0, MOST_SERVERS)));
    let refusal: Buffer | null = null;
    try {
      // a burst of which much was lost does not come back as one
      const first = FIRST_TRY_MS * (1 - Math.random() / 3);
      for (let ms = first; left.size > 0; ms *= 2) {
        for (const upstream of [...left]) {
          if (!left.has(upstream)) continue;
          if (end - this.#clock.monotonic() < LEAST_TRY_MS) return refusal;
          this.#say(query, upstream, transport, asker, asked, news);
          let until = Math.min(this.#clock.monotonic() + ms, end);
          let cut: Buffer | null = null;
          while (left.has(upstream)) {
            const got = await news.next(until - this.#clock.monotonic());
            if (got === null || got.answer === null) {
              if (cut !== null) return cut;
              this.#avoid(got?.upstream ?? upstream);
              if (got === null) break;
            } else {
              this.#avoided.delete(key(got.upstream));
              if (transport === 'udp' && isTruncated(got.answer) && cut === null) {
                // the client may have room for more than the server sends by UDP
                cut = got.answer;
                asked.set(got.upstream, this.#askTcp(query, got.upstream, asker, news));
                until = Math.min(this.#clock.monotonic() + FETCH_MS, end);
                continue;
              }
              if (!GIVES_UP.has(rcodeOf(got.answer))) return got.answer;
              refusal = got.answer;
            }
            left.delete(got.upstream);
          }
        }
      }
      return refusal;
    } finally {
      for (const one of asked.values()) one.close();
    }
  }

  #say(
    query: Query,
    upstream: Upstream,
    transport: Transport,
    asker: string,
    asked: Map<Upstream, Asked>,
    news: Mailbox<News>,
  ): void {
    const before = asked.get(upstream);
    if (before !== undefined) before.again();
    else if (transport === 'tcp') asked.set(upstream, this.#askTcp(query, upstream, asker, news));
    else asked.set(upstream, this.#lanesTo(upstream).ask(query, telling(upstream, news)));
  }

  #askTcp(query: Query, upstream: Upstream, asker: string, news: Mailbox<News>): Asked {
    return askTcp(this.#o, this.#connections, asker, upstream, query, telling(upstream, news));
  }

  #lanesTo(upstream: Upstream): Lanes {
    const name = key(upstream);
    let lanes = this.#lanes.get(name);
    if (lanes === undefined) {
      lanes = new Lanes(this.#o, upstream, () => this.#lanes.delete(name));
      this.#lanes.set(name, lanes);
    }
    return lanes;
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

function telling(upstream: Upstream, news: Mailbox<News>): Told {
  return {
    answered: (answer) => news.put({ upstream, answer }),
    failed: () => news.put({ upstream, answer: null }),
  };
}

function key({ address, port, netns }: Upstream): string {
  return `${netns ?? ''} ${address} ${port}`;
}

function fitted(query: Query, answer: Buffer, transport: Transport): Buffer {
  return transport === 'tcp' || answer.length <= udpLimit(query) ? answer : truncated(query, answer);
}
