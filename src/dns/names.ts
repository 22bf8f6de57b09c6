// SPDX-License-Identifier: Apache-2.0
/**
 * The names of every network: of the sandboxes on it, their aliases, its
 * services. One object at a time comes and goes, so that a change costs no more
 * than it changes, and a question one look into a table.
 */
import { formatAddress, parseAddress } from '../base/addresses.js';
import type { NamedEndpoint, NamedService } from '../cnm/naming.js';

/** What a name or an address stands for on one network. */
export interface Found {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  /** The addresses are those of a service's backends, which change more often than its own. */
  readonly backends: boolean;
}

interface ServiceNames {
  readonly service: NamedService;
  /** Where the next answer begins. */
  turn: number;
}

class NetworkNames {
  readonly endpoints = new Map<string, Set<NamedEndpoint>>();
  readonly services = new Map<string, ServiceNames>();
  /** Address in its usual spelling, to who has it. */
  readonly addresses = new Map<string, { readonly name: string; readonly service: boolean }>();

  get isEmpty(): boolean {
    return this.endpoints.size + this.services.size + this.addresses.size === 0;
  }
}

const TASKS = 'tasks.';

export class Names {
  readonly #networks = new Map<string, NetworkNames>();
  readonly #endpoints = new Map<string, NamedEndpoint>();
  readonly #byName = new Map<string, NamedEndpoint>();
  readonly #services = new Map<string, NamedService>();
  /** Of names that several sandboxes share: where the next answer begins. */
  #turn = 0;

  endpoint(id: string): NamedEndpoint | undefined {
    return this.#endpoints.get(id);
  }

  /** In place of the one with this id; null: it is gone. */
  setEndpoint(id: string, endpoint: NamedEndpoint | null): void {
    const old = this.#endpoints.get(id);
    if (old) this.#dropEndpoint(old);
    if (endpoint === null) return;
    this.#endpoints.set(id, endpoint);
    this.#byName.set(endpoint.name, endpoint);
    const network = this.#network(endpoint.network);
    for (const name of namesOf(endpoint)) {
      const sharing = network.endpoints.get(name);
      if (sharing) sharing.add(endpoint);
      else network.endpoints.set(name, new Set([endpoint]));
    }
    for (const address of [endpoint.ipv4, endpoint.ipv6]) {
      if (address !== null)
        network.addresses.set(usual(address), { name: endpoint.sandbox.name, service: false });
    }
  }

  #dropEndpoint(endpoint: NamedEndpoint): void {
    this.#endpoints.delete(endpoint.id);
    if (this.#byName.get(endpoint.name) === endpoint) this.#byName.delete(endpoint.name);
    const network = this.#network(endpoint.network);
    for (const name of namesOf(endpoint)) {
      const sharing = network.endpoints.get(name);
      sharing?.delete(endpoint);
      if (sharing?.size === 0) network.endpoints.delete(name);
    }
    for (const address of [endpoint.ipv4, endpoint.ipv6]) {
      if (address !== null) network.addresses.delete(usual(address));
    }
    this.#tidy(endpoint.network);
  }

  /** In place of the one with this id; null: it is gone. */
  setService(id: string, service: NamedService | null): void {
    const old = this.#services.get(id);
    let turn = 0;
    if (old?.network) {
      const network = this.#network(old.network);
      const key = old.name.toLowerCase();
      if (network.services.get(key)?.service === old) {
        turn = network.services.get(key)?.turn ?? 0;
        network.services.delete(key);
      }
      for (const address of [old.vip, old.vip6]) {
        if (address !== null) network.addresses.delete(usual(address));
      }
      this.#tidy(old.network);
    }
    this.#services.delete(id);
    if (service === null) return;
    this.#services.set(id, service);
    if (service.network === null) return;
    const network = this.#network(service.network);
    network.services.set(service.name.toLowerCase(), { service, turn });
    for (const address of [service.vip, service.vip6]) {
      if (address !== null) network.addresses.set(usual(address), { name: service.name, service: true });
    }
  }

  /**
   * `name` in lower case, without the network's. `servicesOnly`: sandboxes have
   * their names from somebody else. null: nobody there is called so.
   */
  find(network: string, name: string, servicesOnly: boolean): Found | null {
    const names = this.#networks.get(network);
    if (names === undefined) return null;
    const service = names.services.get(name);
    if (service) return this.#ofService(service);
    if (name.startsWith(TASKS)) {
      const tasks = names.services.get(name.slice(TASKS.length));
      if (tasks) return this.#ofBackends(tasks);
    }
    const sharing = servicesOnly ? undefined : names.endpoints.get(name);
    return sharing ? addresses(rotated([...sharing], sharing.size > 1 ? this.#turn++ : 0), false) : null;
  }

  /** The name that an address has on a network; null: nobody has it. `servicesOnly` as for find(). */
  nameOf(network: string, address: string, servicesOnly: boolean): string | null {
    const holder = this.#networks.get(network)?.addresses.get(usual(address));
    return holder === undefined || (servicesOnly && !holder.service) ? null : holder.name;
  }

  #ofService(names: ServiceNames): Found {
    const { mode, vip, vip6 } = names.service;
    if (mode === 'dnsrr' || (vip === null && vip6 === null)) return this.#ofBackends(names);
    return { ipv4: vip === null ? [] : [vip], ipv6: vip6 === null ? [] : [vip6], backends: false };
  }

  /** Those that take new flows, each time beginning with the next one. */
  #ofBackends(names: ServiceNames): Found {
    const endpoints = names.service.backends.flatMap(({ endpoint, state, weight }) =>
      endpoint === null || state !== 'active' || weight === 0 ? [] : (this.#byName.get(endpoint) ?? []),
    );
    return addresses(rotated(endpoints, names.turn++), true);
  }

  #network(name: string): NetworkNames {
    let network = this.#networks.get(name);
    if (network === undefined) {
      network = new NetworkNames();
      this.#networks.set(name, network);
    }
    return network;
  }

  #tidy(name: string): void {
    if (this.#networks.get(name)?.isEmpty) this.#networks.delete(name);
  }
}

function namesOf({ name, sandbox, aliases }: NamedEndpoint): Set<string> {
  return new Set([sandbox.name, name, ...aliases].map((text) => text.toLowerCase()));
}

function addresses(endpoints: readonly NamedEndpoint[], backends: boolean): Found {
  return {
    ipv4: endpoints.flatMap(({ ipv4 }) => ipv4 ?? []),
    ipv6: endpoints.flatMap(({ ipv6 }) => ipv6 ?? []),
    backends,
  };
}

function rotated<T>(items: readonly T[], turn: number): readonly T[] {
  const first = items.length === 0 ? 0 : turn % items.length;
  return first === 0 ? items : [...items.slice(first), ...items.slice(0, first)];
}

function usual(text: string): string {
  const address = parseAddress(text);
  return address === null ? text : formatAddress(address);
}
