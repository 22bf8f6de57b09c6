// SPDX-License-Identifier: Apache-2.0
/** Addresses of services. */
import { type Address, type Family, familyOf, formatAddress, parseAddress } from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import type { Change } from '../change.js';
import { type Context, now } from '../context.js';
import { type LeasedPool, leaseKey } from '../ipam/leased.js';
import type { AddressPool } from '../ipam/pool.js';
import type { LeaseRecord, NetworkRecord } from '../records.js';

/** What a lease of a service's address is for. */
export const SERVICE_LEASE = 'service';

/** null: the network has no addresses of the family, and none is asked for. */
export function takeVip(
  { state, clock }: Pick<Context, 'state' | 'clock'>,
  change: Change,
  service: string,
  network: NetworkRecord,
  family: Family,
  asked?: string,
): string | null {
  const field = family === 4 ? 'vip' : 'vip6';
  const wanted = asked === undefined ? undefined : parseAddress(asked);
  if (wanted === null || (wanted && wanted.family !== family)) {
    throw new SluiceError('invalid_argument', `'${asked}' is not an IPv${family} address`, {
      field,
      hint: 'leave it out for an automatic one',
    });
  }
  const pool = state.space(network.id).addresses[family];
  if (!pool) {
    if (!wanted) return null;
    throw new SluiceError('invalid_argument', `network '${network.name}' has no IPv${family}`, {
      field,
      hint: `leave the address out, or use a network that was created with --ipv${family}`,
    });
  }
  change.mark(pool.mark());
  const leased = leasedPool(state, network, family);
  const address = change.allocated(
    () => {
      if (wanted) {
        const holder = leased?.addresses.holder(wanted);
        if (holder !== undefined && pool.holder(wanted) === undefined)
          throw leasedAway(asked as string, holder, field);
        pool.claim(wanted, service, (owner) => state.holderOf(owner), field);
        return wanted;
      }
      return network.origin ? last(pool, leased, service, network) : pool.allocate(service);
    },
    (taken) => pool.release(taken),
  );
  if (leased) lease({ clock }, change, leased, address);
  return formatAddress(address);
}

/** Free when the change is done. */
export function releaseVip(
  { state }: Pick<Context, 'state'>,
  change: Change,
  network: NetworkRecord,
  text: string,
): void {
  const address = parseAddress(text) as Address;
  const leased = leasedPool(state, network, familyOf(text));
  const record = leased?.taken.get(text);
  if (record?.use === SERVICE_LEASE) change.store(leaseKey(record), null, record);
  change.onDone(() => {
    state.spaces.get(network.id)?.addresses[address.family]?.release(address);
    if (leased && record?.use === SERVICE_LEASE) {
      leased.taken.delete(text);
      leased.addresses.release(address);
    }
  });
}

/** Docker's own address management begins at the other end. */
function last(
  pool: AddressPool,
  leased: LeasedPool | undefined,
  service: string,
  network: NetworkRecord,
): Address {
  const free = (address: Address): boolean => leased?.addresses.holder(address) === undefined;
  const address = pool.allocateLast(service, free);
  if (address) return address;
  throw new SluiceError(
    'pool_exhausted',
    `network '${network.name}' has no free address left for a service`,
    {
      field: 'network',
      hint: 'remove containers or services that are not needed, or use a network with a larger subnet',
    },
  );
}

function lease({ clock }: Pick<Context, 'clock'>, change: Change, pool: LeasedPool, address: Address): void {
  const record: LeaseRecord = {
    pool: pool.record.id,
    address: formatAddress(address),
    use: SERVICE_LEASE,
    created: now({ clock }),
  };
  change.allocated(
    () => pool.addresses.claim(address, SERVICE_LEASE, (owner) => `a ${owner}`, 'vip'),
    () => pool.addresses.release(address),
  );
  change.allocated(
    () => pool.taken.set(record.address, record),
    () => pool.taken.delete(record.address),
  );
  change.store(leaseKey(record), record, null);
}

/** The pool of ours that another engine has made the network of. */
function leasedPool(
  { leased }: Context['state'],
  network: NetworkRecord,
  family: Family,
): LeasedPool | undefined {
  if (!network.origin) return undefined;
  const subnet = network.subnets.find(({ cidr }) => familyOf(cidr) === family);
  return subnet && leased.all().find(({ record }) => record.cidr === subnet.cidr);
}

function leasedAway(text: string, use: string, field: string): SluiceError {
  const who = use === 'gateway' ? "the network's gateway" : 'a container: Docker has reserved it';
  return new SluiceError('address_taken', `${text} belongs to ${who}`, {
    field,
    hint: 'choose another address, or none for an automatic one',
  });
}
