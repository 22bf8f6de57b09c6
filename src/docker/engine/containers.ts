// SPDX-License-Identifier: Apache-2.0
/** Whose container an endpoint is: the plugin's protocol does not say it, the Engine's API does. */
import { remoteId } from '../../cnm/remote/types.js';
import type { Endpoint } from '../../cnm/types.js';
import type { Container } from './picture.js';

export interface ContainerRef {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Docker's name of the network that the endpoint is on. */
  readonly network: string;
}

export interface Containers {
  /** As last seen, also while the Engine is away; null: not Docker's, or Docker has not told yet. */
  ofEndpoint(endpoint: Pick<Endpoint, 'id'>): ContainerRef | null;
}

export class ContainerIndex implements Containers {
  readonly #containers: () => readonly Container[];
  #byEndpoint: ReadonlyMap<string, ContainerRef> | null = null;

  constructor(containers: () => readonly Container[]) {
    this.#containers = containers;
  }

  /** The containers have changed: the index is made anew when it is next asked for. */
  invalidate(): void {
    this.#byEndpoint = null;
  }

  ofEndpoint({ id }: Pick<Endpoint, 'id'>): ContainerRef | null {
    this.#byEndpoint ??= new Map(this.#containers().flatMap(places));
    return this.#byEndpoint.get(id) ?? null;
  }
}

/** By our ids of its endpoints. */
function places({ id, name, labels, networks }: Container): [string, ContainerRef][] {
  return networks.flatMap(({ endpointId, name: network }) =>
    endpointId === '' ? [] : [[remoteId(endpointId), { id, name, labels, network }]],
  );
}
