// SPDX-License-Identifier: Apache-2.0
/**
 * What services' rows are made of, as the kernel has it or is about to get it:
 * ahead of the state's tables, which hold what is done for good. Several
 * changes may bear on one service at a time, so its rows are planned at the
 * moment when they are applied, of everything that has got here by then.
 */
import type { BackendRecord, EndpointRecord, SelectedRecord, ServiceRecord } from '../records.js';

type Labels = Readonly<Record<string, string>>;

/** `presumed`: it was in use before a restart, and has not been checked since. */
export type Health = 'healthy' | 'unhealthy' | 'presumed';

export class Balancing {
  readonly #services = new Map<string, ServiceRecord>();
  readonly #joined = new Map<string, EndpointRecord>();
  /** By service, then by endpoint. */
  readonly #selected = new Map<string, Map<string, SelectedRecord>>();
  /** By service, then by endpoint. */
  readonly #health = new Map<string, Map<string, Health>>();
  /** Services whose backends are checked. */
  readonly #checked = new Set<string>();
  readonly #byEndpoint = new Index();
  readonly #byNetwork = new Index();
  /** By network and the first label of the selector: few share both. */
  readonly #bySelector = new Index();

  service(id: string): ServiceRecord | undefined {
    return this.#services.get(id);
  }

  /** null: it is no more. */
  setService(id: string, record: ServiceRecord | null): void {
    const before = this.#services.get(id);
    if (before?.network !== record?.network) {
      if (before?.network) this.#byNetwork.delete(before.network, id);
      if (record?.network) this.#byNetwork.add(record.network, id);
    }
    const kept = new Set(record?.backends.flatMap(({ endpoint }) => endpoint ?? []));
    for (const { endpoint } of before?.backends ?? []) {
      if (endpoint !== null && !kept.has(endpoint)) this.#byEndpoint.delete(endpoint, id);
    }
    for (const endpoint of kept) this.#byEndpoint.add(endpoint, id);
    if (record?.health) this.#checked.add(id);
    else this.#checked.delete(id);
    if (record === null) this.#services.delete(id);
    else this.#services.set(id, record);
  }

  /** The services that an endpoint backs. */
  backedBy(endpoint: string): string[] {
    return this.#byEndpoint.get(endpoint).filter((id) => this.#services.has(id));
  }

  on(network: string): ServiceRecord[] {
    return this.#byNetwork.get(network).flatMap((id) => this.#services.get(id) ?? []);
  }

  /** null while it is in no sandbox. */
  joined(endpoint: string): EndpointRecord | null {
    return this.#joined.get(endpoint) ?? null;
  }

  setJoined(endpoint: string, record: EndpointRecord | null): void {
    if (record?.join) this.#joined.set(endpoint, record);
    else this.#joined.delete(endpoint);
  }

  /** All of its backends: those that it names, then those that its selector chose. */
  backendsOf(record: ServiceRecord): (BackendRecord | SelectedRecord)[] {
    const selected = this.#selected.get(record.id);
    return selected === undefined ? [...record.backends] : [...record.backends, ...selected.values()];
  }

  selectedBy(service: string): SelectedRecord[] {
    return [...(this.#selected.get(service)?.values() ?? [])];
  }

  selected(service: string, endpoint: string): SelectedRecord | undefined {
    return this.#selected.get(service)?.get(endpoint);
  }

  /** What selectors have made of an endpoint. */
  selectionsOf(endpoint: string): SelectedRecord[] {
    return this.#byEndpoint.get(endpoint).flatMap((id) => this.selected(id, endpoint) ?? []);
  }

  select(record: SelectedRecord): void {
    const { service, endpoint } = record;
    const own = this.#selected.get(service) ?? new Map<string, SelectedRecord>();
    this.#selected.set(service, own);
    own.set(endpoint, record);
    this.#byEndpoint.add(endpoint, service);
  }

  deselect({ service, endpoint }: SelectedRecord): void {
    const own = this.#selected.get(service);
    own?.delete(endpoint);
    if (own?.size === 0) this.#selected.delete(service);
    this.#byEndpoint.delete(endpoint, service);
  }

  /** Services with a selector are known here before they are served, so that no endpoint slips between. */
  addSelector(record: ServiceRecord): void {
    const key = selectorKey(record);
    if (key !== null) this.#bySelector.add(key, record.id);
  }

  deleteSelector(record: ServiceRecord): void {
    const key = selectorKey(record);
    if (key !== null) this.#bySelector.delete(key, record.id);
  }

  /** The services of the network that choose an endpoint with these labels. */
  choosing(network: string, labels: Labels): ServiceRecord[] {
    return Object.entries(labels).flatMap(([key, value]) =>
      this.#bySelector.get(keyOf(network, key, value)).flatMap((id) => {
        const record = this.#services.get(id);
        return record && chooses(record, labels) ? [record] : [];
      }),
    );
  }

  /** null: not known. */
  health(service: string, endpoint: string): Health | null {
    return this.#health.get(service)?.get(endpoint) ?? null;
  }

  setHealth(service: string, endpoint: string, health: Health | null): void {
    const own = this.#health.get(service) ?? new Map<string, Health>();
    if (health === null) own.delete(endpoint);
    else own.set(endpoint, health);
    if (own.size === 0) this.#health.delete(service);
    else this.#health.set(service, own);
  }

  /** The services whose backends are to be checked. */
  checked(): ServiceRecord[] {
    return [...this.#checked].flatMap((id) => this.#services.get(id) ?? []);
  }
}

export function chooses({ selector }: Pick<ServiceRecord, 'selector'>, labels: Labels): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

function selectorKey({ network, selector }: ServiceRecord): string | null {
  const [first] = Object.keys(selector).sort();
  return network === null || first === undefined ? null : keyOf(network, first, selector[first] as string);
}

function keyOf(network: string, key: string, value: string): string {
  return `${network} ${JSON.stringify([key, value])}`;
}

/** Ids by key. */
class Index {
  readonly #ids = new Map<string, Set<string>>();

  get(key: string): string[] {
    return [...(this.#ids.get(key) ?? [])];
  }

  add(key: string, id: string): void {
    const ids = this.#ids.get(key);
    if (ids) ids.add(id);
    else this.#ids.set(key, new Set([id]));
  }

  delete(key: string, id: string): void {
    const ids = this.#ids.get(key);
    ids?.delete(id);
    if (ids?.size === 0) this.#ids.delete(key);
  }
}
