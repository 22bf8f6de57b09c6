// SPDX-License-Identifier: Apache-2.0
/**
 * What a database must hold: how many entries, and the sum of their checks
 * modulo 2^64, each read off its stored text. LevelDB passes over a damaged
 * part of its log and goes on behind it; the entries that it dropped so are
 * missed by their sum, which every batch carries.
 */
const MODULUS = 1n << 64n;

export class Sum {
  readonly entries: number;
  readonly total: bigint;

  constructor(entries = 0, total = 0n) {
    this.entries = entries;
    this.total = total;
  }

  with(text: string): Sum {
    return new Sum(this.entries + 1, (this.total + checkOf(text)) % MODULUS);
  }

  without(text: string): Sum {
    return new Sum(this.entries - 1, (this.total - checkOf(text) + MODULUS) % MODULUS);
  }

  equals(other: Sum): boolean {
    return this.entries === other.entries && this.total === other.total;
  }

  /** As it is stored, with the version of the batch that it belongs to. */
  format(version: number): string {
    return `${version} ${this.entries} ${this.total.toString(16)}`;
  }

  /** null: of another version than `version`, as a program that keeps no sums leaves it. */
  static parse(text: string | undefined, version: number): Sum | null {
    const match = /^(\d{1,16}) (\d{1,16}) ([0-9a-f]{1,16})$/.exec(text ?? '');
    if (match === null || Number(match[1]) !== version) return null;
    return new Sum(Number(match[2]), BigInt(`0x${match[3]}`));
  }
}

/** What does not begin with a check counts as nothing; whoever reads that entry says what is wrong with it. */
function checkOf(text: string): bigint {
  return /^[0-9a-f]{16} /.test(text) ? BigInt(`0x${text.slice(0, 16)}`) : 0n;
}
