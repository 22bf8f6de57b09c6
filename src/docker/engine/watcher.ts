// SPDX-License-Identifier: Apache-2.0
/**
 * Follows an Engine: connects, listens to its events, then lists what there
 * is, so that nothing falls in between; and again after every break, with
 * longer and longer pauses. An Engine that is missing is the usual case on a
 * host without Docker, and no error.
 */
import { type Clock, sleep, type Timer } from '../../base/clock.js';
import type { Log } from '../../base/log.js';
import type { EngineClient, EventStream } from './client.js';
import { type Container, isRunning, Picture } from './picture.js';
import type { EngineVersion, NetworkInspect } from './shapes.js';

export interface WatcherOptions {
  readonly client: EngineClient;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Connection {
  /** Listening, and everything listed. */
  readonly connected: boolean;
  /** Milliseconds since the epoch, of the last change of `connected`. */
  readonly since: number;
  /** Of the Engine that answers, or answered last. */
  readonly version: EngineVersion | null;
  /** Why it is not connected; null: not tried yet, or it is. */
  readonly error: string | null;
}

export interface WatcherCounts {
  /** By what they were about, such as `start`. */
  readonly events: ReadonlyMap<string, number>;
  /** Times that a connection was made. */
  readonly connections: number;
  /** Times that a listing told of something that no event had. */
  readonly missed: number;
}

const FILTERS = {
  type: ['container', 'network'],
  event: [
    'create',
    'start',
    'die',
    'kill',
    'stop',
    'pause',
    'unpause',
    'health_status',
    'rename',
    'destroy',
    'connect',
    'disconnect',
  ],
};
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 15_000;
/** Everything is listed so often, whatever the events said. */
const LISTING = 60_000;
/** After the stop timeout Docker still has to kill and to reap. */
const REAPING = 3000;

export class EngineWatcher {
  readonly #client: EngineClient;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #picture = new Picture();
  readonly #listeners = new Set<() => void>();
  readonly #ending = new AbortController();
  readonly #looks = new Map<string, Promise<void>>();
  readonly #deadlines = new Map<string, { since: number; timer: Timer }>();
  readonly #events = new Map<string, number>();
  #networks: readonly NetworkInspect[] = [];
  #stream: EventStream | null = null;
  #connection: Connection;
  #connections = 0;
  #missed = 0;
  #running: Promise<void> = Promise.resolve();

  constructor({ client, clock, log }: WatcherOptions) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#connection = { connected: false, since: clock.now(), version: null, error: null };
  }

  /** Begins, and does not wait for the Engine. */
  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort(new Error('the daemon stops'));
    this.#stream?.close();
    for (const { timer } of this.#deadlines.values()) timer.cancel();
    this.#deadlines.clear();
    this.#client.close();
    await this.#running;
  }

  get connection(): Connection {
    return this.#connection;
  }

  get counts(): WatcherCounts {
    return { events: this.#events, connections: this.#connections, missed: this.#missed };
  }

  /** As last seen; still there while the Engine is away. */
  containers(): Container[] {
    return this.#picture.all();
  }

  networks(): readonly NetworkInspect[] {
    return this.#networks;
  }

  /** Called after each change of containers or connection. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    for (let pause = FIRST_PAUSE; !signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const before = this.#connections;
      try {
        await this.#follow();
        if (signal.aborted) return;
        this.#lost('the Engine ended the stream of events');
      } catch (e) {
        if (signal.aborted) return;
        this.#lost((e as Error).message);
      }
      if (this.#connections > before) pause = FIRST_PAUSE;
      await sleep(this.#clock, pause, signal).catch(() => undefined);
    }
  }

  /** Returns or throws when the connection is over. */
  async #follow(): Promise<void> {
    const version = await this.#client.negotiate();
    const stream = await this.#client.events(FILTERS);
    this.#stream = stream;
    const over = new AbortController();
    if (this.#ending.signal.aborted) stream.close();
    const listening = this.#listen(stream);
    // Who awaits it first is the race below; a break must not go unhandled meanwhile.
    listening.catch(() => undefined);
    try {
      await Promise.race([
        this.#list(),
        listening.then(() => Promise.reject(new Error('the Engine stopped'))),
      ]);
      this.#connections++;
      this.#set({ connected: true, version, error: null });
      this.#log.info('following the Docker Engine', {
        version: version.version,
        api: version.api,
        containers: this.#picture.size,
      });
      await Promise.race([listening, this.#listAgain(AbortSignal.any([this.#ending.signal, over.signal]))]);
    } finally {
      over.abort(new Error('the connection is over'));
      stream.close();
      this.#stream = null;
    }
  }

  async #listen({ events }: EventStream): Promise<void> {
    for await (const batch of events) {
      for (const event of batch) {
        const { type, action } = event;
        const kind = type === 'network' ? `network_${action}` : action;
        this.#events.set(kind, (this.#events.get(kind) ?? 0) + 1);
        const effect = this.#picture.event(event);
        if (effect === 'look') this.#look(type === 'network' ? (event.attributes.container ?? '') : event.id);
        if (type === 'network' && (action === 'create' || action === 'destroy')) this.#lookAtNetworks();
      }
      this.#changed();
    }
  }

