// SPDX-License-Identifier: Apache-2.0
/** Whose container an endpoint is: the plugin's protocol does not say it, the Engine's API does. */
import type { Endpoint } from '../../cnm/types.js';
import { ENDPOINT_LABEL } from './ours.js';
import type { Container } from './picture.js';

export interface ContainerRef {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Containers {
  /** By Docker's id of the endpoint. As last seen: also while the Engine is away. */
  ofDockerEndpoint(id: string): ContainerRef | null;
  /** By an endpoint of ours; null: not Docker's, or Docker has not told yet. */
  ofEndpoint(endpoint: Pick<Endpoint, 'labels'>): ContainerRef | null;
}

export class ContainerIndex implements Containers {
  readonly #containers: () => readonly Container[];
  #byEndpoint: Map<string, Container> | null = null;

  constructor(containers: () => readonly Container[]) {
    this.#containers = containers;
  }

  /** The containers have changed: the index is made anew when it is next asked for. */
  invalidate(): void {
    this.#byEndpoint = null;
  }

  ofDockerEndpoint(id: string): ContainerRef | null {
    this.#byEndpoint ??= new Map(
      this.#containers().flatMap((container) =>
        container.networks.flatMap(({ endpointId }) =>
          endpointId === '' ? [] : [[endpointId, container] as const],
        ),
      ),
    );
    const found = this.#byEndpoint.get(id);
    return found ? { id: found.id, name: found.name, labels: found.labels } : null;
  }

  ofEndpoint({ labels }: Pick<Endpoint, 'labels'>): ContainerRef | null {
    const id = labels[ENDPOINT_LABEL];
    return id === undefined ? null : this.ofDockerEndpoint(id);
  }
}
