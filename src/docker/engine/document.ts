// SPDX-License-Identifier: Apache-2.0

/**
 * A JSON object of somebody else's, read member by member. What is absent,
 * null or of another type counts as empty, since Engines differ in what they
 * leave out; only what is asked for with need() has to be there.
 */
export class Document {
  readonly #members: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    this.#members = isObject(value) ? value : {};
  }

  need(name: string): string {
    const text = this.text(name);
    if (text === '') throw new Error(`the Engine's answer lacks '${name}'`);
    return text;
  }

  text(name: string): string {
    const value = this.#members[name];
    return typeof value === 'string' ? value : '';
  }

  number(name: string): number | null {
    const value = this.#members[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : null;
  }

  flag(name: string): boolean {
    return this.#members[name] === true;
  }

  object(name: string): Document {
    return new Document(this.#members[name]);
  }

  /** Is there an object of that name? */
  has(name: string): boolean {
    return isObject(this.#members[name]);
  }

  texts(name: string): string[] {
    return this.#list(name).filter((item) => typeof item === 'string');
  }

  objects(name: string): Document[] {
    return this.#list(name).map((item) => new Document(item));
  }

  /** The members of the object `name` whose values are text. */
  pairs(name: string): Record<string, string> {
    const value = this.#members[name];
    const entries = isObject(value) ? Object.entries(value) : [];
    return Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  }

  /** The members of the object `name`, as objects. */
  entries(name: string): [string, Document][] {
    const value = this.#members[name];
    return isObject(value) ? Object.entries(value).map(([key, member]) => [key, new Document(member)]) : [];
  }

  /** The members of the object `name`, as lists of objects. */
  lists(name: string): [string, Document[]][] {
    const value = this.#members[name];
    if (!isObject(value)) return [];
    return Object.entries(value).map(([key, member]) => [
      key,
      asList(member).map((item) => new Document(item)),
    ]);
  }

  names(): string[] {
    return Object.keys(this.#members);
  }

  /** As it came, for comparing and printing. */
  raw(name: string): unknown {
    return this.#members[name];
  }

  #list(name: string): unknown[] {
    return asList(this.#members[name]);
  }
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
