// SPDX-License-Identifier: Apache-2.0
/**
 * Address management for networks of another engine, whichever driver these
 * have: pools that it asks for and gives back, addresses of them. The same
 * request means the same pool, which goes with its last holder.
 */
import {
  type Address,
  formatAddress,
  formatPrefix,
  type Prefix,
  parseAddress,
  usableRange,
} from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import type { Change } from './change.js';
import { type Context, makeChange, now } from './context.js';
import { requireIpv6 } from './host.js';
import { type LeasedPool, leaseKey, poolKey } from './ipam/leased.js';
import {
  allOf,
  checkOverlap,
  chooseSubnet,
  type HostPrefixes,
  hostPrefixes,
  parseIpRange,
  parseSubnet,
} from './ipam/subnets.js';
import type { LockMode } from './locks.js';
import { type LeasedPoolRecord, type LeaseRecord, ULA_KEY } from './records.js';

export interface PoolRequest {
  readonly space: string;
  /** null: to be chosen. */
  readonly cidr: string | null;
  /** Addresses are chosen from this part. */
  readonly range: string | null;
  readonly ipv6: boolean;
  /**
   * Its holder has a record of its own and says everything again when it
   * starts: the pool has one holder, and an address that is asked for by name
   * is its own.
   */
  readonly replayed?: boolean;
}

/** What another engine's address management needs of the model. */
export type AddressLeases = Pick<Leases, keyof Leases>;

export interface HeldPool {
  readonly pool: LeasedPoolRecord;
  readonly leases: readonly LeaseRecord[];
}

/** What an address is for. */
export type LeaseUse = 'gateway' | 'host';

export class Leases {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async requestPool(request: PoolRequest): Promise<{ id: string; cidr: string }> {
    const { state, host, log } = this.#context;
    // what Docker had before the host lost its IPv6 is its own to remove
    if (request.ipv6 && !request.replayed) requireIpv6(host);
    const asked = askedPool(request);
    const here = hostPrefixes(await host.addressesAndRoutes());
    return this.#change('exclusive', (change) => {
      const { prefix, range } = asked ?? { prefix: this.#choose(change, request, here), range: null };
      const id = poolId(request.space, prefix, range);
      const known = state.leased.get(id);
      if (known) {
        if (!known.record.replayed) this.#hold(change, known, known.record.holders + 1);
        return { id, cidr: formatPrefix(prefix) };
      }
      const other = state.leased.overlapping(request.space, prefix);
      const leased = other ? [other.prefix] : [];
      const networks = [...state.spaces.values()];
      const warnings = checkOverlap(prefix, { networks, host: here, leased }, 'pool');
      change.onDone(() => {
        for (const warning of warnings) log.warn(warning);
      });
      const record: LeasedPoolRecord = {
        id,
        space: request.space,
        cidr: formatPrefix(prefix),
        range: range && formatPrefix(range),
        holders: 1,
        ...(request.replayed && { replayed: true as const }),
        created: now(this.#context),
      };
      change.store(poolKey(id), record, null);
      change.allocated(
        () => state.leased.add(record),
        () => state.leased.delete(id),
      );
      return { id, cidr: record.cidr };
    });
  }

