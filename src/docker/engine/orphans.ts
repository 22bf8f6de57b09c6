// SPDX-License-Identifier: Apache-2.0
/**
 * What we keep for Docker and Docker does not know any more: a plugin that is
 * down while a container stops never hears of it, and Docker does not say it
 * twice.
 */
import type { Clock } from '../../base/clock.js';
import { toSluiceError } from '../../base/errors.js';
import type { AddressLeases } from '../../cnm/leases.js';
import { remoteId } from '../../cnm/remote/types.js';
import type { RemoteObjects } from '../../cnm/remote.js';
import type { Endpoint, Network } from '../../cnm/types.js';
import type { EngineClient } from './client.js';
import { leaked } from './leaked.js';
import type { NetworkInspect } from './shapes.js';

/** What is used of the model. */
export interface OrphanModel {
  networks(): Network[];
  endpoints(): Endpoint[];
  readonly remote: Pick<RemoteObjects, 'removeEndpoint' | 'removeNetwork'>;
  readonly leases: Pick<AddressLeases, 'held' | 'reclaimPool' | 'reclaimAddress'>;
}

export interface Orphan {
  /** `address`, `pool`: of the address management, whichever driver Docker's network has. */
  readonly kind: 'endpoint' | 'address' | 'network' | 'pool';
  readonly id: string;
  readonly name: string;
}

export interface Pruned {
  readonly removed: Orphan[];
  readonly failed: (Orphan & { readonly error: string })[];
}

/** An orphan, how sure that is, and how it goes. */
interface Found {
  readonly orphan: Orphan;
  /** Milliseconds since it was made. */
  readonly age: number;
  /** The Engine has the network that it is on, by id: it is the one that the plugin serves. */
  readonly certain: boolean;
  readonly remove: () => Promise<void>;
}

/** While a container starts, its endpoint is ours for a moment before Docker lists it. */
const SETTLING = 60_000;
/** What goes without being asked for is older, milliseconds. */
export const CERTAIN_AFTER = 120_000;

export class Orphans {
  readonly #client: EngineClient;
  readonly #model: OrphanModel;
  readonly #clock: Clock;

  constructor(options: { client: EngineClient; model: OrphanModel; clock: Clock }) {
    this.#client = options.client;
    this.#model = options.model;
    this.#clock = options.clock;
  }

  /** Asks the Engine afresh. */
  async find(): Promise<Orphan[]> {
    return (await this.#look()).filter(({ age }) => age > SETTLING).map(({ orphan }) => orphan);
  }

  /** One that cannot be removed does not keep the others. */
  async prune(): Promise<Pruned> {
    return remove((await this.#look()).filter(({ age }) => age > SETTLING));
  }

  /** Removes only what this Engine has certainly forgotten. */
  async reap(): Promise<Pruned> {
    return remove((await this.#look()).filter(({ age, certain }) => certain && age > CERTAIN_AFTER));
  }

  /** In the order in which they can go. Throws unless everything could be listed. */
  async #look(): Promise<Found[]> {
    const { remote, leases } = this.#model;
    // Before Docker is asked: what comes later is no orphan.
    const endpoints = this.#model.endpoints().filter(isDockers);
    const networks = this.#model.networks().filter(isDockers);
    const held = leases.held();
    if (endpoints.length + networks.length + held.length === 0) return [];
    const [containers, listed] = await Promise.all([this.#client.containers(), this.#client.networks()]);
    const docker = await this.#inspect(listed);
    const known = new Set(docker.map(({ id }) => remoteId(id)));
    const used = new Set(
      [
        ...containers.flatMap((container) => container.networks),
        // While it starts, a container is in the listing of its network only.
        ...docker.flatMap((network) => network.containers),
      ].map(({ endpointId }) => remoteId(endpointId)),
    );
    const networkIds = new Map(networks.map(({ id, name }) => [name, id]));
    const age = (created: string): number => this.#clock.now() - Date.parse(created);
    const living = endpoints.filter(({ id, created }) => used.has(id) || age(created) <= SETTLING);
    const unused = leaked(held, docker, living);
    const found = (orphan: Orphan, created: string, certain: boolean, go: () => Promise<void>): Found => ({
      orphan,
      age: age(created),
      certain,
      remove: go,
    });
    return [
      ...endpoints.flatMap(({ id, name, network, created }) =>
        used.has(id)
          ? []
          : found({ kind: 'endpoint', id, name }, created, known.has(networkIds.get(network) ?? ''), () =>
              remote.removeEndpoint(id),
            ),
      ),
      ...unused.addresses.map(({ lease, network }) =>
        found(
          { kind: 'address', id: `${lease.pool} ${lease.address}`, name: lease.address },
          lease.created,
          networks.some(({ id }) => id === remoteId(network)),
          () => leases.reclaimAddress(lease),
        ),
      ),
      ...networks.flatMap(({ id, name, created }) =>
        known.has(id)
          ? []
          : found({ kind: 'network', id, name }, created, false, () => remote.removeNetwork(id)),
      ),
      ...unused.pools.map((pool) =>
        found({ kind: 'pool', id: pool.id, name: pool.cidr }, pool.created, false, () =>
          leases.reclaimPool(pool),
        ),
      ),
    ];
  }

  /** Each with its containers. One that has just gone is as good as never listed. */
  async #inspect(listed: readonly NetworkInspect[]): Promise<NetworkInspect[]> {
    const inspected = await Promise.all(listed.map(({ id }) => this.#client.network(id)));
    return inspected.filter((network) => network !== null);
  }
}

function isDockers({ origin }: Endpoint | Network): boolean {
  return origin === 'docker';
}

async function remove(all: readonly Found[]): Promise<Pruned> {
  const removed: Orphan[] = [];
  const failed: (Orphan & { error: string })[] = [];
  for (const { orphan, remove: go } of all) {
    try {
      await go();
      removed.push(orphan);
    } catch (e) {
      failed.push({ ...orphan, error: toSluiceError(e, 'prune').message });
    }
  }
  return { removed, failed };
}
