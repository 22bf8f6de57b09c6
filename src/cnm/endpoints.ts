// SPDX-License-Identifier: Apache-2.0
/** Operations on endpoints. */
import { SluiceError } from '../base/errors.js';
import { checkName } from '../base/names.js';
import { checkAllowHasPorts, parseAllow } from './allow.js';
import { buildEndpoint, forgetEndpoint } from './building.js';
import type { Change } from './change.js';
import { type Context, gone, makeChange, ownerOf, refuseForeign, step } from './context.js';
import { findDriver } from './drivers/registry.js';
import { addJoin, addLeave, lookAtSandbox, planEndpoint } from './joining.js';
import { reserveHostAddresses } from './parents.js';
import { formatPortMapping } from './portspec.js';
import { allocatePorts, lookAtSockets, matchPorts, parsePorts, releasePorts } from './publishing.js';
import type { EndpointRecord, SandboxRecord } from './records.js';
import { deselectEndpoint } from './services/building.js';
import type { Services } from './services.js';
import type { Endpoint, EndpointCreate, Plan } from './types.js';
import { endpointErrors, endpointView } from './views.js';

export class Endpoints {
  readonly #context: Context;
  readonly #services: Pick<Services, 'endpointGone'>;

  constructor(context: Context, services: Pick<Services, 'endpointGone'>) {
    this.#context = context;
    this.#services = services;
  }

  async create(request: EndpointCreate, dryRun: boolean): Promise<Endpoint | Plan> {
    const { state, locks, emit } = this.#context;
    checkName(request.name);
    const { specs, allow } = parsePublished(request);
    const { id, name, origin } = state.networks.resolve(request.network, 'network');
    if (origin) refuseForeign('network', name, 'docker network connect');
    return locks.with('network', id, 'shared', async () => {
      const network = state.networks.get(id) ?? missing('network', name);
      const [sockets] = await Promise.all([
        lookAtSockets(this.#context.host, specs),
        reserveHostAddresses(this.#context, network),
      ]);
      return makeChange(
        this.#context,
        `endpoint '${request.name}' could not be created`,
        dryRun,
        (change) => {
          const record = buildEndpoint(this.#context, change, request, network, {
            specs,
            allow,
            sockets,
          });
          change.store(`endpoints/${record.id}`, record, null);
          change.onDone(() => state.setEndpoint(record));
          return () => {
            emit('endpoint', 'create', record, { network: network.name });
            return this.#view(record);
          };
        },
      );
    });
  }

  list(): Endpoint[] {
    const { state, realizer } = this.#context;
    const errors = endpointErrors(realizer.problems());
    return state.endpoints.all().map((record) => endpointView(state, record, errors.get(record.id) ?? null));
  }

  get(ref: string): Endpoint {
    const { state, realizer } = this.#context;
    const record = state.endpoints.resolve(ref);
    return endpointView(state, record, endpointErrors(realizer.problems()).get(record.id) ?? null);
  }

  async join(endpointRef: string, sandboxRef: string, dryRun: boolean): Promise<Endpoint | Plan> {
    const { state, emit } = this.#context;
    const { id: sandboxId, name: sandboxName, origin } = state.sandboxes.resolve(sandboxRef, 'sandbox');
    if (origin) refuseForeign('sandbox', sandboxName, 'docker network connect');
    return this.#exclusively(endpointRef, sandboxId, async (endpoint, sandbox) => {
      if (endpoint.join) {
        const where = state.sandboxes.of(endpoint.join.sandbox).name;
        throw new SluiceError('conflict', `endpoint '${endpoint.name}' is in sandbox '${where}' already`, {
          hint: 'let it leave first',
        });
      }
      const facts = await lookAtSandbox(this.#context, sandbox, true);
      return makeChange(this.#context, `endpoint '${endpoint.name}' could not join`, dryRun, (change) => {
        const record = addJoin(this.#context, change, endpoint, endpoint, sandbox, facts);
        change.onDone(() => state.setEndpoint(record));
        return () => {
          emit('endpoint', 'join', record, { sandbox: sandbox.name });
          return this.#view(record);
        };
      });
    });
  }

