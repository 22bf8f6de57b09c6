// SPDX-License-Identifier: Apache-2.0
/**
 * Networks and endpoints that another engine makes and removes. It gives them
 * ids and addresses, and configures the inside of a container on its own; the
 * host's side is ours. It may say anything twice, late or never: what is there
 * already is success, and what is gone cannot fail to be removed.
 */
import { familyOf } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { buildEndpoint, forgetEndpoint } from './building.js';
import type { Change } from './change.js';
import { type Context, makeChange } from './context.js';
import { peerLink } from './drivers/bridge.js';
import { findDriver } from './drivers/registry.js';
import { addJoin, addLeave, type SandboxFacts } from './joining.js';
import type { Networks } from './networks.js';
import { reserveHostAddresses } from './parents.js';
import type { HostSockets } from './publishing.js';
import type { EndpointRecord, NetworkRecord, WantedPort } from './records.js';
import { publishes, RemotePorts } from './remote/ports.js';
import { Room } from './remote/room.js';
import { dropSandbox, remoteName, sandboxOf } from './remote/sandboxes.js';
import { type RemoteEndpoint, type RemoteInterface, type RemoteNetwork, remoteId } from './remote/types.js';
import { deselectEndpoint } from './services/building.js';
import type { Services } from './services.js';
import { lookAtSocketsOf, normalizePorts, samePorts } from './wanted-ports.js';

/** What another engine's network driver needs of the model. */
export type RemoteObjects = Pick<Remote, keyof Remote>;

type RemoteServices = Pick<Services, 'endpointGone' | 'giveWay' | 'networkGoes'>;

const NO_FACTS: SandboxFacts = { resolvConf: '', links: [] };
const NO_SOCKETS: HostSockets = {
  tcp: [],
  udp: [],
  sctp: [],
  places: new Map(),
  ranges: { automatic: { first: 1024, last: 65535 }, reserved: '' },
};

export class Remote {
  readonly #context: Context;
  readonly #networks: Networks;
  readonly #ports: RemotePorts;
  readonly #room: Room;
  readonly #services: RemoteServices;

  constructor(context: Context, networks: Networks, services: RemoteServices) {
    this.#context = context;
    this.#networks = networks;
    this.#services = services;
    this.#ports = new RemotePorts(context);
    this.#room = new Room(context, (id) => this.removeEndpoint(id));
  }

