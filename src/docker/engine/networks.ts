// SPDX-License-Identifier: Apache-2.0
/** What Docker calls our networks: the plugin's protocol does not say it, the Engine's API does. */
import { remoteId } from '../../cnm/remote/types.js';
import type { Network } from '../../cnm/types.js';
import type { NetworkInspect } from './shapes.js';

export class NetworkNames {
  readonly #networks: () => readonly NetworkInspect[];
  #seen: readonly NetworkInspect[] = [];
  #byId: ReadonlyMap<string, string> = new Map();

  constructor(networks: () => readonly NetworkInspect[]) {
    this.#networks = networks;
  }

  /** As last seen; null: not Docker's, or Docker has not told yet. */
  of({ id }: Pick<Network, 'id'>): string | null {
    const networks = this.#networks();
    if (networks !== this.#seen) {
      this.#seen = networks;
      this.#byId = new Map(networks.map((network) => [remoteId(network.id), network.name]));
    }
    return this.#byId.get(id) ?? null;
  }
}
