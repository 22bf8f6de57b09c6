// SPDX-License-Identifier: Apache-2.0
/** Endpoints that their engine has forgotten give way when it gives their addresses and ports to others. */
import { SluiceError } from '../../base/errors.js';
import type { Context } from '../context.js';
import { peerLink, portLink } from '../drivers/bridge.js';
import { findDriver } from '../drivers/registry.js';
import type { EndpointRecord, NetworkRecord } from '../records.js';
import type { RemoteEndpoint } from './types.js';

/** An endpoint that has not come so far by then was forgotten by its engine, milliseconds. */
const FORGOTTEN_AFTER = 120_000;

export class Room {
  readonly #context: Context;
  readonly #remove: (id: string) => Promise<void>;

  constructor(context: Context, remove: (id: string) => Promise<void>) {
    this.#context = context;
    this.#remove = remove;
  }

  /**
   * Tries again without the endpoints that were in the way and that the engine
   * has forgotten: it gives their addresses and ports to others.
   */
  async withRoom<T>(
    network: NetworkRecord,
    request: RemoteEndpoint | null,
    task: () => Promise<T>,
  ): Promise<T> {
    try {
      return await task();
    } catch (e) {
      if (!(e instanceof SluiceError) || (e.code !== 'address_taken' && e.code !== 'port_taken')) throw e;
      const dead = await this.#forgotten(network, request);
      if (dead.length === 0) throw e;
      for (const { id, name } of dead) {
        this.#context.log.warn('removing an endpoint that its engine has forgotten', { endpoint: name });
        await this.#remove(id);
      }
      return task();
    }
  }

  /** Without their pair, or with the other end back in the host's namespace, long after they were made. */
  async #forgotten(network: NetworkRecord, request: RemoteEndpoint | null): Promise<EndpointRecord[]> {
    const { state, host, clock } = this.#context;
    const dead: EndpointRecord[] = [];
    for (const endpoint of state.endpoints.all()) {
      const { id, remote, join, created } = endpoint;
      if (!remote || id === request?.id) continue;
      const wanted = endpoint.network === network.id && request !== null && meets(endpoint, request);
      const { dataplane } = findDriver(state.networks.of(endpoint.network).driver);
      // Of what is all inside nobody can tell but the engine, which gives its address to another.
      const lost = join !== null && (dataplane ? !(await host.linkExists(portLink(id))) : wanted);
      const back = join === null || (await host.linkExists(peerLink(id)));
      if (lost || (back && (wanted || age(clock.now(), created)))) dead.push(endpoint);
    }
    return dead;
  }
}

function meets(endpoint: EndpointRecord, { ipv4, ipv6 }: RemoteEndpoint): boolean {
  return endpoint.ipv4 === ipv4 || (ipv6 !== null && endpoint.ipv6 === ipv6);
}

function age(now: number, created: string): boolean {
  return now - Date.parse(created) > FORGOTTEN_AFTER;
}
