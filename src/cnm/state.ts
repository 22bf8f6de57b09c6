// SPDX-License-Identifier: Apache-2.0
/**
 * All objects and all that is allocated to them, in memory. Tables hold what is
 * stored and applied; allocations also hold what changes under way have taken.
 */
import { type Address, type Family, type Prefix, parseAddress, parsePrefix } from '../base/addresses.js';
import { damaged } from '../store/codec.js';
import { findDriver } from './drivers/registry.js';
import { LeasedPools } from './ipam/leased.js';
import { AddressPool } from './ipam/pool.js';
import type { Pools } from './ipam/pools.js';
import { Generations, LIMITS, NumberPool } from './numbers.js';
import { PortAllocator, type PortClaim } from './ports/allocator.js';
import type {
  EndpointRecord,
  NetworkRecord,
  PublishRecord,
  SandboxRecord,
  SelectedRecord,
  ServiceRecord,
} from './records.js';
import { Table } from './refs.js';
import { Balancing } from './services/balancing.js';

/** A network's part of the address space, and its list of members in the dataplane. */
export interface NetworkSpace {
  readonly name: string;
  readonly prefixes: readonly Prefix[];
  /** By family; null: the network has none of that family. */
  readonly addresses: Readonly<Record<Family, AddressPool | null>>;
  readonly members: NumberPool;
}

export class State {
  readonly networks = new Table<NetworkRecord>('network');
  readonly sandboxes = new Table<SandboxRecord>('sandbox');
  readonly endpoints = new Table<EndpointRecord>('endpoint');
  readonly services = new Table<ServiceRecord>('service');
  readonly balancing = new Balancing();
  readonly pools: Pools;
  readonly spaces = new Map<string, NetworkSpace>();
  readonly leased = new LeasedPools();
  readonly ports = new PortAllocator();
  readonly generations = new Generations();
  readonly netNumbers = new NumberPool('network', LIMITS.networks, 'remove networks that are not needed');
  readonly slots = new NumberPool('joined endpoint', LIMITS.slots, 'remove endpoints that are not needed');
  readonly sandboxNumbers = new NumberPool(
    'sandbox',
    LIMITS.sandboxes,
    'remove sandboxes that are not needed',
  );
  readonly serviceNumbers = new NumberPool('service', LIMITS.services, 'remove services that are not needed');
  readonly backendIds = new NumberPool(
    'backend',
    LIMITS.backends,
    'remove services or backends that are not needed',
  );
  readonly publishIds = new NumberPool('port mapping', LIMITS.publishes, 'unpublish what is not needed');
  /** Whatever must be unique, such as names and MACs, to the id of its holder. */
  readonly claims = new Map<string, string>();
  /** Endpoints by network, in the order of creation. */
  readonly #members = new Map<string, Set<string>>();
  /** Joined endpoints by sandbox. */
  readonly #inside = new Map<string, Set<string>>();
  /** Objects whose creation is under way, in words. */
  readonly #pending = new Map<string, string>();

  constructor(pools: Pools) {
    this.pools = pools;
  }