  async createNetwork(request: RemoteNetwork): Promise<void> {
    const { state, locks } = this.#context;
    const { id, ...rest } = request;
    await locks.with('remote network', id, 'exclusive', async () => {
      if (state.networks.get(id)) return;
      await this.#networks.create({ ...rest, name: remoteName(this.#context, 'network', id) }, false, {
        id,
        origin: 'docker',
      });
    });
  }

  /** With the endpoints that it still has: the engine has forgotten them. */
  async removeNetwork(id: string): Promise<void> {
    const { state, locks } = this.#context;
    await locks.with('remote network', id, 'exclusive', async () => {
      for (const endpoint of state.endpointsOf(id)) await this.removeEndpoint(endpoint.id);
      const network = state.networks.get(id);
      if (!network) return;
      await this.#services.networkGoes(network);
      await this.#networks.removeOwn(id, network.name, false, true);
    });
  }

  /** Answers its MAC. */
  async createEndpoint(request: RemoteEndpoint): Promise<string> {
    const { state, locks } = this.#context;
    const network = state.networks.get(request.network) ?? unknown('network');
    return locks.with('endpoint', request.id, 'exclusive', async () => {
      const present = state.endpoints.get(request.id);
      if (present) return this.#same(present, request);
      return this.#room.withRoom(network, request, () =>
        locks.with('network', network.id, 'shared', async () => {
          await this.#services.giveWay(network, [request.ipv4, request.ipv6]);
          return this.#create(request);
        }),
      );
    });
  }

  async removeEndpoint(id: string): Promise<void> {
    const { state, emit } = this.#context;
    await this.#alone(id, async (endpoint) => {
      await this.#change(`endpoint '${endpoint.name}' could not be removed`, true, (change) => {
        const sandbox = endpoint.join && state.sandboxes.of(endpoint.join.sandbox);
        if (endpoint.join) addLeave(this.#context, change, endpoint, null, NO_FACTS);
        else change.store(`endpoints/${id}`, null, endpoint);
        deselectEndpoint(this.#context, change, id);
        change.onDone(() => forgetEndpoint(this.#context, endpoint));
        if (sandbox) dropSandbox(this.#context, change, sandbox, id);
        return () => {
          if (sandbox) emit('endpoint', 'leave', endpoint, { sandbox: sandbox.name });
          emit('endpoint', 'remove', endpoint);
        };
      });
      await this.#services.endpointGone(id);
    });
  }

  /** `netns` names the sandbox; there need be nothing yet. */
  async join(id: string, netns: string): Promise<RemoteInterface> {
    const { state, locks, emit } = this.#context;
    const sandboxId = state.claims.get(`namespace ${netns}`) ?? remoteId(netns);
    const known = state.endpoints.get(id) ?? unknown('endpoint');
    const network = state.networks.of(known.network);
    if (known.join && known.join.sandbox !== sandboxId) await this.leave(id);
    await this.#room.withRoom(network, null, () =>
      locks.with('endpoint', id, 'exclusive', async () => {
        const ports = state.endpoints.get(id)?.remote?.ports ?? [];
        const sockets = await lookAtSocketsOf(this.#context.host, ports);
        await locks.with('sandbox', sandboxId, 'exclusive', async () => {
          const endpoint = state.endpoints.get(id) ?? unknown('endpoint');
          if (endpoint.join) return;
          await this.#change(`endpoint '${endpoint.name}' could not join`, false, (change) => {
            const sandbox = sandboxOf(this.#context, change, sandboxId, netns);
            const ready = this.#ports.withPorts(change, endpoint, sandboxId, sockets);
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
        this.#ports.bequeath(change, endpoint, sandbox.id);
        change.onDone(() => state.setEndpoint(record));
        dropSandbox(this.#context, change, sandbox, id);
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
    await this.#room.withRoom(network, null, async () => {
      const sockets = await lookAtSocketsOf(host, ports);
      await this.#alone(id, async (endpoint) => {
        const { join, remote } = endpoint;
        if (!join) throw new SluiceError('conflict', `endpoint '${endpoint.name}' is in no sandbox`);
        if (remote?.published && samePorts(remote.ports, ports)) return;
        await this.#change(`ports of '${endpoint.name}' could not be published`, false, (change) =>
          this.#ports.publish(change, endpoint, join.sandbox, ports, sockets),
        );
      });
    });
  }

  /** The ports stay reserved for the sandbox until the endpoint leaves. */
  async unpublish(id: string): Promise<void> {
    await this.#alone(id, async (endpoint) => {
      const { remote } = endpoint;
      if (!remote?.published) return;
      await this.#change(`ports of '${endpoint.name}' could not be unpublished`, true, (change) => {
        this.#ports.replace(change, endpoint, { ...endpoint, remote: { ...remote, published: false } });
        return () => this.#ports.tell('unpublish', endpoint);
      });
    });
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
          name: remoteName(this.#context, 'endpoint', id),
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
      const record = this.#ports.mayBeSibling(endpoint)
        ? endpoint
        : { ...endpoint, ports: this.#ports.reserve(change, endpoint, ports, sockets) };
      change.store(`endpoints/${id}`, record, null);
      change.onDone(() => state.setEndpoint(record));
      return () => {
        emit('endpoint', 'create', record, { network: network.name });
        return record.mac;
      };
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

  /** With the endpoint and its sandbox to itself; nothing happens if it is gone. */
  async #alone(id: string, task: (endpoint: EndpointRecord) => Promise<void>): Promise<void> {
    const { state, locks } = this.#context;
    await locks.with('endpoint', id, 'exclusive', async () => {
      const run = async (): Promise<void> => {
        const endpoint = state.endpoints.get(id);
        if (endpoint) await task(endpoint);
      };
      const sandbox = state.endpoints.get(id)?.join?.sandbox;
      await (sandbox === undefined ? run() : locks.with('sandbox', sandbox, 'exclusive', run));
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

function gateways({ internal, subnets }: NetworkRecord): {
  gateway4: string | null;
  gateway6: string | null;
} {
  const of = (family: number): string | null =>
    internal ? null : (subnets.find(({ cidr }) => familyOf(cidr) === family)?.gateway ?? null);
  return { gateway4: of(4), gateway6: of(6) };
}

function unknown(what: 'network' | 'endpoint'): never {
  throw new SluiceError('not_found', `sluice does not know this ${what}, though Docker does`, {
    hint:
      what === 'network'
        ? 'its state was lost: docker network rm, then docker network create'
        : 'restart the container',
  });
}
