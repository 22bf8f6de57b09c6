// SPDX-License-Identifier: Apache-2.0
/** The pools that subnets are cut from: those given, and the defaults of a family for which none is. */
import { randomBytes } from 'node:crypto';
import { type Family, formatPrefix, type Prefix, parsePrefix } from '../../base/addresses.js';
import { DEFAULT_POOLS, type Pool, parsePool } from './subnets.js';

/** Of the ULA /48; with an interface identifier of 64 bits there is no other sensible size. */
const ULA_SIZE = 64;

export class Pools {
  readonly #given: readonly Pool[];
  #ula: Prefix;

  /** `CIDR,SIZE` each. */
  constructor(given: readonly string[]) {
    this.#given = given.map(parsePool);
    this.#ula = drawUla();
  }

  /** The node's own /48, as it goes into the store. */
  get ula(): string {
    return formatPrefix(this.#ula);
  }

  /** Takes what the store says the node's own is. False: it cannot be one. */
  restoreUla(text: string): boolean {
    const prefix = parsePrefix(text);
    if (prefix?.family !== 6 || prefix.length !== 48) return false;
    this.#ula = prefix;
    return true;
  }

  /** Whether subnets of the family come from the node's own /48. */
  usesUla(family: Family): boolean {
    return family === 6 && !this.#given.some(({ prefix }) => prefix.family === 6);
  }

  of(family: Family): readonly Pool[] {
    if (this.usesUla(family)) return [{ prefix: this.#ula, size: ULA_SIZE }];
    const given = this.#given.filter(({ prefix }) => prefix.family === family);
    return given.length > 0 ? given : DEFAULT_POOLS.map(parsePool);
  }
}

/** fd00::/8 and a random global id of 40 bits (RFC 4193), so that nodes that meet later do not collide. */
function drawUla(): Prefix {
  const id = BigInt(`0x${randomBytes(5).toString('hex')}`);
  return { family: 6, network: ((0xfdn << 40n) | id) << 80n, length: 48 };
}
