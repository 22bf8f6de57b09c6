// SPDX-License-Identifier: Apache-2.0
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import { backend_state } from '../../maps/generated/enums.js';
import type { KernelMap, KernelMaps, ServiceBackendValue } from '../kernel.js';
import type { Stray } from '../ops.js';
import { BackendTable } from './backend-table.js';
import { isActive } from './choice.js';

type BackendMaps = Pick<
  KernelMaps,
  'service_backends' | 'backend_endpoints' | 'backend_load' | 'backend_traffic'
>;

export interface BackendSizes {
  /** Elements of `service_backends`, of `backend_endpoints`. */
  readonly backends: number;
  readonly endpoints: number;
}

/** What the kernel had when it was looked at. */
export interface BackendsRead {
  readonly backends: BackendTable;
  /** By slot: the generation of the endpoint that is, or was, a backend. */
  readonly endpoints: Uint32Array;
}

/** Elements read at once; other work gets its turn in between. */
const CHUNK = 4096;

/**
 * Backends by their ids. An id that was given up keeps the names of its last
 * holder in the kernel, in state NONE: whoever gets it next, in this process
 * or a later one, can so tell that its figures are another's. Nor is an
 * endpoint taken out of `backend_endpoints`: flows that it has with clients
 * outlast its time as a backend.
 */
export class Backends {
  readonly #maps: BackendMaps;
  readonly #sizes: BackendSizes;
  /** What the kernel has, as far as we wrote it or learnt it. */
  readonly #written: BackendTable;
  readonly #endpoints: Uint32Array;
  /** By service: whose ids are in use. */
  readonly #inUse = new Map<number, readonly BackendRow[]>();

  constructor(maps: BackendMaps, sizes: BackendSizes) {
    this.#maps = maps;
    this.#sizes = sizes;
    this.#written = new BackendTable(sizes.backends);
    this.#endpoints = new Uint32Array(sizes.endpoints);
  }

  /** Ids in use, and endpoints that are backends. */
  get used(): { service_backends: number; backend_endpoints: number } {
    let backends = 0;
    const slots = new Set<number>();
    for (const own of this.#inUse.values()) {
      backends += own.length;
      for (const { slot } of own) slots.add(slot);
    }
    return { service_backends: backends, backend_endpoints: slots.size };
  }

