// SPDX-License-Identifier: Apache-2.0
/**
 * Published ports of containers of another engine. They are a container's
 * rather than an endpoint's: one of its endpoints holds them for all.
 */
import type { Change } from '../change.js';
import { type Context, ownerOf, step } from '../context.js';
import { findDriver } from '../drivers/registry.js';
import { planEndpoint } from '../joining.js';
import { formatPortMapping } from '../portspec.js';
import { type HostSockets, releasePorts } from '../publishing.js';
import type { EndpointRecord, NetworkRecord, WantedPort } from '../records.js';
import { portClaim } from '../state.js';
import { reservePorts, samePorts } from '../wanted-ports.js';

export class RemotePorts {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Each endpoint of a container comes with all ports of the container, and
   * only when it joins does it tell which one. Endpoints of one network belong
   * to different containers, and so do those that want different ports.
   */
  mayBeSibling({ network, remote }: EndpointRecord): boolean {
    if (!remote || remote.ports.length === 0) return false;
    return this.#context.state.endpoints
      .all()
      .some((other) => other.network !== network && other.ports.length > 0 && wantsSame(other, remote.ports));
  }

  /** Reserved by now, unless another endpoint of the sandbox holds them. */
  withPorts(
    change: Change,
    endpoint: EndpointRecord,
    sandboxId: string,
    sockets: HostSockets,
  ): EndpointRecord {
    const { remote, ports } = endpoint;
    if (!remote || ports.length > 0 || remote.ports.length === 0) return endpoint;
    if (this.#sibling(sandboxId, endpoint.id, remote.ports)) return endpoint;
    return { ...endpoint, ports: this.reserve(change, endpoint, remote.ports, sockets) };
  }

  /** Answers what to tell once it is done. */
  publish(
    change: Change,
    endpoint: EndpointRecord,
    sandboxId: string,
    ports: readonly WantedPort[],
    sockets: HostSockets,
  ): () => void {
    const remote = { ports: [...ports], published: true };
    const sibling = this.#sibling(sandboxId, endpoint.id, ports);
    let own = endpoint.ports;
    if (sibling) {
      this.#drop(change, endpoint);
      own = sibling.ports;
      const rest = { ...sibling, ports: [], remote: { ports: [...ports], published: false } };
      this.#handOver(change, sibling, endpoint);
      this.replace(change, sibling, rest);
    } else if (!endpoint.remote || own.length === 0 || !samePorts(endpoint.remote.ports, ports)) {
      this.#drop(change, endpoint);
      own = this.reserve(change, endpoint, ports, sockets);
    }
    const record = { ...endpoint, ports: own, remote };
    this.replace(change, endpoint, record);
    return () => this.tell('publish', record);
  }

  /** What a leaving endpoint had reserved goes to another one of its sandbox that wants it, or is free. */
  bequeath(change: Change, endpoint: EndpointRecord, sandboxId: string): void {
    const { state } = this.#context;
    const wanted = endpoint.remote?.ports ?? [];
    const heir = state
      .inside(sandboxId)
      .find((other) => other.id !== endpoint.id && other.ports.length === 0 && wantsSame(other, wanted));
    if (heir && endpoint.ports.length > 0) {
      this.#handOver(change, endpoint, heir);
      this.replace(change, heir, { ...heir, ports: endpoint.ports });
    } else {
      change.onDone(() => releasePorts(this.#context, endpoint.id, endpoint.ports));
    }
  }

  reserve(
    change: Change,
    endpoint: EndpointRecord,
    ports: readonly WantedPort[],
    sockets: HostSockets,
  ): EndpointRecord['ports'] {
    const network = this.#context.state.networks.of(endpoint.network);
    const defaultHostIp = findDriver(network.driver).defaultHostIp(network);
    return reservePorts(this.#context, change, endpoint, ports, { sockets, defaultHostIp });
  }

  /** Another endpoint of the sandbox that holds these ports. */
  #sibling(sandboxId: string, id: string, ports: readonly WantedPort[]): EndpointRecord | undefined {
    return this.#context.state
      .inside(sandboxId)
      .find((other) => other.id !== id && other.ports.length > 0 && wantsSame(other, ports));
  }

  #handOver(change: Change, from: EndpointRecord, to: EndpointRecord): void {
    const { ports } = this.#context.state;
    for (const port of from.ports) {
      const [old, next] = [portClaim(from.id, port), portClaim(to.id, port)];
      change.allocated(
        () => {
          ports.release(old);
          ports.restore(next);
        },
        () => {
          ports.release(next);
          ports.restore(old);
        },
      );
    }
  }

  /** Now, so that the same change can take other ports; back again if it fails. */
  #drop(change: Change, endpoint: EndpointRecord): void {
    const { ports, publishIds } = this.#context.state;
    for (const port of endpoint.ports) {
      const held = portClaim(endpoint.id, port);
      change.allocated(
        () => ports.release(held),
        () => void ports.restore(held),
      );
      change.onDone(() => publishIds.release(port.id));
    }
  }

  replace(change: Change, endpoint: EndpointRecord, record: EndpointRecord): void {
    const { state } = this.#context;
    change.store(`endpoints/${record.id}`, record, endpoint);
    if (endpoint.join) {
      const inside = state.inside(endpoint.join.sandbox);
      const rows = (version: EndpointRecord) => planEndpoint(state, version, inside);
      change.stage(step(ownerOf('endpoint', record), rows(endpoint), rows(record)));
    }
    change.onDone(() => state.setEndpoint(record));
  }

  tell(action: 'publish' | 'unpublish', endpoint: EndpointRecord): void {
    const ports = endpoint.ports.map((port) => formatPortMapping(port)).join(',');
    if (ports !== '') this.#context.emit('endpoint', action, endpoint, { ports });
  }
}

/** Ports of a container on other networks as well come to those that cannot publish any, too. */
export function publishes({ internal, driver }: NetworkRecord): boolean {
  return !internal && findDriver(driver).dataplane;
}

function wantsSame(endpoint: EndpointRecord, ports: readonly WantedPort[]): boolean {
  return endpoint.remote !== undefined && samePorts(endpoint.remote.ports, ports);
}
