// SPDX-License-Identifier: Apache-2.0
/** The maps of services in memory, with a journal of what was written in which order. */
import type { KernelMaps } from '../../../../src/reconcile/kernel.js';
import { FakeMap } from '../fake-maps.js';

type Name =
  | 'services4'
  | 'services6'
  | 'publish_allow'
  | 'service_slots'
  | 'service_table'
  | 'service_backends'
  | 'backend_endpoints';
type ValueOf<N extends Name> = NonNullable<ReturnType<KernelMaps[N]['get']>>;
type KeyOf<N extends Name> = Parameters<KernelMaps[N]['get']>[0];

/** Says which map each write went to. */
class Journalled<K, V> extends FakeMap<K, V> {
  readonly #write: () => void;

  constructor(write: () => void, zero?: V) {
    super(zero);
    this.#write = write;
  }

  override set(key: K, value: V): void {
    this.#write();
    super.set(key, value);
  }

  override delete(key: K): boolean {
    this.#write();
    return super.delete(key);
  }
}

export class FakeServiceMaps {
  /** Maps written to since it was last emptied, runs of one map once. */
  journal: string[] = [];
  readonly services4 = this.#hash<'services4'>('services4');
  readonly services6 = this.#hash<'services6'>('services6');
  readonly publish_allow = this.#hash<'publish_allow'>('publish_allow');
  readonly service_slots = this.#array<'service_slots'>('service_slots', { backend: 0, seed: 0, weight: 0 });
  readonly service_table = this.#array<'service_table'>('service_table', { slot: [0, 0, 0, 0] });
  readonly service_backends = this.#array<'service_backends'>('service_backends', {
    endpoint: 0,
    generation: 0,
    service: 0,
    idle: 0,
    state: 0,
  });
  readonly backend_endpoints = this.#array<'backend_endpoints'>('backend_endpoints', 0);
  readonly backend_load = new FakeMap<number, number>(0);
  readonly backend_traffic = new FakeMap<number, number>(0);
  readonly service_refusals = new FakeMap<number, number>(0);

  #hash<N extends Name>(name: N) {
    return new Journalled<KeyOf<N>, ValueOf<N>>(() => this.#note(name));
  }

  #array<N extends Name>(name: N, zero: ValueOf<N>) {
    return new Journalled<KeyOf<N>, ValueOf<N>>(() => this.#note(name), zero);
  }

  #note(name: string): void {
    if (this.journal.at(-1) !== name) this.journal.push(name);
  }
}
