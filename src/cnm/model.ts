// SPDX-License-Identifier: Apache-2.0
/**
 * The Container Network Model of one node. A change is put together and its
 * allocations made in one go, without waiting; then it is stored, then applied,
 * while other changes go on beside it, and only then seen by others. Locks keep
 * changes of one object apart.
 */
import type { Clock } from '../base/clock.js';
import { SluiceError, toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { damaged } from '../store/codec.js';
import { migrate } from '../store/migrate.js';
import type { Store } from '../store/store.js';
import { type Context, ownerOf } from './context.js';
import { Endpoints } from './endpoints.js';
import type { HostView } from './host.js';
import { Pools } from './ipam/pools.js';
import { planEndpoint } from './joining.js';
import { type AddressLeases, Leases } from './leases.js';
import { Ledger } from './ledger.js';
import { Locks } from './locks.js';
import { MIGRATIONS } from './migrations.js';
import { Naming } from './naming.js';
import { Networks, planNetwork } from './networks.js';
import {
  decoder,
  EndpointRecord,
  GENERATION_KEY,
  Generation,
  LeasedPoolRecord,
  LeaseRecord,
  NetworkRecord,
  SandboxRecord,
  SelectedRecord,
  ServiceRecord,
  selectedKey,
  ULA_KEY,
  Ula,
} from './records.js';
import { Remote, type RemoteObjects } from './remote.js';
import type { Owner, Realizer, Row } from './rows.js';
import { planSandbox, Sandboxes } from './sandboxes.js';
import { planService, serviceOwner } from './services/planning.js';
import { Services } from './services.js';
import { State } from './state.js';
import type {
  BackendAdd,
  BackendSet,
  ChangeEvent,
  Cnm,
  DeclarationProblem,
  Endpoint,
  EndpointCreate,
  HealthTarget,
  Network,
  NetworkCreate,
  Plan,
  Sandbox,
  SandboxCreate,
  Service,
  ServiceCreate,
  ServiceIntent,
} from './types.js';

export interface CnmOptions {
  /** Open; the model neither opens nor closes it. */
  readonly store: Store;
  readonly realizer: Realizer;
  readonly host: HostView;
  readonly log: Log;
  readonly clock: Clock;
  /** `CIDR,SIZE` each; a family for which none is given has its defaults. */
  readonly pools?: readonly string[];
  /** Source ports of masqueraded flows are picked from these, inclusive. */
  readonly masqueradePorts: { readonly first: number; readonly last: number };
  /** A resolver of ours is at 127.0.0.11 in every sandbox. */
  readonly resolver?: boolean;
}

export interface Usage {
  readonly table: string;
  readonly used: number;
  readonly capacity: number;
}

export class CnmModel implements Cnm {
  readonly #context: Context;
  readonly #store: Store;
  readonly #networks: Networks;
  readonly #sandboxes: Sandboxes;
  readonly #endpoints: Endpoints;
  readonly #remote: Remote;
  /** For the network driver and the address management of another engine. */
  readonly remote: RemoteObjects;
  readonly leases: AddressLeases;
  /** For a resolver. */
  readonly naming: Naming;
  readonly #services: Services;
  readonly #listeners = new Set<(e: ChangeEvent) => void>();
  readonly #pending = new Set<Promise<unknown>>();
  #phase: 'new' | 'running' | 'stopped' = 'new';

  constructor({
    store,
    realizer,
    host,
    log,
    clock,
    masqueradePorts,
    pools = [],
    resolver = false,
  }: CnmOptions) {
    this.#store = store;
    this.#context = {
      state: new State(new Pools(pools)),
      ledger: new Ledger(store, log),
      locks: new Locks(),
      realizer,
      host,
      log,
      clock,
      masqueradePorts,
      resolver,
      emit: (type, action, { id, name }, attributes = {}) =>
        this.emit({ time: clock.now(), type, action, id, name, attributes }),
    };
    this.#services = new Services(this.#context);
    this.naming = new Naming(this.#context.state);
    this.#networks = new Networks(this.#context);
    this.#sandboxes = new Sandboxes(this.#context);
    this.#endpoints = new Endpoints(this.#context, this.#services);
    const remote = new Remote(this.#context, this.#networks, this.#services);
    this.#remote = remote;
    this.remote = {
      createNetwork: (request) => this.#change('network create', () => remote.createNetwork(request)),
      removeNetwork: (id) => this.#change('network rm', () => remote.removeNetwork(id)),
      createEndpoint: (request) => this.#change('endpoint create', () => remote.createEndpoint(request)),
      removeEndpoint: (id) => this.#change('endpoint rm', () => remote.removeEndpoint(id)),
      join: (id, netns) => this.#change('endpoint join', () => remote.join(id, netns)),
      leave: (id) => this.#change('endpoint leave', () => remote.leave(id)),
      publish: (id, ports) => this.#change('publish', () => remote.publish(id, ports)),
      unpublish: (id) => this.#change('unpublish', () => remote.unpublish(id)),
    };
    const leases = new Leases(this.#context);
    this.leases = {
      requestPool: (request) => this.#change('pool', () => leases.requestPool(request)),
      releasePool: (id) => this.#change('pool', () => leases.releasePool(id)),
      requestAddress: (id, asked, use) =>
        this.#change('address', () => leases.requestAddress(id, asked, use)),
      releaseAddress: (id, text) => this.#change('address', () => leases.releaseAddress(id, text)),
      held: () => leases.held(),
      reclaimPool: (held) => this.#change('pool', () => leases.reclaimPool(held)),
      reclaimAddress: (held) => this.#change('address', () => leases.reclaimAddress(held)),
    };
  }

  /** Loads what the store holds and answers the rows wanted for it, by owner. Once, before anything else. */
  async start(): Promise<ReadonlyMap<Owner, readonly Row[]>> {
    const { state, ledger, host, log } = this.#context;
    for (const { schema, what } of await migrate(this.#store, MIGRATIONS)) {
      log.info('state brought to a newer schema', { schema, what });
    }
    const [networks, sandboxes, endpoints, pools, leases, services, selected, [generation], [ula]] =
      await Promise.all([
        ledger.load('networks/'),
        ledger.load('sandboxes/'),
        ledger.load('endpoints/'),
        ledger.load('pools/'),
        ledger.load('leases/'),
        ledger.load('services/'),
        ledger.load('selected/'),
        ledger.load(GENERATION_KEY),
        ledger.load(ULA_KEY),
      ]);
    if (generation) state.generations.restore(decoder(Generation)(generation));
    if (ula && !state.pools.restoreUla(decoder(Ula)(ula))) throw damaged(ULA_KEY);
    state.leased.restore(pools.map(decoder(LeasedPoolRecord)), leases.map(decoder(LeaseRecord)));
    const orphans = state.restore(
      networks.map(decoder(NetworkRecord)),
      sandboxes.map(decoder(SandboxRecord)),
      endpoints.map(decoder(EndpointRecord)),
      services.map(decoder(ServiceRecord)),
      selected.map(decoder(SelectedRecord)),
    );
    await Promise.all(orphans.map((record) => ledger.write([{ op: 'delete', key: selectedKey(record) }])));
    const plan = this.#plan(await host.resolvConf());
    this.#phase = 'running';
    return plan;
  }

  /** Refuses new changes and waits for those under way. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    await Promise.allSettled([...this.#pending]);
    await this.#context.ledger.drain();
  }

  createNetwork(request: NetworkCreate, dryRun?: false): Promise<Network>;
  createNetwork(request: NetworkCreate, dryRun: boolean): Promise<Network | Plan>;
  createNetwork(request: NetworkCreate, dryRun = false): Promise<Network | Plan> {
    return this.#change('network create', () => this.#networks.create(request, dryRun));
  }

  networks(): Network[] {
    return this.#networks.list();
  }

  network(ref: string): Network {
    return this.#networks.get(ref);
  }

  removeNetwork(ref: string, dryRun = false, force = false): Promise<void | Plan> {
    return this.#change('network rm', async () => {
      const { id, origin } = this.network(ref);
      if (force && !dryRun && origin !== 'sluice') return this.#remote.removeNetwork(id);
      return this.#networks.remove(ref, dryRun);
    });
  }

  pruneNetworks(dryRun = false): Promise<string[]> {
    return this.#change('network prune', () => this.#networks.prune(dryRun));
  }

  createSandbox(request: SandboxCreate, dryRun = false): Promise<Sandbox | Plan> {
    return this.#change('sandbox create', () => this.#sandboxes.create(request, dryRun));
  }

  sandboxes(): Sandbox[] {
    return this.#sandboxes.list();
  }

  sandbox(ref: string): Sandbox {
    return this.#sandboxes.get(ref);
  }

  removeSandbox(ref: string, dryRun = false): Promise<void | Plan> {
    return this.#change('sandbox rm', () => this.#sandboxes.remove(ref, dryRun));
  }

  createEndpoint(request: EndpointCreate, dryRun = false): Promise<Endpoint | Plan> {
    return this.#change('endpoint create', () => this.#endpoints.create(request, dryRun));
  }

  endpoints(): Endpoint[] {
    return this.#endpoints.list();
  }

  endpoint(ref: string): Endpoint {
    return this.#endpoints.get(ref);
  }

  join(endpointRef: string, sandboxRef: string, dryRun = false): Promise<Endpoint | Plan> {
    return this.#change('endpoint join', () => this.#endpoints.join(endpointRef, sandboxRef, dryRun));
  }

  leave(endpointRef: string, dryRun = false): Promise<Endpoint | Plan> {
    return this.#change('endpoint leave', () => this.#endpoints.leave(endpointRef, dryRun));
  }

  removeEndpoint(ref: string, dryRun = false): Promise<void | Plan> {
    return this.#change('endpoint rm', () => this.#endpoints.remove(ref, dryRun));
  }

  publish(
    endpointRef: string,
    ports: string[],
    dryRun = false,
    allow: string[] = [],
  ): Promise<Endpoint | Plan> {
    return this.#change('publish', () => this.#endpoints.publish(endpointRef, ports, allow, dryRun));
  }

  unpublish(endpointRef: string, ports: string[], dryRun = false): Promise<Endpoint | Plan> {
    return this.#change('unpublish', () => this.#endpoints.unpublish(endpointRef, ports, dryRun));
  }

  connect(
    sandboxRef: string,
    request: Omit<EndpointCreate, 'name'> & { name?: string },
    dryRun = false,
  ): Promise<Endpoint | Plan> {
    return this.#change('connect', () => this.#endpoints.connect(sandboxRef, request, dryRun));
  }

  disconnect(networkRef: string, sandboxRef: string, dryRun = false): Promise<void | Plan> {
    return this.#change('disconnect', () => this.#endpoints.disconnect(networkRef, sandboxRef, dryRun));
  }

  services(): Service[] {
    return this.#services.list();
  }

  service(ref: string): Service {
    return this.#services.get(ref);
  }

  createService(request: ServiceCreate, dryRun = false): Promise<Service | Plan> {
    return this.#change('service create', () => this.#services.create(request, dryRun));
  }

  createServices(requests: readonly ServiceCreate[], dryRun = false): Promise<Service[] | Plan> {
    return this.#change('service create', () => this.#services.createMany(requests, dryRun));
  }

  removeService(ref: string, dryRun = false): Promise<void | Plan> {
    return this.#change('service rm', () => this.#services.remove(ref, dryRun));
  }

  addBackend(ref: string, request: BackendAdd, dryRun = false): Promise<Service | Plan> {
    return this.#change('service add-backend', () => this.#services.addBackend(ref, request, dryRun));
  }

  removeBackend(ref: string, endpointRef: string, dryRun = false): Promise<Service | Plan> {
    return this.#change('service rm-backend', () => this.#services.removeBackend(ref, endpointRef, dryRun));
  }

  setBackend(ref: string, endpointRef: string, request: BackendSet, dryRun = false): Promise<Service | Plan> {
    return this.#change('service set-backend', () =>
      this.#services.setBackend(ref, endpointRef, request, dryRun),
    );
  }

  /** The backends to be checked, as they are reached now. */
  healthTargets(): HealthTarget[] {
    return this.#services.checks();
  }

  /** What a check has found. */
  setHealth(target: HealthTarget, healthy: boolean): Promise<void> {
    return this.#change('health', () => this.#services.setHealth(target, healthy));
  }

  /** These are the services that containers declare now; answers what stands in the way of some. */
  declareServices(intents: readonly ServiceIntent[]): Promise<DeclarationProblem[]> {
    return this.#change('services', () => this.#services.declare(intents));
  }

  /** How full the kernel's tables of our objects are, by what we hold of them. */
  usage(): Usage[] {
    const { netNumbers, slots, sandboxNumbers, serviceNumbers, backendIds, publishIds } = this.#context.state;
    return Object.entries({
      networks: netNumbers,
      endpoints: slots,
      sandboxes: sandboxNumbers,
      services: serviceNumbers,
      backends: backendIds,
      publishes: publishIds,
    }).map(([table, { size, capacity }]) => ({ table, used: size, capacity }));
  }

  onChange(listener: (e: ChangeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells the listeners; also for what others observe, such as links that go down. */
  emit(event: ChangeEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (err) {
        this.#context.log.error('a listener of change events failed', { err });
      }
    }
  }

  #plan(resolvConf: string): Map<Owner, Row[]> {
    const { state } = this.#context;
    const plan = new Map<Owner, Row[]>();
    const add = (owner: Owner, rows: Row[]): void => {
      if (rows.length > 0) plan.set(owner, rows);
    };
    for (const record of state.networks.all()) add(ownerOf('network', record), planNetwork(record));
    for (const record of state.sandboxes.all()) {
      const inside = state.inside(record.id);
      add(ownerOf('sandbox', record), planSandbox(this.#context, record, resolvConf, inside));
      for (const endpoint of inside)
        add(ownerOf('endpoint', endpoint), planEndpoint(state, endpoint, inside));
    }
    for (const { id } of state.services.all()) add(serviceOwner(id), planService(state, id));
    return plan;
  }

  /** Nothing but SluiceErrors comes out. */
  async #change<T>(what: string, run: () => Promise<T>): Promise<T> {
    if (this.#phase !== 'running') {
      throw new SluiceError(
        'unavailable',
        `the daemon is ${this.#phase === 'new' ? 'not ready yet' : 'shutting down'}`,
        {
          hint: 'try again in a moment',
        },
      );
    }
    const running = run();
    this.#pending.add(running);
    try {
      return await running;
    } catch (e) {
      throw toSluiceError(e, what);
    } finally {
      this.#pending.delete(running);
    }
  }
}