  /** Giving back what is gone is success. */
  async releasePool(id: string): Promise<void> {
    const { state } = this.#context;
    await this.#change('exclusive', (change) => {
      const pool = state.leased.get(id);
      if (!pool) return;
      if (pool.record.holders > 1) {
        this.#hold(change, pool, pool.record.holders - 1);
        return;
      }
      this.#drop(change, pool);
    });
  }

  /** Answers the address with the prefix length of its pool. `asked` null: any. */
  async requestAddress(id: string, asked: string | null, use: LeaseUse): Promise<string> {
    const { state } = this.#context;
    return this.#change('shared', (change) => {
      const pool = state.leased.get(id);
      if (!pool) throw unknownPool(id);
      const again = pool.record.replayed && asked !== null ? pool.taken.get(canonical(asked)) : undefined;
      if (again) return `${again.address}/${pool.prefix.length}`;
      change.mark(pool.addresses.mark());
      const address = change.allocated(
        () => (asked === null ? this.#choice(pool, use) : this.#claim(pool, asked, use)),
        (taken) => pool.addresses.release(taken),
      );
      const lease: LeaseRecord = {
        pool: id,
        address: formatAddress(address),
        use,
        created: now(this.#context),
      };
      change.store(leaseKey(lease), lease, null);
      change.allocated(
        () => pool.taken.set(lease.address, lease),
        () => pool.taken.delete(lease.address),
      );
      return `${lease.address}/${pool.prefix.length}`;
    });
  }

  /** Giving back what is gone is success. */
  async releaseAddress(id: string, text: string): Promise<void> {
    const { state } = this.#context;
    await this.#change('shared', (change) => {
      const pool = state.leased.get(id);
      const address = parseAddress(text);
      const lease = address && pool?.taken.get(formatAddress(address));
      if (pool && address && lease) this.#free(change, pool, address, lease);
    });
  }

  /** What is held now, for whoever compares it with what the other engine has. */
  held(): HeldPool[] {
    return this.#context.state.leased.all().map(({ record, taken }) => ({
      pool: record,
      leases: [...taken.values()],
    }));
  }

  /** Frees what is still as held() told it: nobody has asked for it since. */
  async reclaimPool(held: LeasedPoolRecord): Promise<void> {
    await this.#change('exclusive', (change) => {
      const pool = this.#context.state.leased.get(held.id);
      if (pool?.record === held) this.#drop(change, pool);
    });
  }

  /** As reclaimPool(). */
  async reclaimAddress(held: LeaseRecord): Promise<void> {
    await this.#change('exclusive', (change) => {
      const pool = this.#context.state.leased.get(held.pool);
      const address = parseAddress(held.address);
      if (pool && address && pool.taken.get(held.address) === held) this.#free(change, pool, address, held);
    });
  }

  #drop(change: Change, { record, taken }: LeasedPool): void {
    change.store(poolKey(record.id), null, record);
    for (const lease of taken.values()) change.store(leaseKey(lease), null, lease);
    change.onDone(() => this.#context.state.leased.delete(record.id));
  }

  #free(change: Change, pool: LeasedPool, address: Address, lease: LeaseRecord): void {
    change.store(leaseKey(lease), null, lease);
    change.onDone(() => {
      pool.taken.delete(lease.address);
      pool.addresses.release(address);
    });
  }

  #choose(change: Change, { ipv6 }: PoolRequest, host: HostPrefixes): Prefix {
    const { state } = this.#context;
    const family = ipv6 ? 6 : 4;
    const networks = [...state.spaces.values()].flatMap(({ prefixes }) => prefixes);
    const taken = [...networks, ...allOf(host), ...state.leased.prefixes()];
    const prefix = chooseSubnet(state.pools.of(family), taken);
    if (state.pools.usesUla(family)) change.storeForGood(ULA_KEY, state.pools.ula);
    return prefix;
  }

  /** A gateway has the first address, as on networks of ours, unless that is taken. */
  #choice(pool: LeasedPool, use: LeaseUse) {
    const first = { family: pool.prefix.family, value: usableRange(pool.prefix).first };
    if (use !== 'gateway' || pool.addresses.holder(first) !== undefined) return pool.addresses.allocate(use);
    pool.addresses.claim(first, use, (owner) => owner, 'address');
    return first;
  }

  #claim(pool: LeasedPool, text: string, use: LeaseUse) {
    const address = parseAddress(text);
    if (!address) throw new SluiceError('invalid_argument', `'${text}' is not an IP address`);
    const holder = pool.addresses.holder(address);
    if (holder !== undefined) {
      const who = holder === 'gateway' ? "a network's gateway" : this.#holderOf(formatAddress(address));
      throw new SluiceError('address_taken', `${text} belongs to ${who}`, {
        field: 'address',
        hint: 'choose another address, or none for an automatic one',
      });
    }
    pool.addresses.claim(address, use, (owner) => owner, 'address');
    return address;
  }

  #holderOf(address: string): string {
    const { endpoints, services } = this.#context.state;
    const service = services.all().find(({ vip, vip6 }) => vip === address || vip6 === address);
    if (service) return `service '${service.name}'`;
    const found = endpoints
      .all()
      .find(({ remote, ipv4, ipv6 }) => remote && (ipv4 === address || ipv6 === address));
    return found ? `endpoint '${found.name}'` : 'somebody else: Docker has reserved it';
  }

  #hold(change: Change, pool: LeasedPool, holders: number): void {
    const before = pool.record;
    const record = { ...before, holders };
    change.store(poolKey(record.id), record, before);
    change.allocated(
      () => {
        pool.record = record;
      },
      () => {
        pool.record = before;
      },
    );
  }

  /** A pool that is going must not get holders or addresses meanwhile. */
  async #change<T>(mode: LockMode, build: (change: Change) => T): Promise<T> {
    return this.#context.locks.with('pools', '', mode, async () => {
      const answer = await makeChange(this.#context, 'addresses could not be recorded', false, (change) => {
        const result = build(change);
        return () => ({ result });
      });
      if ('dryRun' in answer) throw new SluiceError('internal', 'this was no dry run');
      return answer.result;
    });
  }
}

/** Of the request alone, so that it is the same for ever. */
function poolId(space: string, prefix: Prefix, range: Prefix | null): string {
  return `${space}/${formatPrefix(prefix)}${range ? `/${formatPrefix(range)}` : ''}`;
}

function askedPool({ cidr, range, ipv6 }: PoolRequest): { prefix: Prefix; range: Prefix | null } | null {
  if (cidr === null) {
    if (range === null) return null;
    throw new SluiceError('invalid_argument', 'an ip-range needs a subnet', { hint: 'give --subnet too' });
  }
  const prefix = parseSubnet(cidr, 'pool');
  if (prefix.family !== (ipv6 ? 6 : 4)) {
    throw new SluiceError('invalid_argument', `${cidr} is not of the family that is asked for`);
  }
  // Which gateway there will be is not known yet; the network address is none.
  const gateway = { family: prefix.family, value: prefix.network };
  return { prefix, range: range === null ? null : parseIpRange(range, prefix, gateway, 'pool') };
}

function canonical(text: string): string {
  const address = parseAddress(text);
  return address ? formatAddress(address) : text;
}

function unknownPool(id: string): SluiceError {
  return new SluiceError('not_found', `there is no address pool '${id}'`, {
    hint: 'remove the network and create it again: docker network rm, docker network create',
  });
}
