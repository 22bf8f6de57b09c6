// SPDX-License-Identifier: Apache-2.0
/** What services and their backends got, as the programs count it by the backends' ids. */
import type { Counted, KernelBackendState, ServiceTotals } from '../../metrics/services.js';
import type { Figures, ServiceStatsSource } from '../api/sources.js';
import type { BackendRow, ServiceRow } from '../cnm/rows.js';
import type { DataplaneMaps } from '../maps/dataplane.js';
import { service_refusal } from '../maps/generated/enums.js';
import type { BackendLoad, BackendTraffic } from '../maps/generated/types.js';
import { isActive } from '../reconcile/service/choice.js';
import type { Tables } from '../reconcile/tables.js';

type FigureMaps = Pick<DataplaneMaps, 'backend_load' | 'backend_traffic' | 'service_refusals'>;

const NO_FIGURES: Figures = { picks: 0, flows: 0, sockets: 0, packets: 0, bytes: 0, active: 0 };
/** Ids read at once; one of which none is in use is passed over. */
const CHUNK = 256;
/** For as long totals hold: one scrape asks for each of a dozen metrics. */
const FRESH_MS = 2_000;
const REASONS = Object.entries(service_refusal)
  .filter(([name]) => name !== 'SERVICE_REFUSALS')
  .map(([name, index]): [string, number] => [name.replace('SERVICE_REFUSED_', '').toLowerCase(), index]);

/** What one service has been seen to get. */
interface Book {
  picks: number;
  readonly counted: Record<KernelBackendState, Counted>;
  /** Backends that have left, whose ids are others' or nobody's now. */
  left: Figures;
}

export class ServiceFigures implements ServiceStatsSource {
  readonly #maps: FigureMaps;
  readonly #tables: Pick<Tables, 'of' | 'entries' | 'get'>;
  /** By the service's number. */
  readonly #books = new Map<number, Book>();
  /** By backend's id: as it was when its service's book was last written, and its state then. */
  readonly #last = new Map<number, { figures: Figures; state: KernelBackendState }>();
  #totals: { at: number; totals: Promise<ServiceTotals[]> } | null = null;

  constructor(maps: FigureMaps, tables: Pick<Tables, 'of' | 'entries' | 'get'>) {
    this.#maps = maps;
    this.#tables = tables;
  }