  async leave(endpointRef: string, dryRun: boolean): Promise<Endpoint | Plan> {
    const { state, emit } = this.#context;
    const { id } = this.#joined(endpointRef);
    return this.#exclusively(id, null, async (endpoint, sandbox) => {
      const facts = await lookAtSandbox(this.#context, sandbox, false);
      return makeChange(this.#context, `endpoint '${endpoint.name}' could not leave`, dryRun, (change) => {
        const record = { ...endpoint, join: null };
        addLeave(this.#context, change, endpoint, record, facts);
        change.onDone(() => state.setEndpoint(record));
        return () => {
          emit('endpoint', 'leave', record, { sandbox: sandbox.name });
          return this.#view(record);
        };
      });
    });
  }

  async remove(ref: string, dryRun: boolean): Promise<void | Plan> {
    const { state, locks, emit } = this.#context;
    const { id, name } = state.endpoints.resolve(ref);
    return locks.with('endpoint', id, 'exclusive', async () => {
      const record = state.endpoints.get(id) ?? missing('endpoint', name);
      if (record.remote) refuseForeign('endpoint', name, 'docker network disconnect');
      if (record.join) {
        const where = state.sandboxes.of(record.join.sandbox).name;
        throw new SluiceError('in_use', `endpoint '${name}' is in sandbox '${where}'`, {
          hint: 'let it leave first',
        });
      }
      const plan = await makeChange(
        this.#context,
        `endpoint '${name}' could not be removed`,
        dryRun,
        (change) => {
          change.store(`endpoints/${id}`, null, record);
          deselectEndpoint(this.#context, change, id);
          change.onDone(() => forgetEndpoint(this.#context, record));
          return () => emit('endpoint', 'remove', record);
        },
      );
      if (!dryRun) await this.#services.endpointGone(id);
      return plan;
    });
  }

  async connect(
    sandboxRef: string,
    request: Omit<EndpointCreate, 'name'> & { name?: string },
    dryRun: boolean,
  ): Promise<Endpoint | Plan> {
    const { state, locks, emit, host } = this.#context;
    const { specs, allow } = parsePublished(request);
    const { id: sandboxId, name: sandboxName, ...box } = state.sandboxes.resolve(sandboxRef, 'sandbox');
    const { id: networkId, name: networkName, ...net } = state.networks.resolve(request.network, 'network');
    if (box.origin) refuseForeign('sandbox', sandboxName, 'docker network connect');
    if (net.origin) refuseForeign('network', networkName, 'docker network connect');
    const name = request.name ?? `${networkName}.${sandboxName}`;
    checkName(name);
    const locked = async (): Promise<Endpoint | Plan> => {
      const sandbox = state.sandboxes.get(sandboxId) ?? missing('sandbox', sandboxName);
      const network = state.networks.get(networkId) ?? missing('network', networkName);
      const [sockets, facts] = await Promise.all([
        lookAtSockets(host, specs),
        lookAtSandbox(this.#context, sandbox, true),
        reserveHostAddresses(this.#context, network),
      ]);
      const what = `sandbox '${sandboxName}' could not be connected to network '${networkName}'`;
      return makeChange(this.#context, what, dryRun, (change) => {
        const published = { specs, allow, sockets };
        const created = buildEndpoint(this.#context, change, { ...request, name }, network, published);
        const record = addJoin(this.#context, change, created, null, sandbox, facts);
        change.onDone(() => state.setEndpoint(record));
        return () => {
          emit('endpoint', 'create', record, { network: network.name });
          emit('endpoint', 'join', record, { sandbox: sandbox.name });
          return this.#view(record);
        };
      });
    };
    return locks.with('sandbox', sandboxId, 'exclusive', () =>
      locks.with('network', networkId, 'shared', locked),
    );
  }

  async disconnect(networkRef: string, sandboxRef: string, dryRun: boolean): Promise<void | Plan> {
    const { state, emit } = this.#context;
    const network = state.networks.resolve(networkRef);
    const { id: sandboxId, name } = state.sandboxes.resolve(sandboxRef, 'sandbox');
    const found = state.inside(sandboxId).find((endpoint) => endpoint.network === network.id);
    if (!found) {
      throw new SluiceError('not_found', `sandbox '${name}' is not on network '${network.name}'`, {
        hint: `sluice sandbox inspect ${name} shows its endpoints`,
      });
    }
    return this.#exclusively(found.id, null, async (endpoint, sandbox) => {
      const facts = await lookAtSandbox(this.#context, sandbox, false);
      const what = `sandbox '${name}' could not be disconnected from network '${network.name}'`;
      const plan = await makeChange(this.#context, what, dryRun, (change) => {
        addLeave(this.#context, change, endpoint, null, facts);
        deselectEndpoint(this.#context, change, endpoint.id);
        change.onDone(() => forgetEndpoint(this.#context, endpoint));
        return () => {
          emit('endpoint', 'leave', endpoint, { sandbox: sandbox.name });
          emit('endpoint', 'remove', endpoint);
        };
      });
      if (!dryRun) await this.#services.endpointGone(endpoint.id);
      return plan;
    });
  }

  async publish(
    endpointRef: string,
    ports: readonly string[],
    allowed: readonly string[],
    dryRun: boolean,
  ): Promise<Endpoint | Plan> {
    const { state, host } = this.#context;
    const specs = parsePorts(ports, true);
    const allow = parseAllow(allowed);
    return this.#withPorts(endpointRef, async (endpoint) => {
      const network = state.networks.of(endpoint.network);
      const driver = findDriver(network.driver);
      driver.validateEndpoint({ network: network.id, ports: [...ports] }, network);
      const sockets = await lookAtSockets(host, specs);
      return makeChange(
        this.#context,
        `ports of '${endpoint.name}' could not be published`,
        dryRun,
        (change) => {
          const defaultHostIp = driver.defaultHostIp(network);
          const wanted = { specs, allow, sockets, defaultHostIp };
          const added = allocatePorts(this.#context, change, endpoint, wanted, endpoint.ports);
          return this.#replacePorts(change, endpoint, [...endpoint.ports, ...added], 'publish');
        },
      );
    });
  }

  async unpublish(endpointRef: string, ports: readonly string[], dryRun: boolean): Promise<Endpoint | Plan> {
    const specs = parsePorts(ports, true);
    return this.#withPorts(endpointRef, (endpoint) =>
      makeChange(this.#context, `ports of '${endpoint.name}' could not be unpublished`, dryRun, (change) => {
        const removed = matchPorts(endpoint, specs);
        change.onDone(() => releasePorts(this.#context, endpoint.id, removed));
        const rest = endpoint.ports.filter((port) => !removed.includes(port));
        return this.#replacePorts(change, endpoint, rest, 'unpublish');
      }),
    );
  }

  #replacePorts(
    change: Change,
    endpoint: EndpointRecord,
    ports: EndpointRecord['ports'],
    action: 'publish' | 'unpublish',
  ): () => Endpoint {
    const { state, emit } = this.#context;
    const record = { ...endpoint, ports };
    change.store(`endpoints/${record.id}`, record, endpoint);
    if (endpoint.join) {
      const inside = state.inside(endpoint.join.sandbox);
      const rows = (version: EndpointRecord) => planEndpoint(state, version, inside);
      change.stage(step(ownerOf('endpoint', record), rows(endpoint), rows(record)));
    }
    change.onDone(() => state.setEndpoint(record));
    const [longer, shorter] = action === 'publish' ? [record, endpoint] : [endpoint, record];
    const changed = longer.ports.filter((port) => !shorter.ports.includes(port));
    return () => {
      emit('endpoint', action, record, { ports: changed.map((port) => formatPortMapping(port)).join(',') });
      return this.#view(record);
    };
  }

  #view(record: EndpointRecord): Endpoint {
    return endpointView(this.#context.state, record, null);
  }

  #joined(ref: string): EndpointRecord {
    const endpoint = this.#context.state.endpoints.resolve(ref);
    if (endpoint.join) return endpoint;
    throw new SluiceError('conflict', `endpoint '${endpoint.name}' is in no sandbox`, {
      hint: 'it need not leave',
    });
  }

  /** With the endpoint and its sandbox, or the one given, to itself. */
  async #exclusively<T>(
    endpointRef: string,
    sandboxId: string | null,
    task: (endpoint: EndpointRecord, sandbox: SandboxRecord) => Promise<T>,
  ): Promise<T> {
    const { state, locks } = this.#context;
    const { id, name } = state.endpoints.resolve(endpointRef);
    return locks.with('endpoint', id, 'exclusive', async () => {
      const endpoint = state.endpoints.get(id) ?? missing('endpoint', name);
      if (endpoint.remote) refuseForeign('endpoint', name, 'docker network connect and disconnect');
      const where = sandboxId ?? (this.#joined(id).join as NonNullable<EndpointRecord['join']>).sandbox;
      return locks.with('sandbox', where, 'exclusive', () => {
        const sandbox = state.sandboxes.get(where) ?? missing('sandbox', where.slice(0, 12));
        return task(endpoint, sandbox);
      });
    });
  }

  /** With the endpoint to itself, and its sandbox's other endpoints at rest. */
  async #withPorts<T>(endpointRef: string, task: (endpoint: EndpointRecord) => Promise<T>): Promise<T> {
    const { state, locks } = this.#context;
    const { id, name } = state.endpoints.resolve(endpointRef);
    return locks.with('endpoint', id, 'exclusive', async () => {
      const endpoint = state.endpoints.get(id) ?? missing('endpoint', name);
      if (endpoint.remote) refuseForeign('endpoint', name, 'docker run -p');
      if (!endpoint.join) return task(endpoint);
      return locks.with('sandbox', endpoint.join.sandbox, 'shared', () => task(endpoint));
    });
  }
}

function parsePublished({ ports = [], allow = [] }: Pick<EndpointCreate, 'ports' | 'allow'>) {
  checkAllowHasPorts(allow, ports);
  return { specs: parsePorts(ports), allow: parseAllow(allow) };
}

function missing(kind: string, name: string): never {
  throw gone(kind, name);
}
