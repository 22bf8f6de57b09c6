// SPDX-License-Identifier: Apache-2.0
/** Sets of ports in the kernel's notation: `8080,30000-32767`. */

const PORTS = 65536;

export class PortSet {
  readonly #has = new Uint8Array(PORTS);

  static parse(text: string): PortSet {
    const set = new PortSet();
    for (const [, first, last] of text.matchAll(/(\d+)(?:-(\d+))?/g))
      set.add(Number(first), Number(last ?? first));
    return set;
  }

  /** `last` is inclusive. */
  add(first: number, last: number): void {
    this.#has.fill(1, first, last + 1);
  }

  get empty(): boolean {
    return !this.#has.includes(1);
  }

  get size(): number {
    return this.#has.reduce((sum, has) => sum + has, 0);
  }

  union(other: PortSet): PortSet {
    return this.#where((port) => this.has(port) || other.has(port));
  }

  without(other: PortSet): PortSet {
    return this.#where((port) => this.has(port) && !other.has(port));
  }

  intersection(other: PortSet): PortSet {
    return this.#where((port) => this.has(port) && other.has(port));
  }

  has(port: number): boolean {
    return this.#has[port] === 1;
  }

  isWithin(other: PortSet): boolean {
    return this.without(other).empty;
  }

  toString(): string {
    const ranges: string[] = [];
    for (let first = this.#has.indexOf(1); first !== -1; ) {
      const end = this.#has.indexOf(0, first);
      const last = (end === -1 ? PORTS : end) - 1;
      ranges.push(first === last ? String(first) : `${first}-${last}`);
      first = this.#has.indexOf(1, last + 1);
    }
    return ranges.join(',');
  }

  #where(test: (port: number) => boolean): PortSet {
    const set = new PortSet();
    for (let port = 0; port < PORTS; port++) if (test(port)) set.#has[port] = 1;
    return set;
  }
}
