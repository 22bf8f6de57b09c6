// SPDX-License-Identifier: Apache-2.0
/** Operations on networks. */
import { type Family, formatAddress, formatPrefix, type Prefix } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { newId } from '../base/ids.js';
import { checkName } from '../base/names.js';
import type { Change } from './change.js';
import { type Context, claim, gone, makeChange, now, ownerOf, refuseForeign, step } from './context.js';
import { DEFAULT_DRIVER, findDriver } from './drivers/registry.js';
import { requireIpv6 } from './host.js';
import { isWildcard } from './hostip.js';
import {
  allOf,
  checkOverlap,
  chooseSubnet,
  type HostPrefixes,
  hostPrefixes,
  NO_PREFIXES,
  parseGateway,
  parseIpRange,
  parseSubnet,
} from './ipam/subnets.js';
import { checkPlace as checkParent, lookAtParent } from './parents.js';
import { checkPlace } from './publishing.js';
import { type NetworkRecord, ULA_KEY } from './records.js';
import type { Row } from './rows.js';
import { networkClaims, networkSpace } from './state.js';
import type { Network, NetworkCreate, Plan, Subnet } from './types.js';
import { networkView } from './views.js';

export class Networks {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * `remote`: for another engine, which has given it that id and addresses of
   * its own choice, a gateway only where it names one.
   */
  async create(
    request: NetworkCreate,
    dryRun: boolean,
    remote?: { readonly id: string; readonly origin: 'docker' },
  ): Promise<Network | Plan> {
    const { state, host } = this.#context;
    checkName(request.name);
    const driver = findDriver(request.driver ?? DEFAULT_DRIVER);
    driver.validateNetwork(request);
    refuseIpam(request);
    const id = remote?.id ?? newId();
    const link = driver.linkName(id, request.options ?? {});
    if (link !== null && (await host.linkExists(link)) && !state.claims.has(`link ${link}`)) {
      throw new SluiceError('conflict', `this host has an interface '${link}' already`, {
        field: 'options.com.docker.network.bridge.name',
        hint: 'choose another name for the bridge',
      });
    }
    const hostIp = driver.defaultHostIp({ options: request.options ?? {} });
    const place = isWildcard(hostIp) ? null : await host.placeOf(hostIp);
    const parent = driver.parent(request.options ?? {});
    const facts = parent && (await lookAtParent(this.#context, parent));
    const here = driver.addressed ? hostPrefixes(await host.addressesAndRoutes(parent?.link)) : NO_PREFIXES;

    return makeChange(this.#context, `network '${request.name}' could not be created`, dryRun, (change) => {
      if (place !== null)
        checkPlace(state, hostIp, place, 'options.com.docker.network.bridge.host_binding_ipv4');
      const base = {
        id,
        name: request.name,
        driver: driver.name,
        internal: request.internal ?? false,
        options: { ...request.options },
        labels: { ...request.labels },
        link,
        ...(remote && { origin: remote.origin }),
        created: now(this.#context),
      };
      claim(this.#context, change, networkClaims(base), id, (text, holder) =>
        taken(text, state.networks.get(holder)?.name),
      );
      if (!driver.addressed) return this.#store(change, { ...base, ipv6: false, subnets: [], net: null }, []);

      const { subnets, warnings } = this.#subnets(change, request, here, remote !== undefined);
      if (facts) checkParent(state, facts, subnets[0] as Subnet);
      change.mark(state.netNumbers.mark());
      const net = !driver.dataplane
        ? null
        : change.allocated(
            () => state.netNumbers.allocate(),
            (number) => state.netNumbers.release(number),
          );
      const record = { ...base, ipv6: subnets.length > 1, subnets, net };
      change.allocated(
        () => state.spaces.set(id, networkSpace(record)),
        () => state.spaces.delete(id),
      );
      return this.#store(change, record, warnings);
    });
  }

  list(): Network[] {
    return this.#context.state.networks.all().map(networkView);
  }

  get(ref: string): Network {
    return networkView(this.#context.state.networks.resolve(ref));
  }

  async remove(ref: string, dryRun: boolean): Promise<void | Plan> {
    const { state } = this.#context;
    const { id, name, origin } = state.networks.resolve(ref);
    if (origin) refuseForeign('network', name, 'docker network rm, or --force if Docker has forgotten it');
    return this.removeOwn(id, name, dryRun);
  }

  /** Whoever's it is. */
  async removeOwn(id: string, name: string, dryRun: boolean, forward = false): Promise<void | Plan> {
    const { state, locks, emit } = this.#context;
    return locks.with('network', id, 'exclusive', async () => {
      const record = state.networks.get(id);
      if (!record) throw gone('network', name);
      const endpoints = state.endpointsOf(id).map((endpoint) => `'${endpoint.name}'`);
      if (endpoints.length > 0) {
        const shown = endpoints.slice(0, 4).join(', ') + (endpoints.length > 4 ? ', …' : '');
        throw new SluiceError('in_use', `network '${name}' has ${endpoints.length} endpoint(s): ${shown}`, {
          hint: 'remove them first',
        });
      }
      const services = state.balancing.on(id).map((service) => `'${service.name}'`);
      if (services.length > 0) {
        const shown = services.slice(0, 4).join(', ') + (services.length > 4 ? ', …' : '');
        throw new SluiceError('in_use', `network '${name}' has ${services.length} service(s): ${shown}`, {
          hint: 'remove them first: sluice service rm',
        });
      }
      return makeChange(this.#context, `network '${name}' could not be removed`, dryRun, (change) => {
        change.forward = forward;
        change.store(`networks/${id}`, null, record);
        change.stage(step(ownerOf('network', record), planNetwork(record), []));
        change.onDone(() => {
          state.networks.delete(record);
          state.spaces.delete(id);
          if (record.net !== null) state.netNumbers.release(record.net);
          for (const text of networkClaims(record)) state.claims.delete(text);
        });
        return () => emit('network', 'remove', record);
      });
    });
  }

  async prune(dryRun: boolean): Promise<string[]> {
    const { state } = this.#context;
    const removed: string[] = [];
    for (const { id, name, origin } of state.networks.all()) {
      if (origin || state.hasEndpoints(id) || state.balancing.on(id).length > 0) continue;
      try {
        await this.remove(id, dryRun);
        removed.push(name);
      } catch (e) {
        // Somebody was quicker, in putting it to use or in removing it.
        if (!(e instanceof SluiceError && (e.code === 'in_use' || e.code === 'not_found'))) throw e;
      }
    }
    return removed;
  }

  #store(change: Change, record: NetworkRecord, warnings: string[]): () => Network {
    const { state, emit, log } = this.#context;
    change.store(`networks/${record.id}`, record, null);
    const rows = planNetwork(record);
    if (rows.length > 0) change.stage(step(ownerOf('network', record), [], rows));
    change.onDone(() => state.networks.set(record));
    return () => {
      emit('network', 'create', record, { driver: record.driver });
      for (const warning of warnings) log.warn(warning, { network: record.name });
      return { ...networkView(record), ...(warnings.length > 0 && { warnings }) };
    };
  }

  /** One of IPv4 and, where asked for, one of IPv6; what is not given comes from the pools. */
  #subnets(
    change: Change,
    request: NetworkCreate,
    host: HostPrefixes,
    remote: boolean,
  ): { subnets: Subnet[]; warnings: string[] } {
    const { state } = this.#context;
    // Another engine's networks may be on its own pools.
    const leased = remote ? [] : state.leased.prefixes();
    const networks = [...state.spaces.values()];
    const given = new Map<Family, Subnet>();
    const warnings: string[] = [];
    for (const [i, asked] of (request.subnets ?? []).entries()) {
      const field = `subnets[${i}]`;
      const prefix = askedPrefix(asked, field);
      if (!prefix) continue;
      if (given.has(prefix.family)) {
        throw new SluiceError('invalid_argument', 'a network has one subnet per address family', {
          field,
          hint: `give one IPv${prefix.family} subnet`,
        });
      }
      const subnet = makeSubnet(prefix, asked, field);
      given.set(prefix.family, remote && asked.gateway === undefined ? { ...subnet, gateway: null } : subnet);
      warnings.push(...checkOverlap(prefix, { networks, host, leased }, field));
    }
    if (request.ipv6 === false && given.has(6)) {
      throw new SluiceError('invalid_argument', 'an IPv6 subnet for a network without IPv6', {
        field: 'ipv6',
        hint: 'leave one of both out',
      });
    }
    const families: Family[] = request.ipv6 || given.has(6) ? [4, 6] : [4];
    if (families.includes(6)) requireIpv6(this.#context.host);
    const subnets = families.map((family) => {
      const subnet = given.get(family);
      if (subnet) return subnet;
      const taken = [...networks.flatMap(({ prefixes }) => prefixes), ...allOf(host), ...leased];
      const prefix = chooseSubnet(state.pools.of(family), taken);
      if (state.pools.usesUla(family)) change.storeForGood(ULA_KEY, state.pools.ula);
      return makeSubnet(prefix, {}, '');
    });
    return { subnets, warnings };
  }
}

type AskedSubnet = NonNullable<NetworkCreate['subnets']>[number];

/** null: to be chosen. */
function askedPrefix(asked: AskedSubnet, field: string): Prefix | null {
  if (asked.cidr !== undefined) return parseSubnet(asked.cidr, field);
  for (const key of ['gateway', 'ipRange'] as const) {
    if (asked[key] === undefined) continue;
    throw new SluiceError(
      'invalid_argument',
      `${key === 'gateway' ? 'a gateway' : 'an ip-range'} needs a subnet`,
      {
        field: `${field}.${key}`,
        hint: 'give the subnet that it lies in',
      },
    );
  }
  return null;
}

function makeSubnet(prefix: Prefix, asked: AskedSubnet, field: string): Subnet {
  const gateway = parseGateway(asked.gateway, prefix, field);
  const range = asked.ipRange === undefined ? null : parseIpRange(asked.ipRange, prefix, gateway, field);
  return {
    cidr: formatPrefix(prefix),
    gateway: formatAddress(gateway),
    ipRange: range && formatPrefix(range),
  };
}

export function planNetwork(record: NetworkRecord): Row[] {
  return findDriver(record.driver).planNetwork(record);
}

function taken(text: string, holder: string | undefined): SluiceError {
  const who = holder === undefined ? 'another network, which is being created' : `network '${holder}'`;
  const [what, ...rest] = text.split(' ');
  switch (what) {
    case 'name':
      return new SluiceError('conflict', `a network '${rest[1]}' exists already`, {
        field: 'name',
        hint: 'choose another name, or remove that network',
      });
    case 'link':
      return new SluiceError('conflict', `interface '${rest[0]}' belongs to ${who}`, {
        field: 'options.com.docker.network.bridge.name',
        hint: 'choose another name for the bridge',
      });
    default:
      return new SluiceError('conflict', `${who} is the ${rest[0]} network of this node, there can be one`, {
        field: 'driver',
        hint: 'use that one',
      });
  }
}

/** Others are of the public interface, but not in this version. */
function refuseIpam({ ipamDriver }: NetworkCreate): void {
  if (ipamDriver === undefined || ipamDriver === 'default') return;
  throw new SluiceError('unsupported', `IPAM driver '${ipamDriver}' is not supported yet`, {
    field: 'ipamDriver',
    hint: 'leave it out, or give default',
  });
}
