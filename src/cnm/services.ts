// SPDX-License-Identifier: Apache-2.0
/** Operations on services. */
import { formatAddress, parseAddress } from '../base/addresses.js';
import { SluiceError, toSluiceError } from '../base/errors.js';
import { newId } from '../base/ids.js';
import type { Change } from './change.js';
import { type Context, gone, makeChange, performChange, prepareChange } from './context.js';
import { lookAtSockets } from './publishing.js';
import type {
  BackendRecord,
  EndpointRecord,
  NetworkRecord,
  SelectedRecord,
  ServiceRecord,
} from './records.js';
import {
  buildService,
  checkBackend,
  forgetService,
  releaseBackend,
  storeSelected,
  takeBackendId,
  twice,
} from './services/building.js';
import { Declaring } from './services/declaring.js';
import { backendState, planService, serviceOwner, stageServices } from './services/planning.js';
import { specsOf } from './services/publishing.js';
import { DEFAULT_WEIGHT, readRequest, readWeight, type ServiceRequest } from './services/request.js';
import { portsText, serviceView } from './services/views.js';
import { releaseVip, takeVip } from './services/vips.js';
import type {
  BackendAdd,
  BackendSet,
  DeclarationProblem,
  HealthTarget,
  Plan,
  Service,
  ServiceCreate,
  ServiceIntent,
} from './types.js';

/** So many services of a request are stored in one transaction. */
const CHUNK = 100;

export class Services {
  readonly #context: Context;
  readonly #declaring: Declaring;

  constructor(context: Context) {
    this.#context = context;
    this.#declaring = new Declaring(context);
  }

  list(): Service[] {
    const { state } = this.#context;
    return state.services.all().map((record) => serviceView(state, record));
  }

  get(ref: string): Service {
    const { state } = this.#context;
    return serviceView(state, state.services.resolve(ref));
  }

  /** These are the services that containers declare now; answers what stands in the way of some. */
  declare(intents: readonly ServiceIntent[]): Promise<DeclarationProblem[]> {
    return this.#declaring.declare(intents);
  }

  async create(request: ServiceCreate, dryRun: boolean): Promise<Service | Plan> {
    const answer = await this.#create([readRequest(request)], dryRun, false);
    return 'dryRun' in answer ? answer : (answer[0] as Service);
  }

  async createMany(requests: readonly ServiceCreate[], dryRun: boolean): Promise<Service[] | Plan> {
    const read = requests.map((request, i) => inElement(i, request.name, () => readRequest(request)));
    return this.#create(read, dryRun, true);
  }

