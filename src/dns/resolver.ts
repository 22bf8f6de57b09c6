// SPDX-License-Identifier: Apache-2.0
/** The resolver that sandboxes see at 127.0.0.11: follows the model, and answers in every namespace. */
import type { Clock, Timer } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { NamedSandbox, Naming } from '../cnm/naming.js';
import type { ChangeEvent } from '../cnm/types.js';
import { Forwarder } from './forwarder.js';
import { domain, type HostResolvers } from './host-resolvers.js';
import { BadQuery, encodeAnswer, OUR_LIMIT, parseQuery, type Query, RCODE, udpLimit } from './message.js';
import { DnsMeter } from './meter.js';
import { Names } from './names.js';
import { type Namespaces, Place, type ResolverMap } from './place.js';
import { failure, respond, unknown } from './responder.js';
import { RESOLVER_ADDRESS } from './stand.js';
import type { Upstream } from './upstream.js';
import { Zone } from './zone.js';

const DNS_PORT = 53;
/** A TCP message has no room for more. */
const TCP_LIMIT = 65_535;
/** The socket hooks go by us for three of these without a beat. */
const BEAT_MS = 1_000;
/** Beats between two looks at every namespace's path. */
const LOOK_EVERY = 2;

export interface ResolverModel {
  readonly naming: Pick<Naming, keyof Naming>;
  onChange(listener: (e: ChangeEvent) => void): () => void;
}

export interface ResolverOptions {
  readonly model: ResolverModel;
  readonly namespaces: Namespaces;
  readonly map: ResolverMap;
  /** Tells the socket hooks that there are answers; false: that there are none any more. */
  readonly beat: (answers: boolean) => void;
  /** SO_MARK of sockets that the socket hooks leave alone. */
  readonly mark: number;
  readonly host: HostResolvers;
  /** What another engine calls a network of its own. */
  readonly nickname: (network: { readonly id: string }) => string | null;
  readonly clock: Clock;
  readonly log: Log;
}

interface Served {
  readonly place: Place;
  zone: Zone;
}

export class Resolver {
  readonly meter = new DnsMeter();
  readonly #o: ResolverOptions;
  readonly #names = new Names();
  readonly #forwarder: Forwarder;
  readonly #served = new Map<string, Served>();
  #unfollow: () => void = () => undefined;
  #timer: Timer | null = null;
  #beats = 0;
  /** Of resolvers that are closed. */
  #dropped = 0;
  #looking = false;

  constructor(options: ResolverOptions) {
    this.#o = options;
    const { clock, namespaces, mark } = options;
    this.#forwarder = new Forwarder({ clock, sockets: namespaces, mark });
  }