  /** Never returns; throws with the connection. */
  async #listAgain(signal: AbortSignal): Promise<never> {
    for (;;) {
      await sleep(this.#clock, LISTING, signal);
      await this.#list();
    }
  }

  /** Puts right what events did not tell. Those about which an event came meanwhile are left to it. */
  async #list(): Promise<void> {
    const from = this.#picture.now;
    const [summaries, networks] = await Promise.all([this.#client.containers(), this.#client.networks()]);
    this.#networks = networks;
    const first = this.#connections === 0;
    const there = new Set(summaries.map(({ id }) => id));
    const untouched = (id: string): boolean => this.#picture.revision(id) <= from;
    const looks: Promise<void>[] = [];
    for (const summary of summaries) {
      if (!untouched(summary.id) || !this.#picture.differs(summary)) continue;
      if (!first) this.#missed++;
      this.#picture.list(summary);
      looks.push(this.#look(summary.id));
    }
    for (const { id } of this.#picture.all()) {
      if (there.has(id) || !untouched(id)) continue;
      this.#picture.remove(id);
      if (!first) this.#missed++;
    }
    this.#picture.tidy();
    await Promise.all(looks);
    this.#changed();
  }

  /** Inspects a container, again if an event about it comes meanwhile; never fails. */
  #look(id: string): Promise<void> {
    const running = this.#looks.get(id);
    if (running) return running;
    const looking = this.#inspect(id).finally(() => {
      this.#looks.delete(id);
      this.#changed();
    });
    this.#looks.set(id, looking);
    return looking;
  }

  async #inspect(id: string): Promise<void> {
    try {
      for (let revision = -1; revision !== this.#picture.revision(id); ) {
        revision = this.#picture.revision(id);
        const found = await this.#client.container(id);
        if (revision !== this.#picture.revision(id)) continue;
        if (found) this.#picture.look(found);
        else this.#picture.remove(id);
      }
    } catch (e) {
      // The next event or listing tries again.
      this.#log.debug('a container could not be inspected', { container: id, err: e });
    }
  }

  #lookAtNetworks(): void {
    this.#client.networks().then(
      (networks) => {
        this.#networks = networks;
      },
      (e: unknown) => this.#log.debug('the networks could not be listed', { err: e }),
    );
  }

  #changed(): void {
    this.#watchDeadlines();
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (err) {
        this.#log.error('a listener of containers failed', { err });
      }
    }
  }

  /** Who was asked to stop and has not within its time goes on: the signal was not meant, or not obeyed. */
  #watchDeadlines(): void {
    for (const { id, stopping, stopTimeout } of this.#picture.all()) {
      const watched = this.#deadlines.get(id);
      if (watched?.since === stopping) continue;
      watched?.timer.cancel();
      this.#deadlines.delete(id);
      if (stopping === null || stopTimeout === null) continue;
      const timer = this.#clock.after(stopTimeout * 1000 + REAPING, () => this.#overdue(id));
      this.#deadlines.set(id, { since: stopping, timer });
    }
    for (const [id, { timer }] of this.#deadlines) {
      if (this.#picture.get(id)) continue;
      timer.cancel();
      this.#deadlines.delete(id);
    }
  }

  #overdue(id: string): void {
    const container = this.#picture.get(id);
    // An Engine that is away cannot say that it runs; the next listing does.
    if (!container || !isRunning(container)) return;
    this.#log.info('a container goes on after its stop timeout', { container: container.name });
    this.#picture.goesOn(id);
    void this.#look(id);
    this.#changed();
  }

  #lost(error: string): void {
    const { connected, version } = this.#connection;
    if (connected)
      this.#log.warn('the Docker Engine is gone; its containers are kept as they were', { error });
    else if (this.#connection.error !== error) this.#log.info('no Docker Engine to follow', { error });
    this.#set({ connected: false, version, error });
  }

  #set(next: Omit<Connection, 'since'>): void {
    const { connected, since } = this.#connection;
    this.#connection = { ...next, since: connected === next.connected ? since : this.#clock.now() };
    this.#changed();
  }
}
