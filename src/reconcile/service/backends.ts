// SPDX-License-Identifier: Apache-2.0
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import { backend_state } from '../../maps/generated/enums.js';
import type { KernelMap, KernelMaps, ServiceBackendValue } from '../kernel.js';
import type { Stray } from '../ops.js';
import { BackendTable } from './backend-table.js';
import { isActive } from './choice.js';

type BackendMaps = Pick<KernelMaps, 'service_backends' | 'backend_of' | 'backend_load' | 'backend_traffic'>;

export interface BackendSizes {
  /** Elements of `service_backends`, of `backend_of`. */
  readonly backends: number;
  readonly endpoints: number;
}

/** What the kernel had when it was looked at. */
export interface BackendsRead {
  readonly backends: BackendTable;
  /** By endpoint's slot. */
  readonly counts: Uint32Array;
}

/** Elements read at once; other work gets its turn in between. */
const CHUNK = 4096;

/**
 * Backends by their ids. An id that was given up keeps the names of its last
 * holder in the kernel, in state NONE: whoever gets it next, in this process
 * or a later one, can so tell that its figures are another's. `backend_of`
 * counts services by endpoint, so the books of all are kept here.
 */
export class Backends {
  readonly #maps: BackendMaps;
  readonly #sizes: BackendSizes;
  /** What the kernel has, as far as we wrote it or learnt it. */
  readonly #written: BackendTable;
  /** By service: what is counted. */
  readonly #counted = new Map<number, readonly BackendRow[]>();
  readonly #counts: Uint32Array;

  constructor(maps: BackendMaps, sizes: BackendSizes) {
    this.#maps = maps;
    this.#sizes = sizes;
    this.#written = new BackendTable(sizes.backends);
    this.#counts = new Uint32Array(sizes.endpoints);
  }

  /** Ids in use, and endpoints that are backends. */
  get used(): { service_backends: number; backend_of: number } {
    let backends = 0;
    for (const own of this.#counted.values()) backends += own.length;
    return {
      service_backends: backends,
      backend_of: this.#counts.reduce((n, count) => n + (count > 0 ? 1 : 0), 0),
    };
  }

  async read(): Promise<BackendsRead> {
    const { backends: size, endpoints } = this.#sizes;
    const backends = new BackendTable(size);
    await eachElement(this.#maps.service_backends, size, (id, value) => {
      if (value.service !== 0) backends.set(id, value);
    });
    const counts = new Uint32Array(endpoints);
    await eachElement(this.#maps.backend_of, endpoints, (slot, count) => {
      counts[slot] = count;
    });
    return { backends, counts };
  }

  /** What earlier processes have given, once, before anything is brought. */
  learn({ backends }: BackendsRead): void {
    for (let id = 0; id < backends.size; id++)
      if (backends.serviceOf(id) !== 0) this.#written.set(id, backends.get(id));
  }

  /** Counts a service's backends without writing anything. */
  expect(row: ServiceRow): void {
    this.#count(row.number, row.backends);
  }

  holds(row: ServiceRow, { backends, counts }: BackendsRead): boolean {
    return row.backends.every(
      (backend) => backends.is(backend.id, backendValue(row, backend)) && (counts[backend.slot] ?? 0) > 0,
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
    const slots = this.#count(row.number, this.#withFormer(row));
    this.#writeCounts(all ? row.backends.map(({ slot }) => slot) : slots);
  }

  /** After nothing leads to them any more: the service's backends are these. Answers the ids of those that left. */
  leave(service: number, backends: readonly BackendRow[], former: readonly BackendRow[]): number[] {
    this.#writeCounts(this.#count(service, backends));
    const kept = new Set(backends.map(({ id }) => id));
    const gone = new Map<number, ServiceBackendValue>();
    for (const { id } of former) {
      if (kept.has(id) || this.#written.serviceOf(id) !== service) continue;
      if (this.#written.stateOf(id) !== backend_state.BACKEND_NONE) gone.set(id, this.#ended(id));
    }
    this.#end(gone);
    return [...gone.keys()];
  }

  strays({ backends, counts }: BackendsRead): Stray[] {
    const wanted = new Uint8Array(this.#sizes.backends);
    for (const own of this.#counted.values()) for (const { id } of own) wanted[id] = 1;
    const ids: number[] = [];
    for (let id = 0; id < backends.size; id++)
      if (backends.stateOf(id) !== backend_state.BACKEND_NONE && wanted[id] === 0) ids.push(id);
    const slots: number[] = [];
    // A slot that lacks its count is the business of the row it lacks.
    counts.forEach((count, slot) => {
      if (count !== 0 && count !== this.#counts[slot]) slots.push(slot);
    });
    const strays: Stray[] = [];
    if (slots.length > 0)
      strays.push({ what: `${slots.length} endpoints as backends`, remove: () => this.#writeCounts(slots) });
    if (ids.length > 0) {
      const end = (): void => this.#end(new Map(ids.map((id) => [id, this.#ended(id)])));
      strays.push({ what: `${ids.length} backends`, remove: end });
    }
    return strays;
  }

  /** Those that leave are counted until nothing leads to them. */
  #withFormer({ number, backends }: ServiceRow): readonly BackendRow[] {
    const before = this.#counted.get(number);
    if (before === undefined || before === backends) return backends;
    const ids = new Set(backends.map(({ id }) => id));
    const leaving = before.filter(({ id }) => !ids.has(id));
    return leaving.length === 0 ? backends : [...backends, ...leaving];
  }

  /** Answers the slots whose count is another one now. */
  #count(service: number, backends: readonly BackendRow[]): number[] {
    const before = this.#counted.get(service) ?? [];
    if (before === backends) return [];
    if (backends.length === 0) this.#counted.delete(service);
    else this.#counted.set(service, backends);
    const changes = new Map<number, number>();
    for (const { slot } of before) changes.set(slot, (changes.get(slot) ?? 0) - 1);
    for (const { slot } of backends) changes.set(slot, (changes.get(slot) ?? 0) + 1);
    const slots: number[] = [];
    for (const [slot, by] of changes) {
      if (by === 0) continue;
      this.#counts[slot] = (this.#counts[slot] as number) + by;
      slots.push(slot);
    }
    return slots;
  }

  #writeCounts(slots: readonly number[]): void {
    if (slots.length === 0) return;
    this.#maps.backend_of.setBatch(
      slots.map((slot): [number, number] => [slot, this.#counts[slot] as number]),
    );
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
