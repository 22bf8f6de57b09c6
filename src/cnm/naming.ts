// SPDX-License-Identifier: Apache-2.0
/** What a resolver has to know of the model: who is where, and by which names. One object at a time, cheaply. */
import { findDriver } from './drivers/registry.js';
import type { EndpointRecord, SandboxRecord, ServiceRecord } from './records.js';
import { serviceView } from './services/views.js';
import type { State } from './state.js';
import type { Service } from './types.js';

/** An endpoint that has joined a sandbox. */
export interface NamedEndpoint {
  readonly id: string;
  readonly name: string;
  /** Name of its network. */
  readonly network: string;
  readonly sandbox: { readonly id: string; readonly name: string };
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly aliases: readonly string[];
}

export interface NamedNetwork {
  readonly id: string;
  readonly name: string;
  /** CIDR. */
  readonly subnets: readonly string[];
}

export interface NamedSandbox {
  readonly id: string;
  readonly netns: string;
  /** The daemon's own namespace. */
  readonly host: boolean;
  /** Of another engine, whose resolver it has as well. */
  readonly remote: boolean;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  /** In the order it joined them. */
  readonly networks: readonly NamedNetwork[];
  /** One of them leads out of this host. */
  readonly leadsOut: boolean;
}

/** Its backends as they are when somebody asks. */
export type NamedService = Pick<Service, 'id' | 'name' | 'network' | 'mode' | 'vip' | 'vip6' | 'backends'>;

export class Naming {
  readonly #state: State;

  constructor(state: State) {
    this.#state = state;
  }

  /** null: it is not there, or not joined. */
  endpoint(id: string): NamedEndpoint | null {
    const record = this.#state.endpoints.get(id);
    return record ? this.#endpoint(record) : null;
  }

  endpoints(): NamedEndpoint[] {
    return this.#state.endpoints.all().flatMap((record) => this.#endpoint(record) ?? []);
  }

  sandbox(id: string): NamedSandbox | null {
    const record = this.#state.sandboxes.get(id);
    return record ? this.#sandbox(record) : null;
  }

  sandboxes(): NamedSandbox[] {
    return this.#state.sandboxes.all().map((record) => this.#sandbox(record));
  }

  /** null: it is not there. */
  service(id: string): NamedService | null {
    const record = this.#state.services.get(id);
    return record ? new LiveService(this.#state, record) : null;
  }

  services(): NamedService[] {
    return this.#state.services.all().map((record) => new LiveService(this.#state, record));
  }

  #endpoint({ id, name, network, ipv4, ipv6, aliases, join }: EndpointRecord): NamedEndpoint | null {
    if (!join) return null;
    const sandbox = this.#state.sandboxes.of(join.sandbox);
    return {
      id,
      name,
      network: this.#state.networks.of(network).name,
      sandbox: { id: sandbox.id, name: sandbox.name },
      ipv4,
      ipv6,
      aliases,
    };
  }

  #sandbox(record: SandboxRecord): NamedSandbox {
    const networks = this.#state.inside(record.id).map(({ network }) => this.#state.networks.of(network));
    return {
      id: record.id,
      netns: record.netns,
      host: record.host,
      remote: record.origin !== undefined,
      dns: record.dns,
      dnsSearch: record.dnsSearch,
      networks: networks.map(({ id, name, subnets }) => ({
        id,
        name,
        subnets: subnets.map(({ cidr }) => cidr),
      })),
      leadsOut: networks.some(({ internal, driver }) => !internal && findDriver(driver).addressed),
    };
  }
}

/** Few are asked for their backends, of which there may be a hundred thousand. */
class LiveService implements NamedService {
  readonly id: string;
  readonly name: string;
  readonly network: string | null;
  readonly mode: Service['mode'];
  readonly vip: string | null;
  readonly vip6: string | null;
  readonly #state: State;

  constructor(state: State, { id, name, network, mode, vip, vip6 }: ServiceRecord) {
    this.#state = state;
    this.id = id;
    this.name = name;
    this.network = network === null ? null : (state.networks.get(network)?.name ?? null);
    this.mode = mode;
    this.vip = vip;
    this.vip6 = vip6;
  }

  get backends(): Service['backends'] {
    const record = this.#state.services.get(this.id);
    return record ? serviceView(this.#state, record).backends : [];
  }
}
