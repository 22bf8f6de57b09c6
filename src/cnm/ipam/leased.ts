// SPDX-License-Identifier: Apache-2.0
/** The pools that another engine's networks take their addresses from, as they are now. */
import { createHash } from 'node:crypto';
import { overlaps, type Prefix, parseAddress, parsePrefix } from '../../base/addresses.js';
import { damaged } from '../../store/codec.js';
import type { LeasedPoolRecord, LeaseRecord } from '../records.js';
import { AddressPool } from './pool.js';

export interface LeasedPool {
  record: LeasedPoolRecord;
  readonly prefix: Prefix;
  /** Addresses to what they are for. */
  readonly addresses: AddressPool;
  /** As they are stored. */
  readonly taken: Map<string, LeaseRecord>;
}

export class LeasedPools {
  readonly #pools = new Map<string, LeasedPool>();

  get(id: string): LeasedPool | undefined {
    return this.#pools.get(id);
  }

  all(): LeasedPool[] {
    return [...this.#pools.values()];
  }

  add(record: LeasedPoolRecord): LeasedPool {
    const prefix = parsePrefix(record.cidr);
    const range = record.range === null ? null : parsePrefix(record.range);
    if (prefix === null || (record.range !== null && range === null)) {
      throw damaged(poolKey(record.id), `its range '${record.cidr}'`);
    }
    const pool = { record, prefix, addresses: new AddressPool(prefix, range, null), taken: new Map() };
    this.#pools.set(record.id, pool);
    return pool;
  }

  delete(id: string): void {
    this.#pools.delete(id);
  }

  /** What the store says is in use. */
  restore(pools: readonly LeasedPoolRecord[], leases: readonly LeaseRecord[]): void {
    for (const record of pools) this.add(record);
    for (const lease of leases) {
      const pool = this.#pools.get(lease.pool);
      const address = parseAddress(lease.address);
      // A pool goes before its last addresses.
      if (pool === undefined) continue;
      if (address === null) throw damaged(leaseKey(lease), `'${lease.address}' is no address`);
      pool.addresses.restore(address, lease.use);
      pool.taken.set(lease.address, lease);
    }
  }

  /** One of the same space that meets this range. */
  overlapping(space: string, prefix: Prefix): LeasedPool | undefined {
    return this.all().find(({ record, prefix: other }) => record.space === space && overlaps(other, prefix));
  }

  prefixes(): Prefix[] {
    return this.all().map(({ prefix }) => prefix);
  }
}

export function poolKey(id: string): string {
  return `pools/${digest(id)}`;
}

export function leaseKey({ pool, address }: Pick<LeaseRecord, 'pool' | 'address'>): string {
  return `leases/${digest(pool)}/${address}`;
}

function digest(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 32);
}
