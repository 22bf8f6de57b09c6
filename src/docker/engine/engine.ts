// SPDX-License-Identifier: Apache-2.0
/** A Docker Engine that is followed, from its address to what the rest of the daemon asks of it. */
import type { Clock } from '../../base/clock.js';
import { SluiceError } from '../../base/errors.js';
import type { Log } from '../../base/log.js';
import type { ChangeEvent } from '../../cnm/types.js';
import { planAdoption } from './adopt/plan.js';
import type { Adoption, AdoptOptions } from './adopt/types.js';
import { type EngineAddress, EngineClient, EngineError } from './client.js';
import { ContainerIndex, type Containers } from './containers.js';
import type { Problem } from './declared.js';
import { NetworkNames } from './networks.js';
import { type Orphan, type OrphanModel, Orphans, type Pruned } from './orphans.js';
import { type Container, isRunning } from './picture.js';
import { Reaper } from './reaper.js';
import { ServiceFollower, type ServiceModel } from './services.js';
import { EngineWatcher, type WatcherCounts } from './watcher.js';

export interface EngineModel extends ServiceModel, OrphanModel {
  onChange(listener: (event: ChangeEvent) => void): () => void;
}

export interface EngineOptions {
  readonly address: EngineAddress;
  readonly model: EngineModel;
  readonly clock: Clock;
  readonly log: Log;
}

export interface EngineStatus {
  readonly url: string;
  readonly connected: boolean;
  /** Seconds for which it has been connected, or has not. */
  readonly seconds: number;
  /** null: none has answered yet. */
  readonly version: string | null;
  readonly api: string | null;
  /** Why it is not connected. */
  readonly error: string | null;
  readonly containers: number;
  readonly running: number;
  readonly services: number;
  /** Labels that count for nothing. */
  readonly problems: Problem[];
}

export class DockerEngine {
  readonly #address: EngineAddress;
  readonly #client: EngineClient;
  readonly #model: EngineModel;
  readonly #clock: Clock;
  readonly #watcher: EngineWatcher;
  readonly #index: ContainerIndex;
  readonly #names: NetworkNames;
  readonly #services: ServiceFollower;
  readonly #orphans: Orphans;
  readonly #reaper: Reaper;
  readonly #stops: (() => void)[] = [];
  #wasConnected = false;

  constructor({ address, model, clock, log: parent }: EngineOptions) {
    const log = parent.child({ engine: address.url });
    this.#address = address;
    this.#model = model;
    this.#clock = clock;
    this.#client = new EngineClient(address, clock);
    this.#watcher = new EngineWatcher({ client: this.#client, clock, log });
    this.#index = new ContainerIndex(() => this.#watcher.containers());
    this.#names = new NetworkNames(() => this.#watcher.networks());
    this.#services = new ServiceFollower({
      model,
      containers: () => (this.#watcher.connection.connected ? this.#watcher.containers() : null),
      clock,
      log,
    });
    this.#orphans = new Orphans({ client: this.#client, model, clock });
    this.#reaper = new Reaper({ reap: () => this.#orphans.reap(), clock, log });
  }

  /** Does not wait for the Engine. */
  start(): void {
    this.#stops.push(
      this.#watcher.onChange(() => {
        this.#index.invalidate();
        this.#tellConnection();
        void this.#services.update();
      }),
      // An endpoint of ours may come after its container was seen.
      this.#model.onChange(({ type }) => {
        if (type === 'endpoint') void this.#services.update();
      }),
    );
    this.#watcher.start();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#watcher.stop();
    await this.#reaper.stop();
    await this.#services.stop();
  }

  get containers(): Containers {
    return this.#index;
  }

  get networks(): NetworkNames {
    return this.#names;
  }

  /** As last seen. */
  get picture(): readonly Container[] {
    return this.#watcher.containers();
  }

  get counts(): WatcherCounts {
    return this.#watcher.counts;
  }

  /** What was removed without being asked for, by kind. */
  get reaped(): ReadonlyMap<string, number> {
    return this.#reaper.counts;
  }

  status(): EngineStatus {
    const { connected, since, version, error } = this.#watcher.connection;
    const containers = this.#watcher.containers();
    return {
      url: this.#address.url,
      connected,
      seconds: Math.max(0, (this.#clock.now() - since) / 1000),
      version: version?.version ?? null,
      api: version?.api ?? null,
      error,
      containers: containers.length,
      running: containers.filter(isRunning).length,
      services: this.#model.services().filter(({ declaredBy }) => declaredBy !== null).length,
      problems: [...this.#services.problems],
    };
  }

  orphans(): Promise<Orphan[]> {
    return this.#ask(() => this.#orphans.find());
  }

  prune(): Promise<Pruned> {
    return this.#ask(() => this.#orphans.prune());
  }

  /** What it takes to move a network of Docker's to Sluice. Changes nothing. */
  adoption(network: string, options: AdoptOptions): Promise<Adoption> {
    return this.#ask(() => planAdoption(this.#client, network, options));
  }

  /** Asks the Engine on somebody's behalf. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const { connected, error } = this.#watcher.connection;
    const hint = 'start it, or name its address with --docker-host of sluiced';
    if (!connected) {
      const why = error === null ? '' : `: ${error}`;
      throw new SluiceError('unavailable', `no Docker Engine answers at ${this.#address.url}${why}`, {
        hint,
      });
    }
    try {
      return await question();
    } catch (e) {
      if (!(e instanceof EngineError)) throw e;
      throw new SluiceError('unavailable', `the Docker Engine at ${this.#address.url}: ${e.message}`, {
        hint,
        cause: e,
      });
    }
  }

  #tellConnection(): void {
    const { connected, version, error } = this.#watcher.connection;
    if (connected === this.#wasConnected) return;
    this.#wasConnected = connected;
    if (connected) this.#reaper.connected();
    else this.#reaper.disconnected();
    this.#model.emit({
      time: this.#clock.now(),
      type: 'engine',
      action: connected ? 'up' : 'down',
      id: this.#address.url,
      name: `Docker ${version?.version ?? ''}`.trim(),
      attributes: connected || error === null ? {} : { error },
    });
  }
}
