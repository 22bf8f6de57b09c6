// SPDX-License-Identifier: Apache-2.0
/** What one sandbox may ask for by name: what is on its own networks, and nothing else of ours. */
import { contains, type Prefix, parseAddress, parsePrefix } from '../base/addresses.js';
import type { NamedSandbox } from '../cnm/naming.js';
import { isEncodable } from './message.js';
import type { Found, Names } from './names.js';

export interface ZoneOptions {
  readonly names: Names;
  readonly sandbox: NamedSandbox;
  /** Search domains of the sandbox, in lower case. */
  readonly search: () => readonly string[];
  /** What another engine calls a network of its own; null: nothing else. */
  readonly nickname: (network: { readonly id: string }) => string | null;
}

export class Zone {
  readonly sandbox: NamedSandbox;
  readonly #o: ZoneOptions;
  readonly #prefixes: readonly Prefix[];

  constructor(options: ZoneOptions) {
    this.#o = options;
    this.sandbox = options.sandbox;
    this.#prefixes = options.sandbox.networks.flatMap(({ subnets }) =>
      subnets.flatMap((cidr) => parsePrefix(cidr) ?? []),
    );
  }

  /**
   * As the name stands, then without a search domain at its end: a library
   * appends those before it asks for the bare name. null: none of ours.
   */
  find(name: string): Found | null {
    const found = this.#find(name);
    if (found !== null) return found;
    for (const domain of this.#o.search()) {
      if (!name.endsWith(`.${domain}`)) continue;
      const bare = this.#find(name.slice(0, -domain.length - 1));
      if (bare !== null) return bare;
    }
    return null;
  }

  /** The first of its networks that knows the name has it. */
  #find(name: string): Found | null {
    const { names, nickname } = this.#o;
    const { networks, remote } = this.sandbox;
    for (const { name: network } of networks) {
      const found = names.find(network, name, remote);
      if (found !== null) return found;
    }
    if (!name.includes('.')) return null;
    for (const network of networks) {
      for (const called of [network.name, nickname(network)]) {
        if (called === null || !name.endsWith(`.${called.toLowerCase()}`)) continue;
        const found = names.find(network.name, name.slice(0, -called.length - 1), remote);
        if (found !== null) return found;
      }
    }
    return null;
  }

  /** `NAME.NETWORK` of an address on one of its networks. */
  reverse(address: string): string | null {
    const { names, nickname } = this.#o;
    for (const network of this.sandbox.networks) {
      const name = names.nameOf(network.name, address, this.sandbox.remote);
      const full = `${name}.${nickname(network) ?? network.name}`;
      if (name !== null && isEncodable(full)) return full;
    }
    return null;
  }

  /** Whether the address belongs to one of its networks, so that nobody else can name it. */
  owns(address: string): boolean {
    const parsed = parseAddress(address);
    return parsed !== null && this.#prefixes.some((prefix) => contains(prefix, parsed));
  }
}
