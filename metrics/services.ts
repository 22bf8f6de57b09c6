// SPDX-License-Identifier: Apache-2.0
/**
 * Services. Each has a dozen series, so only so many have their own: a service
 * gets them when it is first seen, if there is room, and keeps them until it is
 * removed. All others are summed as service="". What such a sum counts stays
 * counted when one of them goes, as a counter must.
 */
import type { Registry } from 'prom-client';
import { register, type Sample } from './sampled.js';

/** What a service got, by the state that its backends were in while it was counted. */
export type KernelBackendState = 'active' | 'draining';
export interface Counted {
  connections: number;
  packets: number;
  bytes: number;
}
export interface ServiceTotals {
  /** Of the service. */
  readonly id: string;
  readonly picks: number;
  readonly counted: Readonly<Record<KernelBackendState, Readonly<Counted>>>;
  /** Flows open. */
  readonly active: Readonly<Record<KernelBackendState, number>>;
  readonly refused: Readonly<Record<string, number>>;
}

export interface ServiceSources {
  services(): readonly Service[];
  /** Of those with an address. */
  totals(): Promise<readonly ServiceTotals[]>;
  /** How many have series of their own. */
  most: number;
}
interface Service {
  readonly id: string;
  readonly name: string;
  readonly backends: readonly { readonly state: string }[];
}

const BACKEND_STATES = ['starting', 'active', 'draining', 'gone'];
const COUNTED_STATES: readonly KernelBackendState[] = ['active', 'draining'];
/** Of those that have no series of their own. */
const OTHERS = '';
/** For as long a look at the model holds: one scrape asks for each metric. */
const FRESH_MS = 2_000;

/** By the labels that follow that of the service, as `state`: values. */
type Values = Map<string, number>;

export function registerServices(registry: Registry, sources: ServiceSources): void {
  const named = new Named(sources);
  const counted = (field: keyof Counted) => async (): Promise<Sample[]> =>
    named.counters(
      'state',
      field,
      ({ counted: c }) => new Map(COUNTED_STATES.map((state) => [state, c[state][field]])),
    );
  register(registry, {
    name: 'sluice_services',
    help: 'services',
    type: 'gauge',
    read: () => [{ value: named.services().length }],
  });
  register(registry, {
    name: 'sluice_services_summed',
    help: 'services without metrics of their own (--metrics-services), which service="" is the sum of',
    type: 'gauge',
    read: () => [{ value: named.services().filter(({ id }) => named.labelOf(id) === OTHERS).length }],
  });
  register(registry, {
    name: 'sluice_service_backends',
    help: 'backends by state',
    type: 'gauge',
    read: () =>
      named.gauges(
        'state',
        named
          .services()
          .map(({ id, backends }) => [
            id,
            new Map(BACKEND_STATES.map((state) => [state, backends.filter((b) => b.state === state).length])),
          ]),
      ),
  });
  register(registry, {
    name: 'sluice_service_connections_total',
    help: 'connections, by the state that the backend was in: flows opened and sockets translated as they connected',
    type: 'counter',
    read: counted('connections'),
  });
  register(registry, {
    name: 'sluice_service_packets_total',
    help: 'packets of both directions, but for those of sockets that were translated as they connected',
    type: 'counter',
    read: counted('packets'),
  });
  register(registry, {
    name: 'sluice_service_bytes_total',
    help: 'bytes of both directions, but for those of sockets that were translated as they connected',
    type: 'counter',
    read: counted('bytes'),
  });
  register(registry, {
    name: 'sluice_service_picks_total',
    help: 'how often a backend was chosen: neither affinity nor an earlier choice counts',
    type: 'counter',
    read: () => named.counters(null, 'picks', ({ picks }) => new Map([['', picks]])),
  });
  register(registry, {
    name: 'sluice_service_refused_total',
    help: 'connections refused, by reason',
    type: 'counter',
    read: () => named.counters('reason', 'refused', ({ refused }) => new Map(Object.entries(refused))),
  });
  register(registry, {
    name: 'sluice_service_active_flows',
    help: "flows open, as of the collector's last pass",
    type: 'gauge',
    read: async () =>
      named.gauges(
        'state',
        (await sources.totals()).map(({ id, active }) => [id, new Map(Object.entries(active))]),
      ),
  });
}

class Named {
  readonly #sources: ServiceSources;
  /** By id: the label, for as long as the service is there. */
  readonly #labels = new Map<string, string>();
  #own = 0;
  #looked: { at: number; services: readonly Service[] } | null = null;
  /** By metric: what the others have counted, and by id what each had when it was last looked at. */
  readonly #others = new Map<string, { sum: Values; last: Map<string, Values> }>();

  constructor(sources: ServiceSources) {
    this.#sources = sources;
  }

  services(): readonly Service[] {
    const now = performance.now();
    if (this.#looked !== null && now - this.#looked.at < FRESH_MS) return this.#looked.services;
    const services = this.#sources.services();
    this.#looked = { at: now, services };
    this.#label(services);
    return services;
  }

  /** undefined: not seen yet, or gone; it is nobody's then. */
  labelOf(id: string): string | undefined {
    return this.#labels.get(id);
  }

  gauges(label: string, values: readonly (readonly [string, Values])[]): Sample[] {
    this.services();
    const others: Values = new Map();
    const samples = values.flatMap(([id, own]) => {
      const name = this.labelOf(id);
      if (name === undefined) return [];
      if (name !== OTHERS) return toSamples(name, label, own);
      for (const [key, value] of own) others.set(key, (others.get(key) ?? 0) + value);
      return [];
    });
    return [...samples, ...toSamples(OTHERS, label, others)];
  }

  async counters(
    label: string | null,
    metric: string,
    valuesOf: (t: ServiceTotals) => Values,
  ): Promise<Sample[]> {
    const totals = await this.#sources.totals();
    this.services();
    const others = this.#others.get(metric) ?? { sum: new Map(), last: new Map() };
    this.#others.set(metric, others);
    const seen = new Map<string, Values>();
    const samples = totals.flatMap((total) => {
      const name = this.labelOf(total.id);
      const own = valuesOf(total);
      if (name === undefined) return [];
      if (name !== OTHERS) return toSamples(name, label, own);
      const before = others.last.get(total.id);
      // most have counted nothing, and there may be tens of thousands
      if (before === undefined && [...own.values()].every((value) => value === 0)) {
        for (const key of own.keys()) others.sum.set(key, others.sum.get(key) ?? 0);
        return [];
      }
      for (const [key, value] of own)
        others.sum.set(key, (others.sum.get(key) ?? 0) + Math.max(0, value - (before?.get(key) ?? 0)));
      seen.set(total.id, own);
      return [];
    });
    others.last = seen;
    return [...samples, ...toSamples(OTHERS, label, others.sum)];
  }

  #label(services: readonly Service[]): void {
    const there = new Set(services.map(({ id }) => id));
    for (const [id, name] of this.#labels) {
      if (there.has(id)) continue;
      this.#labels.delete(id);
      if (name !== OTHERS) this.#own--;
    }
    for (const { id, name } of services) {
      if (this.#labels.has(id)) continue;
      const own = this.#own < this.#sources.most;
      if (own) this.#own++;
      this.#labels.set(id, own ? name : OTHERS);
    }
  }
}

function toSamples(service: string, label: string | null, values: Values): Sample[] {
  return [...values].map(([key, value]) => ({
    labels: label === null ? { service } : { service, [label]: key },
    value,
  }));
}
