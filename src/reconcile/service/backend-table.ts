// SPDX-License-Identifier: Apache-2.0
import type { ServiceBackendValue } from '../kernel.js';

/** `service_backends` in memory, a column a field: there are a hundred thousand, and objects of them all take time and room. */
export class BackendTable {
  readonly size: number;
  readonly #endpoint: Uint32Array;
  readonly #generation: Uint32Array;
  readonly #service: Uint32Array;
  readonly #idle: Uint32Array;
  readonly #state: Uint32Array;

  constructor(size: number) {
    this.size = size;
    this.#endpoint = new Uint32Array(size);
    this.#generation = new Uint32Array(size);
    this.#service = new Uint32Array(size);
    this.#idle = new Uint32Array(size);
    this.#state = new Uint32Array(size);
  }

  /** All zero where nothing was set. */
  get(id: number): ServiceBackendValue {
    return {
      endpoint: this.#endpoint[id] as number,
      generation: this.#generation[id] as number,
      service: this.serviceOf(id),
      idle: this.#idle[id] as number,
      state: this.stateOf(id),
    };
  }

  set(id: number, { endpoint, generation, service, idle, state }: ServiceBackendValue): void {
    this.#endpoint[id] = endpoint;
    this.#generation[id] = generation;
    this.#service[id] = service;
    this.#idle[id] = idle;
    this.#state[id] = state;
  }

  serviceOf(id: number): number {
    return this.#service[id] as number;
  }

  stateOf(id: number): number {
    return this.#state[id] as number;
  }

  is(id: number, value: ServiceBackendValue): boolean {
    return this.isOf(id, value) && this.#idle[id] === value.idle && this.#state[id] === value.state;
  }

  /** Whether the id is, or was last, this very backend's. */
  isOf(id: number, { endpoint, generation, service }: ServiceBackendValue): boolean {
    return (
      this.#service[id] === service && this.#endpoint[id] === endpoint && this.#generation[id] === generation
    );
  }
}
