// SPDX-License-Identifier: Apache-2.0
/**
 * The addresses of one subnet. Automatic choice is next-fit: an address that
 * became free rests until the search has been all the way round.
 */
import {
  type Address,
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  type Prefix,
  usableRange,
} from '../../base/addresses.js';
import { SluiceError } from '../../base/errors.js';
import { nameOfFirst } from './subnets.js';

const MAX_STEPS = 1_000_000n;

export class AddressPool {
  readonly #subnet: Prefix;
  readonly #gateway: bigint | null;
  /** What the automatic choice hands out: the usable part of the ip-range. */
  readonly #first: bigint;
  readonly #last: bigint;
  /** Address to owner. */
  readonly #taken = new Map<bigint, string>();
  /** Not given out, though nobody here has them. */
  #reserved: ReadonlySet<bigint> = new Set();
  #next: bigint;
  /** Where the search from the end goes on: an address that became free rests there, too. */
  #lowest: bigint;

  constructor(subnet: Prefix, ipRange: Prefix | null, gateway: Address | null) {
    const { first, last } = usableRange(subnet, ipRange ?? subnet);
    this.#subnet = subnet;
    this.#gateway = gateway?.value ?? null;
    this.#first = first;
    this.#last = last;
    this.#next = this.#first;
    this.#lowest = this.#last;
  }

  get family(): Family {
    return this.#subnet.family;
  }

  /** Addresses that the automatic choice has left. */
  get free(): number {
    const inRange = (value: bigint): boolean => value >= this.#first && value <= this.#last;
    const taken = new Set([...this.#taken.keys(), ...this.#reserved]);
    if (this.#gateway !== null) taken.add(this.#gateway);
    return Number(this.#last - this.#first + 1n) - [...taken].filter(inRange).length;
  }

  /** The next free address; throws `pool_exhausted`. */
  allocate(owner: string): Address {
    let value = this.#next;
    // Every step but the gateway's meets a taken or reserved address, so this bounds the walk.
    const size = this.#last - this.#first + 1n;
    const limit = this.#taken.size + this.#reserved.size + 1;
    for (let step = 0; step <= limit && BigInt(step) < size; step++) {
      if (value > this.#last) value = this.#first;
      if (value !== this.#gateway && !this.#taken.has(value) && !this.#reserved.has(value)) {
        this.#taken.set(value, owner);
        this.#next = value + 1n;
        return { family: this.#subnet.family, value };
      }
      value++;
    }
    throw new SluiceError('pool_exhausted', `${formatPrefix(this.#subnet)} has no free address left`, {
      field: 'network',
      hint: 'remove endpoints that are not needed, or make a network with a larger subnet or ip-range',
    });
  }

  /** The owner of an address; undefined: nobody. */
  holder(address: Address): string | undefined {
    return this.#taken.get(address.value);
  }

  /** Takes the highest free address that `free` does not rule out; null: there is none. */
  allocateLast(owner: string, free: (address: Address) => boolean = () => true): Address | null {
    const size = this.#last - this.#first + 1n;
    let value = this.#lowest;
    for (let step = 0n; step < size; step++) {
      if (value < this.#first) value = this.#last;
      const address: Address = { family: this.#subnet.family, value };
      const unused = value !== this.#gateway && !this.#taken.has(value) && !this.#reserved.has(value);
      if (unused && free(address)) {
        this.#taken.set(value, owner);
        this.#lowest = value - 1n;
        return address;
      }
      value--;
      // Only a subnet of IPv6 is that large, and its highest addresses are as good as all.
      if (step > MAX_STEPS) break;
    }
    return null;
  }

  /** Takes this very address. `holderOf` tells who an owner is, in words; `field` is the request's. */
  claim(address: Address, owner: string, holderOf: (owner: string) => string, field: string): void {
    const text = formatAddress(address);
    const refuse = (why: string): never => {
      throw new SluiceError('invalid_argument', `${text} ${why}`, {
        field,
        hint: `give an address of ${formatPrefix(this.#subnet)}, or none for an automatic one`,
      });
    };
    if (!contains(this.#subnet, address))
      refuse(`is outside of the network's subnet ${formatPrefix(this.#subnet)}`);
    const usable = usableRange(this.#subnet);
    if (address.value < usable.first)
      refuse(`is the ${nameOfFirst(this.#subnet)} address of ${formatPrefix(this.#subnet)}`);
    if (address.value > usable.last) refuse(`is the broadcast address of ${formatPrefix(this.#subnet)}`);
    const holder = this.#taken.get(address.value);
    const gateway = address.value === this.#gateway;
    if (holder !== undefined || gateway || this.#reserved.has(address.value)) {
      const other = gateway ? "the network's gateway" : 'this host';
      const who = holder === undefined ? other : holderOf(holder);
      throw new SluiceError('address_taken', `${text} belongs to ${who}`, {
        field,
        hint: 'choose another address, or none for an automatic one',
      });
    }
    this.#taken.set(address.value, owner);
  }

  /** Replaces what is reserved; an endpoint that has such an address keeps it. */
  reserve(addresses: readonly Address[]): void {
    const { family } = this.#subnet;
    this.#reserved = new Set(addresses.filter((a) => a.family === family).map(({ value }) => value));
  }

  /** Takes what the store says was taken. The search then begins behind the last one. */
  restore(address: Address, owner: string): void {
    this.claim(address, owner, (id) => id, `ipv${this.family}`);
    if (address.value >= this.#next && address.value <= this.#last) this.#next = address.value + 1n;
  }

  release(address: Address): void {
    this.#taken.delete(address.value);
  }

  /** What an undone allocation must put back, so that a dry run leaves no trace. */
  mark(): () => void {
    const [next, lowest] = [this.#next, this.#lowest];
    return () => {
      this.#next = next;
      this.#lowest = lowest;
    };
  }
}
