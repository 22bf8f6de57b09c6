// SPDX-License-Identifier: Apache-2.0
/** Objects of one kind, found by name, id or unique prefix of an id. */
import { SluiceError } from '../base/errors.js';
import { isIdPrefix } from '../base/ids.js';

export type Kind = 'network' | 'sandbox' | 'endpoint' | 'service';

export class Table<T extends { readonly id: string; readonly name: string }> {
  readonly kind: Kind;
  /** In the order of creation. */
  readonly #byId = new Map<string, T>();
  readonly #byName = new Map<string, string>();

  constructor(kind: Kind) {
    this.kind = kind;
  }

  get(id: string): T | undefined {
    return this.#byId.get(id);
  }

  /** For references between objects, which always hold. */
  of(id: string): T {
    const found = this.#byId.get(id);
    if (!found) throw new SluiceError('internal', `no ${this.kind} has the id ${id}`);
    return found;
  }

  all(): T[] {
    return [...this.#byId.values()];
  }

  set(item: T): void {
    this.#byId.set(item.id, item);
    this.#byName.set(item.name, item.id);
  }

  delete(item: T): void {
    this.#byId.delete(item.id);
    this.#byName.delete(item.name);
  }

  /** `field` is set where the reference stands in a request's body. */
  resolve(ref: string, field?: string): T {
    const details = field === undefined ? {} : { field };
    const named = this.#byName.get(ref);
    const exact = this.#byId.get(named ?? ref);
    if (exact) return exact;
    const matches = isIdPrefix(ref) ? this.all().filter(({ id }) => id.startsWith(ref)) : [];
    if (matches.length > 1) {
      const names = matches.slice(0, 4).map(({ name }) => `'${name}'`);
      throw new SluiceError(
        'ambiguous',
        `'${ref}' begins the ids of several ${plural(this.kind)}: ${names.join(', ')}`,
        {
          ...details,
          hint: 'give more characters of the id, or the name',
        },
      );
    }
    const [match] = matches;
    if (match) return match;
    throw new SluiceError('not_found', `no ${this.kind} is called '${ref}'`, {
      ...details,
      hint: `sluice ${this.kind} ls shows what there is`,
    });
  }
}

function plural(kind: Kind): string {
  return kind === 'sandbox' ? 'sandboxes' : `${kind}s`;
}