  of(service: string): ReturnType<ServiceStatsSource['of']> {
    const row = this.#tables
      .of({ kind: 'service', id: service })
      .find((entry) => entry.wanted && entry.row.kind === 'service')?.row as ServiceRow | undefined;
    if (row === undefined) return null;
    const backends = new Map<string, Figures>();
    let total = this.#books.get(row.number)?.left ?? NO_FIGURES;
    for (const backend of row.backends) {
      const figures = this.#read(backend.id);
      total = sum(total, figures);
      const endpoint = this.#endpoint(backend);
      if (endpoint !== null) backends.set(endpoint, figures);
    }
    return { total, refused: this.#refused(row.number), backends };
  }

  /** Of every service that has an address. */
  totals(): Promise<ServiceTotals[]> {
    const now = performance.now();
    if (this.#totals === null || now - this.#totals.at >= FRESH_MS)
      this.#totals = { at: now, totals: this.#total() };
    return this.#totals.totals;
  }

  /** Backends have left: what they got stays their service's, and their ids begin again. */
  left(service: number, ids: readonly number[]): void {
    const book = this.#book(service);
    for (const id of ids) {
      const figures = this.#read(id);
      note(book, this.#last.get(id)?.state ?? 'active', figures, this.#last.get(id)?.figures ?? NO_FIGURES);
      book.left = sum(book.left, { ...figures, active: 0 });
      this.#last.delete(id);
    }
    this.#maps.backend_load.zero(ids);
    this.#maps.backend_traffic.zero(ids);
  }

  removed(service: number): void {
    this.#books.delete(service);
  }

  async #total(): Promise<ServiceTotals[]> {
    const services = this.#tables
      .entries('service')
      .filter(({ wanted }) => wanted)
      .map(({ owner, row }) => ({ id: owner.id, row: row as ServiceRow }));
    const chunks = new Map<number, [ServiceRow, BackendRow][]>();
    for (const { row } of services) {
      for (const backend of row.backends) {
        const chunk = Math.floor(backend.id / CHUNK);
        const own = chunks.get(chunk);
        if (own === undefined) chunks.set(chunk, [[row, backend]]);
        else own.push([row, backend]);
      }
    }
    const active = new Map<number, Record<KernelBackendState, number>>();
    for (const [chunk, backends] of chunks) {
      const first = chunk * CHUNK;
      const loads = this.#maps.backend_load.slice(first, CHUNK);
      const traffic = this.#maps.backend_traffic.slicePerCpu(first, CHUNK);
      for (const [row, backend] of backends) {
        const at = backend.id - first;
        const figures = figuresOf(loads[at], traffic[at] ?? []);
        const state: KernelBackendState = isActive(backend) ? 'active' : 'draining';
        note(this.#book(row.number), state, figures, this.#last.get(backend.id)?.figures ?? NO_FIGURES);
        // most have nothing yet, and there may be a hundred thousand
        if (!isNothing(figures)) this.#last.set(backend.id, { figures, state });
        const open = active.get(row.number) ?? { active: 0, draining: 0 };
        open[state] += figures.active;
        active.set(row.number, open);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const refusals = this.#maps.service_refusals;
    const last = services.reduce((most, { row: { number } }) => Math.max(most, number), 0);
    const refused = refusals.slice(0, last + 1);
    return services.map(({ id, row: { number } }) => {
      const { picks, counted } = this.#book(number);
      return {
        id,
        picks,
        counted: { active: { ...counted.active }, draining: { ...counted.draining } },
        active: active.get(number) ?? { active: 0, draining: 0 },
        refused: byReason(refused[number]?.count),
      };
    });
  }

  #endpoint({ slot, generation }: BackendRow): string | null {
    const entry = this.#tables.get('dp-endpoint', String(slot));
    return entry?.row.kind === 'dp-endpoint' && entry.row.generation === generation ? entry.owner.id : null;
  }

  #read(id: number): Figures {
    return figuresOf(this.#maps.backend_load.get(id), this.#maps.backend_traffic.getPerCpu(id));
  }

  #refused(service: number): Record<string, number> {
    return byReason(this.#maps.service_refusals.get(service)?.count);
  }

  #book(service: number): Book {
    let book = this.#books.get(service);
    if (book === undefined) {
      const nothing = (): Counted => ({ connections: 0, packets: 0, bytes: 0 });
      book = { picks: 0, counted: { active: nothing(), draining: nothing() }, left: NO_FIGURES };
      this.#books.set(service, book);
    }
    return book;
  }
}

/** What is more than before was counted in this state. A count that fell began again. */
function note(book: Book, state: KernelBackendState, now: Figures, before: Figures): void {
  const more = (field: Exclude<keyof Figures, 'active'>): number =>
    now[field] >= before[field] ? now[field] - before[field] : now[field];
  const counted = book.counted[state];
  book.picks += more('picks');
  counted.connections += more('flows') + more('sockets');
  counted.packets += more('packets');
  counted.bytes += more('bytes');
}

function byReason(counts: readonly bigint[] = []): Record<string, number> {
  return Object.fromEntries(REASONS.map(([reason, index]) => [reason, Number(counts[index] ?? 0n)]));
}

function isNothing(figures: Figures): boolean {
  return Object.values(figures).every((n) => n === 0);
}

function figuresOf(load: BackendLoad | undefined, traffic: readonly BackendTraffic[]): Figures {
  let [packets, bytes] = [0n, 0n];
  for (const cpu of traffic) {
    packets += cpu.packets;
    bytes += cpu.bytes;
  }
  return {
    picks: Number(load?.picks ?? 0n),
    flows: Number(load?.flows ?? 0n),
    sockets: Number(load?.sockets ?? 0n),
    packets: Number(packets),
    bytes: Number(bytes),
    active: load?.active ?? 0,
  };
}

function sum(a: Figures, b: Figures): Figures {
  return {
    picks: a.picks + b.picks,
    flows: a.flows + b.flows,
    sockets: a.sockets + b.sockets,
    packets: a.packets + b.packets,
    bytes: a.bytes + b.bytes,
    active: a.active + b.active,
  };
}
