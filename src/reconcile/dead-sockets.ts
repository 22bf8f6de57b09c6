// SPDX-License-Identifier: Apache-2.0
import type { Clock, Timer } from '../base/clock.js';
import { Coalesced } from '../base/coalesced.js';
import type { Log } from '../base/log.js';
import type { Move, Moved } from '../link/socket-move.js';
import { backend_state } from '../maps/generated/enums.js';
import type { KernelMap } from './kernel.js';
import type { Tables } from './tables.js';

export interface PeerKey {
  cookie: bigint;
  addr: string;
  port: number;
}
export interface PeerValue {
  addr: string;
  port: number;
  backend: number;
  client: number;
}
export type PeerMap = Pick<KernelMap<PeerKey, PeerValue>, 'entries' | 'get' | 'set' | 'delete'>;

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
  /** Connects the UDP sockets among these anew, in a namespace, null: the daemon's own. */
  move(netns: string | null, moves: readonly Move[]): Promise<Pick<Moved, 'moved' | 'refused'>>;
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

interface Peer {
  readonly address: string;
  readonly port: number;
}

/** A service may have another backend in a moment: UDP sockets that nobody takes up are tried again. */
const RETRY_MS = 150;
const MOST_REFUSALS = 5;

/** Sockets of one namespace. */
interface Doomed {
  readonly cookies: Set<bigint>;
  /** To what their programs had named. */
  readonly moves: { cookie: bigint; from: Peer; to: Peer }[];
  readonly peers: Map<string, Peer>;
  readonly notes: { map: PeerMap; key: PeerKey; value: PeerValue }[];
}

/**
 * Sockets that were translated to a backend which is no more: no packet of
 * theirs passes a service again. UDP sockets are connected anew, to another
 * backend; those that cannot be, and TCP, are ended. Which backends are gone is read from the maps.
 */
export class DeadSockets {
  readonly #o: DeadSocketsOptions;
  readonly #look: Coalesced<void>;
  #again: Timer | null = null;
  #notes: Doomed['notes'] = [];
  /** How often they were refused, by cookie; 0: moved. */
  #refused = new Map<bigint, number>();
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
      const still = new Map<bigint, number>();
      this.#notes = [...found.values()].flatMap(({ notes }) => notes);
      for (const [client, { cookies, moves, peers, notes }] of found) {
        const netns = client === 0 ? null : tables.row('socket-member', String(client))?.netns;
        if (netns === undefined) continue;
        try {
          const { moved, refused } = await this.#move(netns, moves, notes);
          for (const cookie of moved) {
            cookies.delete(cookie);
            still.set(cookie, 0);
          }
          for (const cookie of refused) {
            const times = (this.#refused.get(cookie) ?? 0) + 1;
            if (times === MOST_REFUSALS) continue;
            still.set(cookie, times);
            cookies.delete(cookie);
          }
          const ended = cookies.size === 0 ? 0 : await destroy(netns, [...peers.values()], cookies);
          if (moved.size + ended > 0)
            log.info('sockets whose backend is gone have another, or ended', {
              netns: netns ?? 'host',
              moved: moved.size,
              ended,
            });
        } catch (e) {
          log.warn(`sockets in ${netns ?? "the host's namespace"} that lost their backend stay open`, {
            err: e,
          });
        }
      }
      this.#refused = still;
      // those that moved may have got one that goes as well
      if (still.size > 0) this.#o.clock.after(RETRY_MS, () => void this.#look.run());
    } catch (e) {
      log.error('cannot look for sockets that lost their backend', { err: e });
    }
  }

  /** Their notes are those that the hooks write anew, perhaps with the same content. */
  async #move(netns: string | null, moves: readonly Move[], notes: Doomed['notes']) {
    this.#forget(notes);
    let moved: ReadonlySet<bigint> = new Set();
    try {
      const result = await this.#o.move(netns, moves);
      moved = result.moved;
      return result;
    } finally {
      for (const { map, key, value } of notes) if (!moved.has(key.cookie)) map.set(key, value);
      this.#notes = this.#notes.filter(({ key }) => !moved.has(key.cookie));
    }
  }

  /** By the slot of the client's endpoint, 0: the host. */
  async #find(): Promise<Map<number, Doomed>> {
    const { socket_peers4, socket_peers6 } = this.#o.maps;
    const alive = new Map<number, boolean>();
    const found = new Map<number, Doomed>();
    for (const map of [socket_peers4, socket_peers6]) {
      for await (const [key, value] of map.entries()) {
        const { addr, port, backend, client } = value;
        if (backend === 0) continue;
        let lives = alive.get(backend);
        if (lives === undefined) {
          lives = this.#lives(backend);
          alive.set(backend, lives);
        }
        if (lives) continue;
        let doomed = found.get(client);
        if (doomed === undefined) {
          doomed = { cookies: new Set(), moves: [], peers: new Map(), notes: [] };
          found.set(client, doomed);
        }
        const from = { address: key.addr, port: key.port };
        doomed.cookies.add(key.cookie);
        doomed.moves.push({ cookie: key.cookie, from, to: { address: addr, port } });
        doomed.peers.set(`${key.addr} ${key.port}`, from);
        doomed.notes.push({ map, key, value });
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
    if (!this.#stopped) this.#forget(this.#notes.splice(0));
  }

  #forget(notes: Doomed['notes']): void {
    for (const { map, key, value } of notes) {
      try {
        if (map.get(key)?.backend === value.backend) map.delete(key);
      } catch (e) {
        this.#o.log.debug('a note of a socket stays', { err: e });
      }
    }
  }
}