  async remove(ref: string, dryRun: boolean): Promise<void | Plan> {
    const { state, emit } = this.#context;
    const { id, name, network, selector } = this.#own(ref);
    const run = () =>
      this.#exclusively(id, name, (record) =>
        makeChange(this.#context, `service '${name}' could not be removed`, dryRun, (change) => {
          stageServices(state, change, [{ id, previous: record, next: null }]);
          forgetService(this.#context, change, record);
          return () => emit('service', 'remove', record);
        }),
      );
    // With a selector, no endpoint of the network comes or goes meanwhile.
    if (network === null || Object.keys(selector).length === 0) return run();
    return this.#context.locks.with('network', network, 'exclusive', run);
  }

  async addBackend(
    ref: string,
    { endpoint: endpointRef, weight: asked }: BackendAdd,
    dryRun: boolean,
  ): Promise<Service | Plan> {
    const { state } = this.#context;
    const { id, name } = this.#own(ref);
    const weight = readWeight(asked ?? DEFAULT_WEIGHT, 'weight');
    return this.#exclusively(id, name, (record) =>
      makeChange(this.#context, `service '${name}' could not get a backend`, dryRun, (change) => {
        const endpoint = state.endpoints.resolve(endpointRef, 'endpoint');
        checkBackend(state, endpoint, state.networks.of(record.network as string), 'endpoint');
        if (state.balancing.backendsOf(record).some((other) => other.endpoint === endpoint.id)) {
          throw twice(endpoint.name, name, 'endpoint');
        }
        const backend: BackendRecord = {
          id: takeBackendId(this.#context, change, record.mode === 'vip'),
          endpoint: endpoint.id,
          weight,
        };
        const next = { ...record, backends: [...record.backends, backend] };
        this.#replace(change, record, next);
        return () => {
          this.#tellBackend(next, endpoint, backend);
          return serviceView(state, next);
        };
      }),
    ).finally(() => this.#tidyIfGone(id));
  }

  async removeBackend(ref: string, endpointRef: string, dryRun: boolean): Promise<Service | Plan> {
    const { state, emit } = this.#context;
    const { id, name } = this.#own(ref);
    return this.#exclusively(id, name, (record) =>
      makeChange(this.#context, `service '${name}' could not lose a backend`, dryRun, (change) => {
        const { endpoint, backend } = this.#backend(record, endpointRef);
        if ('service' in backend) {
          throw new SluiceError('conflict', `endpoint '${endpoint.name}' is a backend by its labels`, {
            field: 'endpoint',
            hint: `drain it with sluice service set-backend ${name} ${endpoint.name} --drain, or remove it`,
          });
        }
        const next = { ...record, backends: record.backends.filter((other) => other !== backend) };
        this.#replace(change, record, next);
        change.onDone(() => releaseBackend(this.#context, id, backend));
        return () => {
          emit('service', 'update', next, { endpoint: endpoint.name, backend: 'gone' });
          return serviceView(state, next);
        };
      }),
    );
  }

  async setBackend(
    ref: string,
    endpointRef: string,
    { weight, drain }: BackendSet,
    dryRun: boolean,
  ): Promise<Service | Plan> {
    const { state } = this.#context;
    const { id, name } = this.#own(ref);
    if (weight === undefined && drain === undefined) {
      throw new SluiceError('invalid_argument', 'nothing is to be set', { hint: 'give a weight, or drain' });
    }
    if (weight !== undefined) readWeight(weight, 'weight');
    return this.#exclusively(id, name, (record) =>
      makeChange(this.#context, `a backend of service '${name}' could not be set`, dryRun, (change) => {
        const { endpoint, backend } = this.#backend(record, endpointRef);
        const { drain: drains, ...rest } = { ...backend, ...(drain !== undefined && { drain }) };
        const set = {
          ...rest,
          ...(weight !== undefined && { weight }),
          ...(drains && { drain: true as const }),
        };
        let next = record;
        if ('service' in set) this.#select(change, record, backend as SelectedRecord, set);
        else {
          const backends = record.backends.map((other) => (other === backend ? set : other));
          next = { ...record, backends };
          this.#replace(change, record, next);
        }
        return () => {
          this.#tellBackend(next, endpoint, set);
          return serviceView(state, next);
        };
      }),
    );
  }

  /** An endpoint has gone: services that name it as a backend no longer do. */
  async endpointGone(endpoint: string): Promise<void> {
    await Promise.all(this.#context.state.balancing.backedBy(endpoint).map((id) => this.#tidy(id)));
  }

  /**
   * An address that another engine gives to an endpoint of its own is not a
   * service's any more, which gets another one.
   */
  async giveWay(network: NetworkRecord, asked: readonly (string | null)[]): Promise<void> {
    const addresses = asked.flatMap((text) => {
      const address = text === null ? null : parseAddress(text);
      return address ? [formatAddress(address)] : [];
    });
    const { state, log, emit } = this.#context;
    const inTheWay = state.balancing
      .on(network.id)
      .filter(({ vip, vip6 }) => [vip, vip6].some((vip) => vip !== null && addresses.includes(vip)));
    for (const { id, name } of inTheWay) {
      await this.#exclusively(id, name, async (record) => {
        const families = ([4, 6] as const).filter((family) =>
          addresses.includes((family === 4 ? record.vip : record.vip6) ?? ''),
        );
        if (families.length === 0) return;
        await makeChange(
          this.#context,
          `service '${name}' could not get another address`,
          false,
          (change) => {
            change.forward = true;
            const next = { ...record };
            for (const family of families) {
              const key = family === 4 ? 'vip' : 'vip6';
              releaseVip(this.#context, change, network, record[key] as string);
              try {
                next[key] = change.attempt(() => takeVip(this.#context, change, id, network, family));
              } catch (e) {
                log.error('a service has no address any more', { service: name, err: e });
                next[key] = null;
              }
            }
            this.#replace(change, record, next);
            return () => {
              log.warn('Docker gave the address of a service to a container; the service has another one', {
                service: name,
                was: record.vip,
                vip: next.vip,
              });
              emit('service', 'update', next, addressesOf(next));
            };
          },
        );
      });
    }
  }

  /** Another engine's network goes: what its containers declare waits for another one, the rest goes too. */
  async networkGoes(network: NetworkRecord): Promise<void> {
    const { state, emit, log } = this.#context;
    for (const { id, name } of state.balancing.on(network.id)) {
      await this.#exclusively(id, name, async (record) => {
        await makeChange(this.#context, `service '${name}' could not leave its network`, false, (change) => {
          change.forward = true;
          if (record.declaredBy === null) {
            stageServices(state, change, [{ id, previous: record, next: null }]);
            forgetService(this.#context, change, record);
            return () => {
              log.warn('a service went with its network', { service: name, network: network.name });
              emit('service', 'remove', record);
            };
          }
          const next = this.#declaring.withoutNetwork(change, record);
          this.#replace(change, record, next);
          return () => emit('service', 'update', next, addressesOf(next));
        });
      });
    }
  }

  /** The backends to be checked, as they are reached now. */
  checks(): HealthTarget[] {
    const { balancing } = this.#context.state;
    return balancing.checked().flatMap((service) =>
      balancing.backendsOf(service).flatMap(({ endpoint }): HealthTarget[] => {
        const joined = endpoint === null ? null : balancing.joined(endpoint);
        const port = service.health?.port ?? service.ports[0]?.backendPort;
        if (!service.health || !joined?.join || joined.ipv4 === null || port === undefined) return [];
        return [
          {
            service: service.id,
            endpoint: joined.id,
            generation: joined.join.generation,
            address: joined.ipv4,
            check: { ...service.health, port },
            inUse: balancing.health(service.id, joined.id) === 'presumed',
          },
        ];
      }),
    );
  }

  /** What a check of a backend has found; of one that has come anew since, it says nothing. */
  async setHealth({ service, endpoint, generation }: HealthTarget, healthy: boolean): Promise<void> {
    const { state, realizer, emit } = this.#context;
    const { balancing } = state;
    const record = balancing.service(service);
    const joined = balancing.joined(endpoint);
    const backend = record && balancing.backendsOf(record).find((other) => other.endpoint === endpoint);
    if (!backend || joined?.join?.generation !== generation) return;
    const before = backendState(state, record, backend);
    balancing.setHealth(service, endpoint, healthy ? 'healthy' : 'unhealthy');
    const after = backendState(state, record, backend);
    if (before === after) return;
    emit('service', 'update', record, { endpoint: joined.name, backend: after });
    await realizer.apply(serviceOwner(service), planService(state, service));
  }

  async #create(
    requests: readonly ServiceRequest[],
    dryRun: boolean,
    many: boolean,
  ): Promise<Service[] | Plan> {
    const { state, host } = this.#context;
    const element = <T>(i: number, run: () => T): T =>
      many ? inElement(i, (requests[i] as ServiceRequest).name, run) : run();
    const networks = requests.map((request, i) =>
      element(i, () => state.networks.resolve(request.network, 'network')),
    );
    const sockets = await lookAtSockets(
      host,
      requests.flatMap(({ publish }) => specsOf(publish)),
    );
    return this.#onNetworks(networks, requests, async () => {
      const parts: { change: Change; answer: () => Service[] }[] = [];
      try {
        for (let at = 0; at < requests.length; at += CHUNK) {
          const chunk = requests.slice(at, at + CHUNK);
          const what = many
            ? 'the services could not be created'
            : `service '${chunk[0]?.name}' could not be created`;
          parts.push(
            prepareChange(what, (change) => {
              const records = chunk.map((request, i) =>
                element(at + i, () => {
                  const { id, name } = networks[at + i] as NetworkRecord;
                  const network = state.networks.get(id);
                  if (!network) throw gone('network', name);
                  return buildService(this.#context, change, newId(), request, network, sockets);
                }),
              );
              return this.#introduce(change, records);
            }),
          );
        }
      } catch (e) {
        for (const { change } of parts.reverse()) change.discard();
        throw e;
      }
      if (dryRun) {
        const rows = parts.flatMap(({ change }) => change.rows());
        for (const { change } of parts.reverse()) change.discard();
        return { dryRun: true, rows };
      }
      return this.#perform(parts);
    });
  }

  /** All of them, or none. */
  async #perform(parts: readonly { change: Change; answer: () => Service[] }[]): Promise<Service[]> {
    const results = await Promise.allSettled(parts.map(({ change }) => performChange(this.#context, change)));
    const done = parts.filter((_, i) => results[i]?.status === 'fulfilled');
    const failed = results.find((result) => result.status === 'rejected');
    if (!failed) return done.flatMap(({ answer }) => answer());
    const { state } = this.#context;
    await Promise.all(
      done.map(async ({ answer }) => {
        const records = answer().map(({ id }) => state.services.of(id));
        await makeChange(this.#context, 'services could not be taken back', false, (change) => {
          change.forward = true;
          stageServices(
            state,
            change,
            records.map((record) => ({ id: record.id, previous: record, next: null })),
          );
          for (const record of records) forgetService(this.#context, change, record);
          return () => {
            for (const record of records) this.#context.emit('service', 'remove', record);
          };
        });
      }),
    );
    throw toSluiceError(failed.reason, 'services could not be created');
  }

  #introduce(change: Change, records: readonly ServiceRecord[]): () => Service[] {
    const { state, emit } = this.#context;
    stageServices(
      state,
      change,
      records.map((next) => ({ id: next.id, previous: null, next })),
    );
    change.onDone(() => {
      for (const record of records) state.services.set(record);
    });
    return () =>
      records.map((record) => {
        emit('service', 'create', record, { ports: portsText(record), ...addressesOf(record) });
        // An endpoint that went meanwhile did not find the service yet.
        void this.#tidyIfGone(record.id);
        return serviceView(state, record);
      });
  }

  /**
   * With the networks held: against their removal, and where endpoints could
   * become backends or take addresses by themselves, against those.
   */
  async #onNetworks<T>(
    networks: readonly NetworkRecord[],
    requests: readonly ServiceRequest[],
    task: () => Promise<T>,
  ): Promise<T> {
    const modes = new Map<string, 'shared' | 'exclusive'>();
    for (const [i, { id, origin }] of networks.entries()) {
      const alone = origin || Object.keys(requests[i]?.selector ?? {}).length > 0;
      if (alone) modes.set(id, 'exclusive');
      else if (!modes.has(id)) modes.set(id, 'shared');
    }
    const locked = [...modes].sort(([a], [b]) => (a < b ? -1 : 1));
    const next = (i: number): Promise<T> => {
      const [id, mode] = locked[i] ?? [];
      if (id === undefined || mode === undefined) return task();
      return this.#context.locks.with('network', id, mode, () => next(i + 1));
    };
    return next(0);
  }

  #replace(change: Change, previous: ServiceRecord, next: ServiceRecord): void {
    const { state } = this.#context;
    change.store(`services/${next.id}`, next, previous);
    stageServices(state, change, [{ id: next.id, previous, next }]);
    change.onDone(() => state.services.set(next));
  }

  #select(change: Change, service: ServiceRecord, previous: SelectedRecord, next: SelectedRecord): void {
    const { state } = this.#context;
    storeSelected(change, next, previous);
    const put = (record: SelectedRecord) => () => {
      state.balancing.select(record);
      return [{ owner: serviceOwner(service.id), rows: planService(state, service.id) }];
    };
    change.later({ next: put(next), previous: put(previous), lenient: false });
  }

  #tellBackend(
    service: ServiceRecord,
    endpoint: EndpointRecord,
    backend: BackendRecord | SelectedRecord,
  ): void {
    const { state, emit } = this.#context;
    emit('service', 'update', service, {
      endpoint: endpoint.name,
      backend: backendState(state, service, backend),
      weight: String(backend.weight),
    });
  }

  #backend(record: ServiceRecord, ref: string) {
    const { state } = this.#context;
    const endpoint = state.endpoints.resolve(ref);
    const backend = state.balancing.backendsOf(record).find((other) => other.endpoint === endpoint.id);
    if (backend) return { endpoint, backend };
    throw new SluiceError(
      'not_found',
      `endpoint '${endpoint.name}' is no backend of service '${record.name}'`,
      {
        hint: `sluice service inspect ${record.name} shows them`,
      },
    );
  }

  /** One that was made by command. */
  #own(ref: string): ServiceRecord {
    const record = this.#context.state.services.resolve(ref);
    if (record.declaredBy === null) return record;
    throw new SluiceError(
      'forbidden',
      `service '${record.name}' is what the labels of container '${record.declaredBy.name}' say`,
      { hint: 'change the labels of its containers, which means to create them again' },
    );
  }

  async #exclusively<T>(id: string, name: string, task: (record: ServiceRecord) => Promise<T>): Promise<T> {
    return this.#context.locks.with('service', id, 'exclusive', () => {
      const record = this.#context.state.services.get(id);
      if (!record) throw gone('service', name);
      return task(record);
    });
  }

  async #tidyIfGone(id: string): Promise<void> {
    if (this.#lost(id).length > 0) await this.#tidy(id);
  }

  /** Backends whose endpoints are gone. What containers declare is told anew as these come and go. */
  #lost(id: string): (BackendRecord | SelectedRecord)[] {
    const { state } = this.#context;
    const record = state.services.get(id);
    if (!record) return [];
    return state.balancing
      .backendsOf(record)
      .filter(
        (backend) =>
          !('declared' in backend && backend.declared) &&
          (backend.endpoint === null || !state.knowsEndpoint(backend.endpoint)),
      );
  }

  /** Lets go of them. Nothing leads to them any more, whatever becomes of it. */
  async #tidy(id: string): Promise<void> {
    const { state, log, locks } = this.#context;
    await locks.with('service', id, 'exclusive', async () => {
      const lost = this.#lost(id);
      const record = state.services.get(id);
      if (!record || lost.length === 0) return;
      const selected = lost.flatMap((backend) => ('service' in backend ? [backend] : []));
      try {
        await makeChange(
          this.#context,
          `service '${record.name}' could not lose a backend`,
          false,
          (change) => {
            change.forward = true;
            const backends = record.backends.filter((backend) => !lost.includes(backend));
            for (const own of selected) storeSelected(change, null, own);
            this.#replace(change, record, { ...record, backends });
            change.onDone(() => {
              for (const own of selected) state.balancing.deselect(own);
              for (const backend of lost) releaseBackend(this.#context, id, backend);
            });
            return () => undefined;
          },
        );
      } catch (err) {
        log.error('a service still names a backend that is gone', { service: record.name, err });
      }
    });
  }
}

export function addressesOf({ vip, vip6 }: Pick<ServiceRecord, 'vip' | 'vip6'>): Record<string, string> {
  return { ...(vip !== null && { vip }), ...(vip6 !== null && { vip6 }) };
}

/** What is wrong with one of several requests says which. */
function inElement<T>(i: number, name: string, run: () => T): T {
  try {
    return run();
  } catch (e) {
    if (!(e instanceof SluiceError)) throw e;
    throw new SluiceError(e.code, `service '${name}': ${e.message}`, {
      field: e.field === undefined ? `[${i}]` : `[${i}].${e.field}`,
      ...(e.hint !== undefined && { hint: e.hint }),
      cause: e,
    });
  }
}
