// SPDX-License-Identifier: Apache-2.0
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import { backend_state } from '../../maps/generated/enums.js';
import type { KernelMaps, ServiceBackendValue } from '../kernel.js';
import { same } from '../ops/values.js';
import type { Stray } from '../ops.js';
import { isActive } from './choice.js';

type BackendMaps = Pick<KernelMaps, 'service_backends' | 'backend_of' | 'backend_load' | 'backend_traffic'>;

/** What the kernel had when it was looked at. */
export interface BackendsRead {
  readonly backends: ReadonlyMap<number, ServiceBackendValue>;
  readonly of: ReadonlyMap<number, number>;
}

/**
 * Backends by their ids. An id that was given up keeps the names of its last
 * holder in the kernel, in state NONE: whoever gets it next, in this process
 * or a later one, can so tell that its figures are another's. `backend_of`
 * counts services by endpoint, so the books of all are kept here.
 */
export class Backends {
  readonly #maps: BackendMaps;
  /** Of every id that was ever given. */
  readonly #holders = new Map<number, ServiceBackendValue>();
  /** By service: what is counted. */
  readonly #counted = new Map<number, readonly BackendRow[]>();
  /** By endpoint's slot. */
  readonly #counts = new Map<number, number>();

  constructor(maps: BackendMaps) {
    this.#maps = maps;
  }

  async read(): Promise<BackendsRead> {
    const backends = new Map<number, ServiceBackendValue>();
    for await (const [id, backend] of this.#maps.service_backends.used()) backends.set(id, backend);
    const of = new Map<number, number>();
    for await (const [slot, count] of this.#maps.backend_of.used()) of.set(slot, count);
    return { backends, of };
  }

  /** What earlier processes have given, once, before anything is brought. */
  learn({ backends }: BackendsRead): void {
    for (const [id, backend] of backends) this.#holders.set(id, backend);
  }

  /** Counts a service's backends without writing anything. */
  expect(row: ServiceRow): void {
    this.#count(row.number, row.backends);
  }

  holds(row: ServiceRow, { backends, of }: BackendsRead): boolean {
    return row.backends.every((backend) => {
      const have = backends.get(backend.id);
      return have !== undefined && same(have, backendValue(row, backend)) && (of.get(backend.slot) ?? 0) > 0;
    });
  }

  /** Before any slot leads to them. Those that differ from what is there, or `all`. */
  bring(row: ServiceRow, all: boolean): void {
    const changed = row.backends
      .map((backend): [number, ServiceBackendValue] => [backend.id, backendValue(row, backend)])
      .filter(([id, value]) => all || !isSame(this.#holders.get(id), value));
    this.#maps.service_backends.setBatch(changed);
    const taken = changed.filter(([id, value]) => isAnothers(this.#holders.get(id), value)).map(([id]) => id);
    if (taken.length > 0) {
      this.#maps.backend_load.zero(taken);
      this.#maps.backend_traffic.zero(taken);
    }
    for (const [id, value] of changed) this.#holders.set(id, value);
    // those that leave are counted until nothing leads to them
    const before = this.#counted.get(row.number) ?? [];
    const ids = new Set(row.backends.map(({ id }) => id));
    const slots = this.#count(row.number, [...row.backends, ...before.filter(({ id }) => !ids.has(id))]);
    this.#writeCounts(all ? row.backends.map(({ slot }) => slot) : slots);
  }

  /** After nothing leads to them any more: the service's backends are these. Answers the ids of those that left. */
  leave(service: number, backends: readonly BackendRow[], former: readonly BackendRow[]): number[] {
    this.#writeCounts(this.#count(service, backends));
    const kept = new Set(backends.map(({ id }) => id));
    const gone = new Map<number, ServiceBackendValue>();
    for (const { id } of former) {
      const holder = this.#holders.get(id);
      if (kept.has(id) || holder === undefined || holder.service !== service) continue;
      if (holder.state !== backend_state.BACKEND_NONE)
        gone.set(id, { ...holder, state: backend_state.BACKEND_NONE });
    }
    this.#maps.service_backends.setBatch([...gone]);
    for (const [id, value] of gone) this.#holders.set(id, value);
    return [...gone.keys()];
  }

  strays({ backends, of }: BackendsRead): Stray[] {
    const wanted = new Set([...this.#counted.values()].flatMap((own) => own.map(({ id }) => id)));
    const gone = [...backends]
      .filter(([id, { state }]) => state !== backend_state.BACKEND_NONE && !wanted.has(id))
      .map(([id, value]): [number, ServiceBackendValue] => [
        id,
        { ...value, state: backend_state.BACKEND_NONE },
      ]);
    // A slot that lacks its count is the business of the row it lacks.
    const slots = [...of.keys()].filter((slot) => of.get(slot) !== (this.#counts.get(slot) ?? 0));
    const strays: Stray[] = [];
    if (slots.length > 0)
      strays.push({ what: `${slots.length} endpoints as backends`, remove: () => this.#writeCounts(slots) });
    if (gone.length > 0) {
      strays.push({
        what: `${gone.length} backends`,
        remove: () => {
          this.#maps.service_backends.setBatch(gone);
          for (const [id, value] of gone) this.#holders.set(id, value);
        },
      });
    }
    return strays;
  }

  /** Answers the slots whose count is another one now. */
  #count(service: number, backends: readonly BackendRow[]): number[] {
    const changes = new Map<number, number>();
    const add = (slot: number, by: number): void => {
      changes.set(slot, (changes.get(slot) ?? 0) + by);
    };
    for (const { slot } of this.#counted.get(service) ?? []) add(slot, -1);
    for (const { slot } of backends) add(slot, 1);
    if (backends.length === 0) this.#counted.delete(service);
    else this.#counted.set(service, backends);
    const changed: number[] = [];
    for (const [slot, by] of changes) {
      if (by === 0) continue;
      const count = (this.#counts.get(slot) ?? 0) + by;
      if (count === 0) this.#counts.delete(slot);
      else this.#counts.set(slot, count);
      changed.push(slot);
    }
    return changed;
  }

  #writeCounts(slots: readonly number[]): void {
    this.#maps.backend_of.setBatch(
      slots.map((slot): [number, number] => [slot, this.#counts.get(slot) ?? 0]),
    );
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

function isSame(have: ServiceBackendValue | undefined, want: ServiceBackendValue): boolean {
  return have !== undefined && same(have, want);
}

/** Whether the id's figures are of somebody else. Those of an id that nobody had are zero. */
function isAnothers(have: ServiceBackendValue | undefined, want: ServiceBackendValue): boolean {
  return (
    have !== undefined &&
    (have.service !== want.service || have.endpoint !== want.endpoint || have.generation !== want.generation)
  );
}