  /** Endpoints of a network. */
  endpointsOf(network: string): EndpointRecord[] {
    return [...(this.#members.get(network) ?? [])].map((id) => this.endpoints.of(id));
  }

  hasEndpoints(network: string): boolean {
    return this.#members.has(network);
  }

  /** Endpoints of a sandbox in the order they joined. */
  inside(sandbox: string): EndpointRecord[] {
    return [...(this.#inside.get(sandbox) ?? [])]
      .map((id) => this.endpoints.of(id))
      .sort((a, b) => (a.join?.generation ?? 0) - (b.join?.generation ?? 0));
  }

  /** Puts an endpoint into its place, or in the place of its earlier record. */
  setEndpoint(record: EndpointRecord): void {
    const previous = this.endpoints.get(record.id);
    if (previous?.join && previous.join.sandbox !== record.join?.sandbox) {
      drop(this.#inside, previous.join.sandbox, record.id);
    }
    if (record.join) add(this.#inside, record.join.sandbox, record.id);
    add(this.#members, record.network, record.id);
    this.endpoints.set(record);
  }

  deleteEndpoint(record: EndpointRecord): void {
    if (record.join) drop(this.#inside, record.join.sandbox, record.id);
    drop(this.#members, record.network, record.id);
    this.endpoints.delete(record);
  }

  /** `words`: such as `endpoint 'web'`; null: no longer. */
  setPending(id: string, words: string | null): void {
    if (words === null) this.#pending.delete(id);
    else this.#pending.set(id, words);
  }

  /** There is one, or its creation is under way. */
  knowsEndpoint(id: string): boolean {
    return this.endpoints.get(id) !== undefined || this.#pending.has(id);
  }

  /** Who holds an address or a port, in words. */
  holderOf(id: string): string {
    const endpoint = this.endpoints.get(id);
    if (endpoint) return `endpoint '${endpoint.name}'`;
    const service = this.services.get(id);
    if (service) return `service '${service.name}'`;
    return this.#pending.get(id) ?? `something else (${id.slice(0, 12)})`;
  }

  space(network: string): NetworkSpace {
    return this.spaces.get(network) as NetworkSpace;
  }

  /**
   * Fills in what the store holds. Throws `store` where it contradicts itself.
   * Answers what has outlived its service or endpoint, which takes two changes
   * at once of which one is undone, or a crash.
   */
  restore(
    networks: readonly NetworkRecord[],
    sandboxes: readonly SandboxRecord[],
    endpoints: readonly EndpointRecord[],
    services: readonly ServiceRecord[],
    selected: readonly SelectedRecord[],
  ): SelectedRecord[] {
    for (const record of inOrder(networks)) {
      this.#claimAll(`networks/${record.id}`, record.id, networkClaims(record));
      this.networks.set(record);
      if (record.net !== null) this.netNumbers.restore(record.net);
      if (record.subnets.length > 0) this.spaces.set(record.id, restoredSpace(record));
    }
    for (const record of inOrder(sandboxes)) {
      this.#claimAll(`sandboxes/${record.id}`, record.id, sandboxClaims(record));
      this.sandboxes.set(record);
      this.sandboxNumbers.restore(record.number);
    }
    for (const record of inOrder(endpoints)) {
      const key = `endpoints/${record.id}`;
      const network = this.networks.get(record.network);
      if (!network) throw damaged(key, 'its network is missing');
      this.#claimAll(key, record.id, endpointClaims(record, network));
      const space = this.spaces.get(network.id);
      for (const text of [record.ipv4, record.ipv6]) {
        if (text === null) continue;
        const address = parseAddress(text);
        const pool = address && space?.addresses[address.family];
        if (!pool) throw damaged(key, `'${text}' is no address of its network`);
        try {
          pool.restore(address, record.id);
        } catch (e) {
          throw damaged(key, (e as Error).message);
        }
      }
      for (const publish of record.ports) {
        this.publishIds.restore(publish.id);
        this.ports.restore(portClaim(record.id, publish));
      }
      if (record.join) {
        if (!this.sandboxes.get(record.join.sandbox)) throw damaged(key, 'its sandbox is missing');
        this.generations.restore(record.join.generation);
        if (record.join.slot !== null) this.slots.restore(record.join.slot);
        if (record.join.member !== null) space?.members.restore(record.join.member);
      }
      this.setEndpoint(record);
      this.balancing.setJoined(record.id, record);
    }
    for (const record of inOrder(services)) this.#restoreService(record);
    const orphans: SelectedRecord[] = [];
    for (const record of [...selected].sort((a, b) => (a.id ?? 0) - (b.id ?? 0))) {
      if (!this.services.get(record.service) || !this.endpoints.get(record.endpoint)) {
        orphans.push(record);
        continue;
      }
      if (record.id !== null) this.backendIds.restore(record.id);
      this.balancing.select(record);
    }
    // A restart of ours takes no backend away that was in use.
    for (const service of this.balancing.checked()) {
      for (const { endpoint } of this.balancing.backendsOf(service)) {
        if (endpoint !== null) this.balancing.setHealth(service.id, endpoint, 'presumed');
      }
    }
    return orphans;
  }

  #restoreService(stored: ServiceRecord): void {
    const key = `services/${stored.id}`;
    this.#claimAll(key, stored.id, serviceClaims(stored));
    // An endpoint may have gone without its services being written again.
    const backends = stored.backends.flatMap((backend) => {
      const endpoint = backend.endpoint === null ? undefined : this.endpoints.get(backend.endpoint);
      // the endpoint's own id: a hundred thousand copies of these would take much room
      if (endpoint) return [{ ...backend, endpoint: endpoint.id }];
      return backend.declared ? [backend] : [];
    });
    const record = { ...stored, backends };
    const network = record.network === null ? null : this.networks.get(record.network);
    if (network === undefined) throw damaged(key, 'its network is missing');
    for (const text of [record.vip, record.vip6]) {
      if (text === null) continue;
      const address = parseAddress(text);
      const pool = address && network && this.spaces.get(network.id)?.addresses[address.family];
      if (!pool) throw damaged(key, `'${text}' is no address of its network`);
      try {
        pool.restore(address, record.id);
      } catch (e) {
        throw damaged(key, (e as Error).message);
      }
    }
    if (record.number !== null) this.serviceNumbers.restore(record.number);
    for (const { id } of backends) if (id !== null) this.backendIds.restore(id);
    for (const publish of record.publish) {
      if (publish.id === null) continue;
      this.publishIds.restore(publish.id);
      this.ports.restore(servicePortClaim(record.id, publish));
    }
    this.services.set(record);
    this.balancing.setService(record.id, record);
    this.balancing.addSelector(record);
  }

  #claimAll(key: string, id: string, claims: readonly string[]): void {
    for (const claim of claims) {
      const holder = this.claims.get(claim);
      if (holder !== undefined) throw damaged(key, `its ${claim.split(' ')[0]} is also that of ${holder}`);
      this.claims.set(claim, id);
    }
  }
}

/** What must be unique about an object; the first word says what it is. */
export function networkClaims({
  name,
  link,
  driver,
}: Pick<NetworkRecord, 'name' | 'link' | 'driver'>): string[] {
  return [
    `name network ${name}`,
    ...(link === null ? [] : [`link ${link}`]),
    ...(findDriver(driver).single ? [`driver ${driver}`] : []),
  ];
}

export function sandboxClaims({ name, netns }: Pick<SandboxRecord, 'name' | 'netns'>): string[] {
  return [`name sandbox ${name}`, `namespace ${netns}`];
}

export function endpointClaims(
  { name, network, mac }: Pick<EndpointRecord, 'name' | 'network' | 'mac'>,
  { driver, options }: Pick<NetworkRecord, 'driver' | 'options'>,
): string[] {
  return [
    `name endpoint ${name}`,
    ...(findDriver(driver).parent(options)?.exclusive ? [`parent ${network}`] : []),
    ...(mac === '' ? [] : [macClaim(network, mac)]),
  ];
}

export function serviceClaims({ name }: Pick<ServiceRecord, 'name'>): string[] {
  return [`name service ${name}`];
}

export function macClaim(network: string, mac: string): string {
  return `MAC ${network} ${mac}`;
}

export function networkSpace({ name, subnets }: Pick<NetworkRecord, 'name' | 'subnets'>): NetworkSpace {
  const pools = subnets.map(addressPool);
  return {
    name,
    prefixes: subnets.map(({ cidr }) => parsePrefix(cidr) as Prefix),
    addresses: {
      4: pools.find(({ family }) => family === 4) ?? null,
      6: pools.find(({ family }) => family === 6) ?? null,
    },
    members: new NumberPool(
      `joined endpoint on network '${name}'`,
      LIMITS.members,
      'a bridge has no more ports: make another network',
    ),
  };
}

function addressPool({ cidr, gateway, ipRange }: NetworkRecord['subnets'][number]): AddressPool {
  const reserved: Address | null = gateway === null ? null : parseAddress(gateway);
  return new AddressPool(
    parsePrefix(cidr) as Prefix,
    ipRange === null ? null : parsePrefix(ipRange),
    reserved,
  );
}

function restoredSpace(record: NetworkRecord): NetworkSpace {
  for (const { cidr, gateway, ipRange } of record.subnets) {
    const sound =
      parsePrefix(cidr) &&
      (gateway === null || parseAddress(gateway)) &&
      (ipRange === null || parsePrefix(ipRange));
    if (!sound) throw damaged(`networks/${record.id}`, `its subnet '${cidr}'`);
  }
  return networkSpace(record);
}

export function portClaim(owner: string, publish: Omit<PublishRecord, 'id'>): PortClaim {
  const { protocol, hostIp, hostPort, hostPortEnd } = publish;
  return { protocol, hostIp, first: hostPort, last: hostPortEnd, owner };
}

export function servicePortClaim(
  owner: string,
  { protocol, hostIp, hostPort }: Omit<ServiceRecord['publish'][number], 'id' | 'port'>,
): PortClaim {
  return { protocol, hostIp, first: hostPort, last: hostPort, owner };
}

function inOrder<T extends { created: string; id: string }>(records: readonly T[]): T[] {
  return [...records].sort((a, b) => (a.created + a.id < b.created + b.id ? -1 : 1));
}

function add(index: Map<string, Set<string>>, key: string, id: string): void {
  const set = index.get(key);
  if (set) set.add(id);
  else index.set(key, new Set([id]));
}

function drop(index: Map<string, Set<string>>, key: string, id: string): void {
  const set = index.get(key);
  set?.delete(id);
  if (set?.size === 0) index.delete(key);
}
