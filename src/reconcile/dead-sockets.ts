// SPDX-License-Identifier: Apache-2.0
import type { Clock, Timer } from '../base/clock.js';
import { Coalesced } from '../base/coalesced.js';
import type { Log } from '../base/log.js';
import { backend_state } from '../maps/generated/enums.js';
import type { KernelMap } from './kernel.js';
import type { Tables } from './tables.js';

interface PeerKey {
  cookie: bigint;
  addr: string;
  port: number;
}
interface PeerValue {
  addr: string;
  port: number;
  backend: number;
  client: number;
}
type PeerMap = Pick<KernelMap<PeerKey, PeerValue>, 'entries' | 'get' | 'delete'>;

export interface DeadSocketsOptions {
  maps: {
    readonly socket_peers4: PeerMap;
    readonly socket_peers6: PeerMap;
    readonly service_backends: {
      get(id: number): { endpoint: number; generation: number; state: number } | undefined;
    };
    readonly endpoints: { get(slot: number): { generation: number } | undefined };
  };
  tables: Tables;
  /** Ends the sockets with these cookies in a namespace, null: the daemon's own; answers how many. */
  destroy(
    netns: string | null,
    peers: readonly { address: string; port: number }[],
    cookies: ReadonlySet<bigint>,
  ): Promise<number>;
  clock: Clock;
  log: Log;
}

/** A socket that was about to connect when its backend went is found by the second look. */
const AGAIN_MS = 1_000;

/** Sockets of one namespace. */
interface Doomed {
  readonly cookies: Set<bigint>;
  readonly peers: Map<string, { address: string; port: number }>;
  readonly notes: { map: PeerMap; key: PeerKey; backend: number }[];
}

/**
 * Sockets that were translated to a backend which is no more: no packet of
 * theirs passes a service again, so they are ended, and their programs connect
 * anew. Which backends are gone is read from the maps.
 */
export class DeadSockets {
  readonly #o: DeadSocketsOptions;
  readonly #look: Coalesced<void>;
  #again: Timer | null = null;
  #notes: Doomed['notes'] = [];
  #stopped = false;

  constructor(options: DeadSocketsOptions) {
    this.#o = options;
    this.#look = new Coalesced(() => this.#once());
  }

  /** To be told when backends are gone from the maps. Delays nobody, and never fails. */
  backendsGone(): void {
    if (this.#stopped) return;
    void this.#look.run();
    this.#again?.cancel();
    this.#again = this.#o.clock.after(AGAIN_MS, () => {
      this.#again = null;
      if (!this.#stopped) void this.#look.run().then(() => this.#tidy());
    });
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#again?.cancel();
    await this.#look.run();
  }

  async #once(): Promise<void> {
    if (this.#stopped) return;
    const { tables, destroy, log } = this.#o;
    try {
      const found = await this.#find();
      this.#notes = [...found.values()].flatMap(({ notes }) => notes);
      for (const [client, { cookies, peers }] of found) {
        const netns = client === 0 ? null : tables.row('socket-member', String(client))?.netns;
        if (netns === undefined) continue;
        try {
          const ended = await destroy(netns, [...peers.values()], cookies);
          if (ended > 0) log.info('ended sockets whose backend is gone', { netns: netns ?? 'host', ended });
        } catch (e) {
          log.warn(`sockets in ${netns ?? "the host's namespace"} that lost their backend stay open`, {
            err: e,
          });
        }
      }
    } catch (e) {
      log.error('cannot look for sockets that lost their backend', { err: e });
    }
  }

  /** By the slot of the client's endpoint, 0: the host. */
  async #find(): Promise<Map<number, Doomed>> {
    const { socket_peers4, socket_peers6 } = this.#o.maps;
    const alive = new Map<number, boolean>();
    const found = new Map<number, Doomed>();
    for (const map of [socket_peers4, socket_peers6]) {
      for await (const [key, { backend, client }] of map.entries()) {
        if (backend === 0) continue;
        let lives = alive.get(backend);
        if (lives === undefined) {
          lives = this.#lives(backend);
          alive.set(backend, lives);
        }
        if (lives) continue;
        let doomed = found.get(client);
        if (doomed === undefined) {
          doomed = { cookies: new Set(), peers: new Map(), notes: [] };
          found.set(client, doomed);
        }
        doomed.cookies.add(key.cookie);
        doomed.peers.set(`${key.addr} ${key.port}`, { address: key.addr, port: key.port });
        doomed.notes.push({ map, key, backend });
      }
    }
    return found;
  }

  #lives(id: number): boolean {
    const { service_backends, endpoints } = this.#o.maps;
    const backend = service_backends.get(id);
    if (backend === undefined || backend.state === backend_state.BACKEND_NONE) return false;
    return endpoints.get(backend.endpoint)?.generation === backend.generation;
  }

  /** What was seen to twice need not be looked for in its namespace a third time. */
  #tidy(): void {
    if (this.#stopped) return;
    for (const { map, key, backend } of this.#notes.splice(0)) {
      try {
        if (map.get(key)?.backend === backend) map.delete(key);
      } catch (e) {
        this.#o.log.debug('a note of a socket stays', { err: e });
      }
    }
  }
}