  async read(): Promise<BackendsRead> {
    const { backends: size } = this.#sizes;
    const backends = new BackendTable(size);
    await eachElement(this.#maps.service_backends, size, (id, value) => {
      if (value.service !== 0) backends.set(id, value);
    });
    const endpoints = new Uint32Array(this.#sizes.endpoints);
    await eachElement(this.#maps.backend_endpoints, endpoints.length, (slot, generation) => {
      endpoints[slot] = generation;
    });
    return { backends, endpoints };
  }

  /** What earlier processes have given, once, before anything is brought. */
  learn({ backends, endpoints }: BackendsRead): void {
    this.#endpoints.set(endpoints);
    for (let id = 0; id < backends.size; id++)
      if (backends.serviceOf(id) !== 0) this.#written.set(id, backends.get(id));
  }

  /** Notes a service's backends without writing anything. */
  expect(row: ServiceRow): void {
    this.#use(row.number, row.backends);
  }

  holds(row: ServiceRow, { backends, endpoints }: BackendsRead): boolean {
    return row.backends.every(
      (backend) =>
        backends.is(backend.id, backendValue(row, backend)) && endpoints[backend.slot] === backend.generation,
    );
  }

  /** Before any slot leads to them. Those that differ from what is there, or `all`. */
  bring(row: ServiceRow, all: boolean): void {
    const changed: [number, ServiceBackendValue][] = [];
    const taken: number[] = [];
    for (const backend of row.backends) {
      const value = backendValue(row, backend);
      if (!all && this.#written.is(backend.id, value)) continue;
      changed.push([backend.id, value]);
      // the figures of an id that nobody had are zero
      if (this.#written.serviceOf(backend.id) !== 0 && !this.#written.isOf(backend.id, value))
        taken.push(backend.id);
    }
    this.#maps.service_backends.setBatch(changed);
    if (taken.length > 0) {
      this.#maps.backend_load.zero(taken);
      this.#maps.backend_traffic.zero(taken);
    }
    for (const [id, value] of changed) this.#written.set(id, value);
    this.#mark(row.backends, all);
    this.#use(row.number, this.#withFormer(row));
  }

  /** After nothing leads to them any more: the service's backends are these. Answers the ids of those that left. */
  leave(service: number, backends: readonly BackendRow[], former: readonly BackendRow[]): number[] {
    this.#use(service, backends);
    const kept = new Set(backends.map(({ id }) => id));
    const gone = new Map<number, ServiceBackendValue>();
    for (const { id } of former) {
      if (kept.has(id) || this.#written.serviceOf(id) !== service) continue;
      if (this.#written.stateOf(id) !== backend_state.BACKEND_NONE) gone.set(id, this.#ended(id));
    }
    this.#end(gone);
    return [...gone.keys()];
  }

  strays({ backends }: BackendsRead): Stray[] {
    const wanted = new Uint8Array(this.#sizes.backends);
    for (const own of this.#inUse.values()) for (const { id } of own) wanted[id] = 1;
    const ids: number[] = [];
    for (let id = 0; id < backends.size; id++)
      if (backends.stateOf(id) !== backend_state.BACKEND_NONE && wanted[id] === 0) ids.push(id);
    if (ids.length === 0) return [];
    const end = (): void => this.#end(new Map(ids.map((id) => [id, this.#ended(id)])));
    return [{ what: `${ids.length} backends`, remove: end }];
  }

  /** Those that leave keep their ids until nothing leads to them. */
  #withFormer({ number, backends }: ServiceRow): readonly BackendRow[] {
    const before = this.#inUse.get(number);
    if (before === undefined || before === backends) return backends;
    const ids = new Set(backends.map(({ id }) => id));
    const leaving = before.filter(({ id }) => !ids.has(id));
    return leaving.length === 0 ? backends : [...backends, ...leaving];
  }

  #use(service: number, backends: readonly BackendRow[]): void {
    if (backends.length === 0) this.#inUse.delete(service);
    else this.#inUse.set(service, backends);
  }

  #mark(backends: readonly BackendRow[], all: boolean): void {
    const marks: [number, number][] = [];
    for (const { slot, generation } of backends)
      if (all || this.#endpoints[slot] !== generation) marks.push([slot, generation]);
    this.#maps.backend_endpoints.setBatch(marks);
    for (const [slot, generation] of marks) this.#endpoints[slot] = generation;
  }

  /** Keeps the names. */
  #ended(id: number): ServiceBackendValue {
    return { ...this.#written.get(id), state: backend_state.BACKEND_NONE };
  }

  #end(backends: ReadonlyMap<number, ServiceBackendValue>): void {
    this.#maps.service_backends.setBatch([...backends]);
    for (const [id, value] of backends) this.#written.set(id, value);
  }
}

async function eachElement<V>(
  map: Pick<KernelMap<number, V>, 'slice'>,
  size: number,
  note: (index: number, value: V) => void,
): Promise<void> {
  for (let first = 0; first < size; first += CHUNK) {
    const values = map.slice(first, Math.min(CHUNK, size - first));
    for (let i = 0; i < values.length; i++) note(first + i, values[i] as V);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function backendValue(row: ServiceRow, backend: BackendRow): ServiceBackendValue {
  return {
    endpoint: backend.slot,
    generation: backend.generation,
    service: row.number,
    idle: row.idleTimeout ?? 0,
    state: isActive(backend) ? backend_state.BACKEND_ACTIVE : backend_state.BACKEND_DRAINING,
  };
}
