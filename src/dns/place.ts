// SPDX-License-Identifier: Apache-2.0
/**
 * The resolver of one sandbox: open for as long as its namespace is there.
 * Another engine may bind that late, and anybody may take it away, so the path
 * is looked at again and again. Sockets of ours keep a namespace alive: they are
 * closed as soon as nobody finds it by its path.
 */
import { stat } from 'node:fs/promises';
import type { Clock, Timer } from '../base/clock.js';
import type { Log } from '../base/log.js';
import { type Ports, type Serve, Stand, type StandSockets } from './stand.js';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 5_000;

/** Where the socket hooks look, by the cookie of the namespace. */
export interface ResolverMap {
  get(cookie: bigint): Ports | undefined;
  set(cookie: bigint, ports: Ports): void;
  delete(cookie: bigint): boolean;
  entries(): AsyncIterable<[bigint, Ports]>;
}

export interface Namespaces extends StandSockets {
  /** null: `path` is no network namespace. */
  info(path: string): Promise<{ inode: bigint; cookie: bigint } | null>;
}

export interface PlaceOptions {
  readonly namespaces: Namespaces;
  readonly map: ResolverMap;
  readonly clock: Clock;
  readonly log: Log;
}

export class Place {
  readonly netns: string;
  readonly #o: PlaceOptions;
  readonly #serve: Serve;
  #open: { readonly stand: Stand; readonly cookie: bigint; readonly inode: bigint } | null = null;
  #timer: Timer | null = null;
  #wait = FIRST_RETRY_MS;
  #working = false;
  #closed = false;
  /** Of stands that are closed. */
  #dropped = 0;

  constructor(options: PlaceOptions, netns: string, serve: Serve) {
    this.#o = options;
    this.netns = netns;
    this.#serve = serve;
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  get cookie(): bigint | null {
    return this.#open?.cookie ?? null;
  }

  /** Questions that found the socket full. */
  get dropped(): number {
    return this.#dropped + (this.#open?.stand.dropped ?? 0);
  }

  /** Opens it, now or when it can be. Never rejects. */
  async open(): Promise<void> {
    if (this.#closed || this.#open !== null || this.#working) return;
    this.#working = true;
    try {
      if (await this.#tryOpen()) {
        this.#wait = FIRST_RETRY_MS;
        return;
      }
    } catch (err) {
      this.#o.log.debug('no resolver there yet', { netns: this.netns, err });
    } finally {
      this.#working = false;
    }
    this.#later();
  }

  async #tryOpen(): Promise<boolean> {
    const { namespaces, map } = this.#o;
    const info = await namespaces.info(this.netns);
    if (info === null || info.cookie === 0n) return false;
    const { cookie, inode } = info;
    const stand = await Stand.open(namespaces, this.netns, map.get(cookie) ?? null, this.#serve);
    if (this.#closed) {
      stand.close();
      return true;
    }
    try {
      map.set(cookie, stand.ports);
    } catch (e) {
      stand.close();
      throw e;
    }
    this.#open = { stand, cookie, inode };
    return true;
  }

  #later(): void {
    if (this.#closed) return;
    this.#timer = this.#o.clock.after(this.#wait, () => void this.open());
    this.#wait = Math.min(2 * this.#wait, LAST_RETRY_MS);
  }

  /** Whether the namespace is the one that it was; closes and begins anew if not. */
  async look(): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    const inode = await stat(this.netns, { bigint: true }).then(
      (found) => found.ino,
      () => null,
    );
    if (this.#open !== open || inode === open.inode) return;
    this.#shut();
    this.#later();
  }

  #shut(): void {
    if (this.#open === null) return;
    const { stand, cookie } = this.#open;
    this.#dropped += stand.dropped;
    this.#open = null;
    stand.close();
    // two paths may lead to one namespace, whose entry is the later one's
    const entry = this.#o.map.get(cookie);
    if (entry?.udp === stand.ports.udp && entry.tcp === stand.ports.tcp) this.#o.map.delete(cookie);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#shut();
  }
}
