// SPDX-License-Identifier: Apache-2.0
/**
 * What we keep for Docker and Docker does not know any more: a plugin that is
 * down while a container stops never hears of it, and Docker does not say it
 * twice.
 */
import type { Clock } from '../../base/clock.js';
import { SluiceError, toSluiceError } from '../../base/errors.js';
import type { Endpoint, Network, Plan, Sandbox } from '../../cnm/types.js';
import type { EngineClient } from './client.js';
import { ENDPOINT_LABEL, NETWORK_LABEL } from './ours.js';

/** What is used of the model. */
export interface OrphanModel {
  networks(): Network[];
  endpoints(): Endpoint[];
  sandboxes(): Sandbox[];
  leave(ref: string): Promise<Endpoint | Plan>;
  removeEndpoint(ref: string): Promise<void | Plan>;
  removeSandbox(ref: string): Promise<void | Plan>;
  removeNetwork(ref: string): Promise<void | Plan>;
}

export interface Orphan {
  readonly kind: 'endpoint' | 'network';
  readonly id: string;
  readonly name: string;
  /** Docker's id of it. */
  readonly dockerId: string;
}

export interface Pruned {
  readonly removed: Orphan[];
  readonly failed: (Orphan & { readonly error: string })[];
}

/** While a container starts, its endpoint is ours for a moment before Docker lists it. */
const SETTLING = 60_000;
/** Where Docker keeps the namespaces of containers; the sandboxes there are made for them. */
const DOCKER_NETNS = /\/docker\/netns\//;

export class Orphans {
  readonly #client: EngineClient;
  readonly #model: OrphanModel;
  readonly #clock: Clock;

  constructor(options: { client: EngineClient; model: OrphanModel; clock: Clock }) {
    this.#client = options.client;
    this.#model = options.model;
    this.#clock = options.clock;
  }

  /** Asks the Engine afresh. Endpoints before networks. */
  async find(): Promise<Orphan[]> {
    const endpoints = this.#model.endpoints().filter((object) => this.#isDockers(object, ENDPOINT_LABEL));
    const networks = this.#model.networks().filter((object) => this.#isDockers(object, NETWORK_LABEL));
    const [containers, known] = await Promise.all([this.#client.containers(), this.#client.networks()]);
    const ids = new Set(containers.flatMap(({ networks: all }) => all.map(({ endpointId }) => endpointId)));
    if (endpoints.some(({ labels }) => !ids.has(labels[ENDPOINT_LABEL] as string))) {
      // While it starts, a container is in the listing of its network only.
      const inspected = await Promise.all(known.map(({ id }) => this.#client.network(id)));
      for (const network of inspected)
        for (const { endpointId } of network?.containers ?? []) ids.add(endpointId);
    }
    const networkIds = new Set(known.map(({ id }) => id));
    return [
      ...endpoints.flatMap((endpoint) => orphan('endpoint', endpoint, ENDPOINT_LABEL, ids)),
      ...networks.flatMap((network) => orphan('network', network, NETWORK_LABEL, networkIds)),
    ];
  }

  /** One that cannot be removed does not keep the others. */
  async prune(): Promise<Pruned> {
    const removed: Orphan[] = [];
    const failed: (Orphan & { error: string })[] = [];
    for (const found of await this.find()) {
      try {
        if (found.kind === 'endpoint') await this.#removeEndpoint(found);
        else await this.#model.removeNetwork(found.id);
        removed.push(found);
      } catch (e) {
        const error = toSluiceError(e, 'prune');
        if (error.code === 'not_found') removed.push(found);
        else failed.push({ ...found, error: error.message });
      }
    }
    return { removed, failed };
  }

  async #removeEndpoint({ id }: Orphan): Promise<void> {
    const endpoint = this.#model.endpoints().find((other) => other.id === id);
    if (!endpoint) throw new SluiceError('not_found', 'it is gone already');
    if (endpoint.sandbox !== null) await this.#model.leave(id);
    await this.#model.removeEndpoint(id);
    const sandbox = this.#model.sandboxes().find(({ name }) => name === endpoint.sandbox);
    if (sandbox && sandbox.endpoints.length === 0 && DOCKER_NETNS.test(sandbox.netns)) {
      await this.#model.removeSandbox(sandbox.id);
    }
  }

  #isDockers({ labels, created }: Endpoint | Network, label: string): boolean {
    return label in labels && this.#clock.now() - Date.parse(created) > SETTLING;
  }
}

function orphan(
  kind: Orphan['kind'],
  { id, name, labels }: Endpoint | Network,
  label: string,
  known: ReadonlySet<string>,
): Orphan[] {
  const dockerId = labels[label] as string;
  return known.has(dockerId) ? [] : [{ kind, id, name, dockerId }];
}