  /** Once every namespace that can be has its resolver. */
  async start(): Promise<void> {
    const { model, map, beat } = this.#o;
    beat(false);
    this.#unfollow = model.onChange((event) => this.#changed(event));
    for (const endpoint of model.naming.endpoints()) this.#names.setEndpoint(endpoint.id, endpoint);
    for (const service of model.naming.services()) this.#names.setService(service.id, service);
    await Promise.all(model.naming.sandboxes().map((sandbox) => this.#serve(sandbox)));
    const cookies = new Set([...this.#served.values()].map(({ place }) => place.cookie));
    const strays: bigint[] = [];
    for await (const [cookie] of map.entries()) if (!cookies.has(cookie)) strays.push(cookie);
    for (const cookie of strays) map.delete(cookie);
    this.#beat();
  }

  /** Others answer at 127.0.0.11 from now on, where there are any. */
  stop(): void {
    this.#timer?.cancel();
    this.#unfollow();
    this.#o.beat(false);
    for (const { place } of this.#served.values()) place.close();
    this.#served.clear();
  }

  /** How many sandboxes have their resolver, and how many wait for their namespace. */
  counts(): { open: number; waiting: number; pending: number } {
    const places = [...this.#served.values()].map(({ place }) => place);
    const open = places.filter(({ isOpen }) => isOpen).length;
    return { open, waiting: places.length - open, pending: this.#forwarder.pending };
  }

  /** Since the daemon started: questions merged into equal ones, and those that found a socket full. */
  totals(): { merged: number; dropped: number } {
    const dropped = [...this.#served.values()].reduce((sum, { place }) => sum + place.dropped, this.#dropped);
    return { merged: this.#forwarder.merged, dropped };
  }

  #beat(): void {
    this.#o.beat(true);
    this.#timer = this.#o.clock.after(BEAT_MS, () => this.#beat());
    if (++this.#beats % LOOK_EVERY === 0) void this.#look();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const { place } of [...this.#served.values()]) await place.look();
    } catch (err) {
      this.#o.log.error('cannot look after the resolvers of sandboxes', { err });
    } finally {
      this.#looking = false;
    }
  }

  #changed({ type, id }: ChangeEvent): void {
    const { model } = this.#o;
    if (type === 'endpoint') {
      const old = this.#names.endpoint(id);
      const endpoint = model.naming.endpoint(id);
      this.#names.setEndpoint(id, endpoint);
      for (const sandbox of new Set([old?.sandbox.id, endpoint?.sandbox.id])) {
        if (sandbox !== undefined) this.#follow(sandbox);
      }
    } else if (type === 'sandbox') {
      this.#follow(id);
    } else if (type === 'service') {
      this.#names.setService(id, model.naming.service(id));
    }
  }

  #follow(id: string): void {
    const sandbox = this.#o.model.naming.sandbox(id);
    if (sandbox !== null) {
      void this.#serve(sandbox);
      return;
    }
    this.#leave(id);
  }

  #leave(id: string): void {
    const served = this.#served.get(id);
    if (served === undefined) return;
    served.place.close();
    this.#dropped += served.place.dropped;
    this.#served.delete(id);
  }

  /** Resolves when it is open, or has to wait. */
  async #serve(sandbox: NamedSandbox): Promise<void> {
    if (sandbox.host) return;
    const zone = this.#zone(sandbox);
    const served = this.#served.get(sandbox.id);
    if (served?.place.netns === sandbox.netns) {
      served.zone = zone;
      return;
    }
    this.#leave(sandbox.id);
    const place = new Place(this.#o, sandbox.netns, (message, transport, reply) => {
      try {
        this.#answer(message, transport, made.zone, reply);
      } catch (err) {
        // whatever a container sends, others are answered
        this.#failed(err);
      }
    });
    const made: Served = { place, zone };
    this.#served.set(sandbox.id, made);
    await place.open();
  }

  #zone(sandbox: NamedSandbox): Zone {
    const { host, nickname } = this.#o;
    const own = sandbox.dnsSearch.map(domain);
    // another engine tells its containers what to search, and us nothing of it
    const search = sandbox.remote ? () => [] : own.length > 0 ? () => own : () => host.conf.search;
    return new Zone({ names: this.#names, sandbox, search, nickname });
  }

  #answer(message: Buffer, transport: 'udp' | 'tcp', zone: Zone, reply: (answer: Buffer) => void): void {
    let query: Query;
    try {
      query = parseQuery(message);
    } catch (e) {
      if (!(e instanceof BadQuery)) throw e;
      this.meter.count(null, 'malformed');
      if (e.answer !== null) reply(e.answer);
      return;
    }
    const limit = transport === 'tcp' ? TCP_LIMIT : Math.min(udpLimit(query), OUR_LIMIT);
    const upstreams = this.#upstreams(zone.sandbox);
    const answer = respond(query, zone) ?? (upstreams === null ? unknown() : null);
    if (answer !== null) {
      this.meter.count(query.type, outcomeOf(answer.rcode, answer.records.length));
      reply(encodeAnswer(query, answer, limit));
      return;
    }
    const { clock } = this.#o;
    const began = clock.monotonic();
    const forwarding = this.#forwarder.forward(query, upstreams ?? [], transport, zone.sandbox.id);
    if (forwarding === null) {
      this.meter.count(query.type, 'refused');
      reply(encodeAnswer(query, failure(RCODE.SERVFAIL), limit));
      return;
    }
    void forwarding
      .catch(() => null)
      .then((forwarded) => {
        this.meter.forwarded.observe((clock.monotonic() - began) / 1000);
        this.meter.count(query.type, forwarded === null ? 'failed' : 'forwarded');
        reply(forwarded ?? encodeAnswer(query, failure(RCODE.SERVFAIL), limit));
      })
      .catch((err: unknown) => this.#failed(err));
  }

  #failed(err: unknown): void {
    this.meter.count(null, 'failed');
    this.#o.log.error('a question could not be answered', { err });
  }

  /**
   * Whom to ask for what we do not know; null: nobody, so that what we do not
   * know does not exist. The servers of another engine and those that were given
   * are asked from inside, where the sandbox reaches them and no further.
   */
  #upstreams({ remote, netns, dns, leadsOut }: NamedSandbox): Upstream[] | null {
    if (remote) return [{ address: RESOLVER_ADDRESS, port: DNS_PORT, netns }];
    if (dns.length > 0) return dns.map((address) => ({ address, port: DNS_PORT, netns }));
    if (!leadsOut) return null;
    return this.#o.host.conf.servers.map((address) => ({ address, port: DNS_PORT, netns: null }));
  }
}

function outcomeOf(rcode: number, records: number): 'answered' | 'empty' | 'unknown' | 'failed' {
  if (rcode === RCODE.NXDOMAIN) return 'unknown';
  if (rcode !== RCODE.NOERROR) return 'failed';
  return records > 0 ? 'answered' : 'empty';
}
