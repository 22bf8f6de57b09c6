// SPDX-License-Identifier: Apache-2.0
/**
 * Networks and endpoints that another engine makes and removes. It gives them
 * ids and addresses, and configures the inside of a container on its own; the
 * host's side is ours. It may say anything twice, late or never: what is there
 * already is success, and what is gone cannot fail to be removed.
 */
import { createHash } from 'node:crypto';
import { familyOf } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { isHostname } from '../base/names.js';
import { buildEndpoint, forgetEndpoint } from './building.js';
import type { Change } from './change.js';
import { type Context, claim, makeChange, now, ownerOf, step } from './context.js';
import { peerLink, portLink } from './drivers/bridge.js';
import { findDriver } from './drivers/registry.js';
import { addJoin, addLeave, planEndpoint, type SandboxFacts } from './joining.js';
import type { Networks } from './networks.js';
import { reserveHostAddresses } from './parents.js';
import { formatPortMapping } from './portspec.js';
import { type HostSockets, releasePorts } from './publishing.js';
import type { EndpointRecord, NetworkRecord, SandboxRecord, WantedPort } from './records.js';
import { portClaim, sandboxClaims } from './state.js';
import type { NetworkCreate } from './types.js';
import { lookAtSocketsOf, normalizePorts, reservePorts, samePorts } from './wanted-ports.js';

export interface RemoteNetwork extends Pick<NetworkCreate, 'driver' | 'subnets' | 'internal' | 'options'> {
  /** Ours too: see remoteId(). */
  readonly id: string;
}

export interface RemoteEndpoint {
  readonly id: string;
  readonly network: string;
  readonly ipv4: string;
  readonly ipv6: string | null;
  /** null: to be derived. */
  readonly mac: string | null;
  readonly ports: readonly WantedPort[];
}

/** What the other engine is to take into its container. */
export interface RemoteInterface {
  readonly name: string;
  /** null: this network has no way out. */
  readonly gateway4: string | null;
  readonly gateway6: string | null;
  readonly internal: boolean;
}

/** What another engine's network driver needs of the model. */
export type RemoteObjects = Pick<Remote, keyof Remote>;

/** Whose ids are 64 hexadecimal digits keeps them; others, such as those of swarm networks, become such. */
export function remoteId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
}

/** An endpoint that has not come so far by then was forgotten by its engine, milliseconds. */
const FORGOTTEN_AFTER = 120_000;
const NO_FACTS: SandboxFacts = { resolvConf: '', links: [] };
const NO_SOCKETS: HostSockets = { tcp: [], udp: [], sctp: [] };

export class Remote {
  readonly #context: Context;
  readonly #networks: Networks;

  constructor(context: Context, networks: Networks) {
    this.#context = context;
    this.#networks = networks;
  }

  async createNetwork(request: RemoteNetwork): Promise<void> {
    const { state, locks } = this.#context;
    const { id, ...rest } = request;
    await locks.with(`remote ${id}`, 'exclusive', async () => {
      if (state.networks.get(id)) return;
      await this.#networks.create({ ...rest, name: this.#name('network', id) }, false, {
        id,
        origin: 'docker',
      });
    });
  }

  /** With the endpoints that it still has: the engine has forgotten them. */
  async removeNetwork(id: string): Promise<void> {
    const { state, locks } = this.#context;
    await locks.with(`remote ${id}`, 'exclusive', async () => {
      for (const endpoint of state.endpointsOf(id)) await this.removeEndpoint(endpoint.id);
      const network = state.networks.get(id);
      if (network) await this.#networks.removeOwn(id, network.name, false, true);
    });
  }

  /** Answers its MAC. */
  async createEndpoint(request: RemoteEndpoint): Promise<string> {
    const { state, locks } = this.#context;
    const network = state.networks.get(request.network) ?? unknown('network');
    return locks.with(request.id, 'exclusive', async () => {
      const present = state.endpoints.get(request.id);
      if (present) return this.#same(present, request);
      return this.#withRoom(network, request, () =>
        locks.with(network.id, 'shared', () => this.#create(request)),
      );
    });
  }

  async removeEndpoint(id: string): Promise<void> {
    const { state, emit } = this.#context;
    await this.#alone(id, (endpoint) =>
      this.#change(`endpoint '${endpoint.name}' could not be removed`, true, (change) => {
        const sandbox = endpoint.join && state.sandboxes.of(endpoint.join.sandbox);
        if (endpoint.join) addLeave(this.#context, change, endpoint, null, NO_FACTS);
        else change.store(`endpoints/${id}`, null, endpoint);
        change.onDone(() => forgetEndpoint(this.#context, endpoint));
        if (sandbox) this.#dropSandbox(change, sandbox, id);
        return () => {
          if (sandbox) emit('endpoint', 'leave', endpoint, { sandbox: sandbox.name });
          emit('endpoint', 'remove', endpoint);
        };
      }),
    );
  }

  /** `netns` names the sandbox; there need be nothing yet. */
  async join(id: string, netns: string): Promise<RemoteInterface> {
    const { state, locks, emit } = this.#context;
    const sandboxId = state.claims.get(`namespace ${netns}`) ?? remoteId(netns);
    const known = state.endpoints.get(id) ?? unknown('endpoint');
    const network = state.networks.of(known.network);
    if (known.join && known.join.sandbox !== sandboxId) await this.leave(id);
    await this.#withRoom(network, null, () =>
      locks.with(id, 'exclusive', async () => {
        const ports = state.endpoints.get(id)?.remote?.ports ?? [];
        const sockets = await lookAtSocketsOf(this.#context.host, ports);
        await locks.with(sandboxId, 'exclusive', async () => {
          const endpoint = state.endpoints.get(id) ?? unknown('endpoint');
          if (endpoint.join) return;
          await this.#change(`endpoint '${endpoint.name}' could not join`, false, (change) => {
            const sandbox = this.#sandbox(change, sandboxId, netns);
            const ready = this.#withPorts(change, endpoint, sandboxId, sockets);
            const record = addJoin(this.#context, change, ready, endpoint, sandbox, NO_FACTS);
            change.onDone(() => state.setEndpoint(record));
            return () => emit('endpoint', 'join', record, { sandbox: sandbox.name });
          });
        });
      }),
    );
    return { ...gateways(network), name: peerLink(id), internal: network.internal };
  }

  async leave(id: string): Promise<void> {
    const { state, emit } = this.#context;
    await this.#alone(id, async (endpoint) => {
      const network = state.networks.of(endpoint.network);
      // Nothing of it is on the host until it comes back, which is before it is removed.
      if (!endpoint.join || !findDriver(network.driver).dataplane) return;
      const sandbox = state.sandboxes.of(endpoint.join.sandbox);
      await this.#change(`endpoint '${endpoint.name}' could not leave`, true, (change) => {
        const remote = endpoint.remote && { ...endpoint.remote, published: false };
        const record: EndpointRecord = { ...endpoint, join: null, ports: [], ...(remote && { remote }) };
        addLeave(this.#context, change, endpoint, record, NO_FACTS);
        this.#bequeath(change, endpoint, sandbox.id);
        change.onDone(() => state.setEndpoint(record));
        this.#dropSandbox(change, sandbox, id);
        return () => emit('endpoint', 'leave', record, { sandbox: sandbox.name });
      });
    });
  }

  /** Publishes just these ports by way of this endpoint of its sandbox. */
  async publish(id: string, wanted: readonly WantedPort[]): Promise<void> {
    const { state, host } = this.#context;
    const ports = normalizePorts(wanted);
    const known = state.endpoints.get(id) ?? unknown('endpoint');
    const network = state.networks.of(known.network);
    if (!publishes(network)) return;
    await this.#withRoom(network, null, async () => {
      const sockets = await lookAtSocketsOf(host, ports);
      await this.#alone(id, async (endpoint) => {
        const { join, remote } = endpoint;
        if (!join) throw new SluiceError('conflict', `endpoint '${endpoint.name}' is in no sandbox`);
        if (remote?.published && samePorts(remote.ports, ports)) return;
        await this.#publish(endpoint, join.sandbox, ports, sockets);
      });
    });
  }

  /** The ports stay reserved for the sandbox until the endpoint leaves. */
  async unpublish(id: string): Promise<void> {
    await this.#alone(id, async (endpoint) => {
      const { remote } = endpoint;
      if (!remote?.published) return;
      await this.#change(`ports of '${endpoint.name}' could not be unpublished`, true, (change) => {
        this.#replace(change, endpoint, { ...endpoint, remote: { ...remote, published: false } });
        return () => this.#tell('unpublish', endpoint);
      });
    });
  }

  /**
   * Removes the endpoints that the engine does not have. Those that it may be
   * about to make, younger than two minutes, stay.
   */
  async retain(endpoints: ReadonlySet<string>): Promise<string[]> {
    const { state, clock } = this.#context;
    const gone = state.endpoints
      .all()
      .filter(({ id, remote, created }) => remote && !endpoints.has(id) && age(clock.now(), created));
    for (const { id } of gone) await this.removeEndpoint(id);
    return gone.map(({ name }) => name);
  }

  async #create(request: RemoteEndpoint): Promise<string> {
    const { state, emit, host } = this.#context;
    const network = state.networks.get(request.network) ?? unknown('network');
    const { id, ipv4, ipv6, mac } = request;
    const ports = publishes(network) ? normalizePorts(request.ports) : [];
    if (network.ipv6 && ipv6 === null) {
      throw new SluiceError('invalid_argument', `network '${network.name}' has IPv6, the endpoint has none`);
    }
    const [sockets] = await Promise.all([
      lookAtSocketsOf(host, ports),
      reserveHostAddresses(this.#context, network),
    ]);
    return this.#change('the endpoint could not be created', false, (change) => {
      const built = buildEndpoint(
        this.#context,
        change,
        {
          name: this.#name('endpoint', id),
          network: network.id,
          ipv4,
          ...(ipv6 !== null && { ipv6 }),
          ...(mac !== null && { mac }),
        },
        network,
        { specs: [], allow: [], sockets: NO_SOCKETS },
        id,
      );
      const endpoint: EndpointRecord = { ...built, remote: { ports, published: false } };
      const record = this.#mayBeSibling(endpoint)
        ? endpoint
        : { ...endpoint, ports: this.#reserve(change, endpoint, ports, sockets) };
      change.store(`endpoints/${id}`, record, null);
      change.onDone(() => state.setEndpoint(record));
      return () => {
        emit('endpoint', 'create', record, { network: network.name });
        return record.mac;
      };
    });
  }

  /**
   * Each endpoint of a container comes with all ports of the container, and
   * only when it joins does it tell which one. Endpoints of one network belong
   * to different containers, and so do those that want different ports.
   */
  #mayBeSibling({ network, remote }: EndpointRecord): boolean {
    if (!remote || remote.ports.length === 0) return false;
    return this.#context.state.endpoints
      .all()
      .some((other) => other.network !== network && other.ports.length > 0 && wantsSame(other, remote.ports));
  }

  /** Reserved by now, unless another endpoint of the sandbox holds them. */
  #withPorts(
    change: Change,
    endpoint: EndpointRecord,
    sandboxId: string,
    sockets: HostSockets,
  ): EndpointRecord {
    const { remote, ports } = endpoint;
    if (!remote || ports.length > 0 || remote.ports.length === 0) return endpoint;
    if (this.#sibling(sandboxId, endpoint.id, remote.ports)) return endpoint;
    return { ...endpoint, ports: this.#reserve(change, endpoint, remote.ports, sockets) };
  }

  #publish(
    endpoint: EndpointRecord,
    sandboxId: string,
    ports: readonly WantedPort[],
    sockets: HostSockets,
  ): Promise<void> {
    return this.#change(`ports of '${endpoint.name}' could not be published`, false, (change) => {
      const remote = { ports: [...ports], published: true };
      const sibling = this.#sibling(sandboxId, endpoint.id, ports);
      let own = endpoint.ports;
      if (sibling) {
        this.#drop(change, endpoint);
        own = sibling.ports;
        const rest = { ...sibling, ports: [], remote: { ports: [...ports], published: false } };
        this.#handOver(change, sibling, endpoint);
        this.#replace(change, sibling, rest);
      } else if (!endpoint.remote || own.length === 0 || !samePorts(endpoint.remote.ports, ports)) {
        this.#drop(change, endpoint);
        own = this.#reserve(change, endpoint, ports, sockets);
      }
      const record = { ...endpoint, ports: own, remote };
      this.#replace(change, endpoint, record);
      return () => this.#tell('publish', record);
    });
  }

  /** What a leaving endpoint had reserved goes to another one of its sandbox that wants it, or is free. */
  #bequeath(change: Change, endpoint: EndpointRecord, sandboxId: string): void {
    const { state } = this.#context;
    const wanted = endpoint.remote?.ports ?? [];
    const heir = state
      .inside(sandboxId)
      .find((other) => other.id !== endpoint.id && other.ports.length === 0 && wantsSame(other, wanted));
    if (heir && endpoint.ports.length > 0) {
      this.#handOver(change, endpoint, heir);
      this.#replace(change, heir, { ...heir, ports: endpoint.ports });
    } else {
      change.onDone(() => releasePorts(this.#context, endpoint.id, endpoint.ports));
    }
  }

  #reserve(
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

  #replace(change: Change, endpoint: EndpointRecord, record: EndpointRecord): void {
    const { state } = this.#context;
    change.store(`endpoints/${record.id}`, record, endpoint);
    if (endpoint.join) {
      const inside = state.inside(endpoint.join.sandbox);
      const rows = (version: EndpointRecord) => planEndpoint(state, version, inside);
      change.stage(step(ownerOf('endpoint', record), rows(endpoint), rows(record)));
    }
    change.onDone(() => state.setEndpoint(record));
  }

  #tell(action: 'publish' | 'unpublish', endpoint: EndpointRecord): void {
    const ports = endpoint.ports.map((port) => formatPortMapping(port)).join(',');
    if (ports !== '') this.#context.emit('endpoint', action, endpoint, { ports });
  }

  /** The sandbox of a container, which is there from its first endpoint to its last. */
  #sandbox(change: Change, id: string, netns: string): SandboxRecord {
    const { state } = this.#context;
    const present = state.sandboxes.get(id);
    if (present) return present;
    const name = this.#name('sandbox', netns.slice(netns.lastIndexOf('/') + 1));
    claim(this.#context, change, sandboxClaims({ name, netns }), id, (text) => {
      return new SluiceError('conflict', `${text} belongs to another sandbox`);
    });
    const number = change.allocated(
      () => state.sandboxNumbers.allocate(),
      (taken) => state.sandboxNumbers.release(taken),
    );
    const record: SandboxRecord = {
      id,
      name,
      netns,
      owned: false,
      host: false,
      dns: [],
      dnsSearch: [],
      hostname: isHostname(name) ? name : id.slice(0, 12),
      number,
      origin: 'docker',
      created: now(this.#context),
    };
    change.store(`sandboxes/${id}`, record, null);
    change.allocated(
      () => state.sandboxes.set(record),
      () => state.sandboxes.delete(record),
    );
    return record;
  }

  #dropSandbox(change: Change, sandbox: SandboxRecord, leaving: string): void {
    const { state } = this.#context;
    if (!sandbox.origin || state.inside(sandbox.id).some(({ id }) => id !== leaving)) return;
    change.store(`sandboxes/${sandbox.id}`, null, sandbox);
    change.onDone(() => {
      state.sandboxes.delete(sandbox);
      state.sandboxNumbers.release(sandbox.number);
      for (const text of sandboxClaims(sandbox)) state.claims.delete(text);
    });
  }

  /** Said twice: the same answer, if it is the same. */
  #same(present: EndpointRecord, { network, ipv4, ipv6, mac }: RemoteEndpoint): string {
    const same =
      present.network === network &&
      present.ipv4 === ipv4 &&
      present.ipv6 === ipv6 &&
      (mac === null || present.mac === mac);
    if (same) return present.mac;
    throw new SluiceError('conflict', `endpoint '${present.name}' exists already, with other addresses`, {
      hint: 'start the container again',
    });
  }

  /**
   * Tries again without the endpoints that were in the way and that the engine
   * has forgotten: it gives their addresses and ports to others.
   */
  async #withRoom<T>(
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
        await this.removeEndpoint(id);
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

  /** A name that tells whose it is. */
  #name(kind: 'network' | 'sandbox' | 'endpoint', id: string): string {
    const { claims } = this.#context.state;
    const short = `docker-${id.slice(0, 12)}`;
    return claims.has(`name ${kind} ${short}`) ? `docker-${id.slice(0, 56)}` : short;
  }

  /** With the endpoint and its sandbox to itself; nothing happens if it is gone. */
  async #alone(id: string, task: (endpoint: EndpointRecord) => Promise<void>): Promise<void> {
    const { state, locks } = this.#context;
    await locks.with(id, 'exclusive', async () => {
      const run = async (): Promise<void> => {
        const endpoint = state.endpoints.get(id);
        if (endpoint) await task(endpoint);
      };
      const sandbox = state.endpoints.get(id)?.join?.sandbox;
      await (sandbox === undefined ? run() : locks.with(sandbox, 'exclusive', run));
    });
  }

  async #change<T>(what: string, forward: boolean, build: (change: Change) => () => T): Promise<T> {
    const answer = await makeChange(this.#context, what, false, (change) => {
      change.forward = forward;
      const tell = build(change);
      return () => ({ result: tell() });
    });
    if ('dryRun' in answer) throw new SluiceError('internal', 'this was no dry run');
    return answer.result;
  }
}

/** Ports of a container on other networks as well come to those that cannot publish any, too. */
function publishes({ internal, driver }: NetworkRecord): boolean {
  return !internal && findDriver(driver).dataplane;
}

function gateways({ internal, subnets }: NetworkRecord): {
  gateway4: string | null;
  gateway6: string | null;
} {
  const of = (family: number): string | null =>
    internal ? null : (subnets.find(({ cidr }) => familyOf(cidr) === family)?.gateway ?? null);
  return { gateway4: of(4), gateway6: of(6) };
}

function wantsSame(endpoint: EndpointRecord, ports: readonly WantedPort[]): boolean {
  return endpoint.remote !== undefined && samePorts(endpoint.remote.ports, ports);
}

function meets(endpoint: EndpointRecord, { ipv4, ipv6 }: RemoteEndpoint): boolean {
  return endpoint.ipv4 === ipv4 || (ipv6 !== null && endpoint.ipv6 === ipv6);
}

function age(now: number, created: string): boolean {
  return now - Date.parse(created) > FORGOTTEN_AFTER;
}

function unknown(what: 'network' | 'endpoint'): never {
  throw new SluiceError('not_found', `sluice does not know this ${what}, though Docker does`, {
    hint:
      what === 'network'
        ? 'its state was lost: docker network rm, then docker network create'
        : 'restart the container',
  });
}
