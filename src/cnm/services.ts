// SPDX-License-Identifier: Apache-2.0
/** Services as containers declare them. They are kept and shown; nothing in the kernel serves them yet. */
import { newId } from '../base/ids.js';
import { type Context, makeChange, now } from './context.js';
import type { ServiceRecord } from './records.js';
import type { State } from './state.js';
import type { Backend, Service, ServiceIntent } from './types.js';

/** The store's limit of operations in a transaction, with room for what it owes. */
const CHUNK = 100;
/** Of the lock that keeps two declarations apart. */
const LOCK = 'services';

type Attributes = Record<string, string>;
interface Update {
  readonly previous: ServiceRecord | null;
  readonly next: ServiceRecord | null;
}

export class Services {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  list(): Service[] {
    const { state } = this.#context;
    return state.services.all().map((record) => serviceView(state, record));
  }

  get(ref: string): Service {
    const { state } = this.#context;
    return serviceView(state, state.services.resolve(ref));
  }

  /** These services are there, and no others. What is as it was is not written again. */
  declare(intents: readonly ServiceIntent[]): Promise<void> {
    return this.#context.locks.with(LOCK, 'exclusive', async () => {
      const updates = this.#updates(intents);
      for (let at = 0; at < updates.length; at += CHUNK) await this.#apply(updates.slice(at, at + CHUNK));
    });
  }

  #updates(intents: readonly ServiceIntent[]): Update[] {
    const { services } = this.#context.state;
    const left = new Map(services.all().map((record) => [record.name, record]));
    const updates: Update[] = [];
    for (const intent of intents) {
      const previous = left.get(intent.name) ?? null;
      left.delete(intent.name);
      const next: ServiceRecord = {
        id: previous?.id ?? newId(),
        created: previous?.created ?? now(this.#context),
        ...intent,
      };
      if (previous === null || differs(previous, next)) updates.push({ previous, next });
    }
    return [...[...left.values()].map((previous) => ({ previous, next: null })), ...updates];
  }

  async #apply(updates: readonly Update[]): Promise<void> {
    const { state, emit } = this.#context;
    await makeChange(this.#context, 'services could not be stored', false, (change) => {
      for (const { previous, next } of updates) {
        const { id } = (next ?? previous) as ServiceRecord;
        change.store(`services/${id}`, next, previous);
      }
      change.onDone(() => {
        for (const { previous, next } of updates) {
          if (next === null) state.services.delete(previous as ServiceRecord);
          else state.services.set(next);
        }
      });
      return () => undefined;
    });
    for (const { previous, next } of updates) {
      if (next === null) emit('service', 'remove', previous as ServiceRecord);
      else if (previous === null) emit('service', 'create', next, { ports: ports(next) });
      else if (differs(settings(previous), settings(next)))
        emit('service', 'update', next, { ports: ports(next) });
      for (const attributes of backendChanges(previous, next)) {
        emit('service', 'update', (next ?? previous) as ServiceRecord, attributes);
      }
    }
  }
}

function settings({ backends: _, ...rest }: ServiceRecord): Omit<ServiceRecord, 'backends'> {
  return rest;
}

/** One for each backend that came, went, or is in another state. A backend's own words tell of its going. */
function backendChanges(previous: ServiceRecord | null, next: ServiceRecord | null): Attributes[] {
  const before = new Map(previous?.backends.map((b) => [b.container.id, b]));
  const changes = (next?.backends ?? []).flatMap(({ container, state }) => {
    const known = before.get(container.id);
    before.delete(container.id);
    return known?.state === state ? [] : [{ container: container.name, backend: state }];
  });
  const left = [...before.values()].filter(({ state }) => state !== 'gone');
  return [...changes, ...left.map(({ container }) => ({ container: container.name, backend: 'gone' }))];
}

function ports(record: ServiceRecord): string {
  return record.ports
    .map(({ port, backendPort, protocol }) => `${port}:${backendPort}/${protocol}`)
    .join(',');
}

/** Whatever the order of their members: a store may answer them in another one. */
function differs(a: object, b: object): boolean {
  return canonical(a) !== canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function serviceView(state: State, record: ServiceRecord): Service {
  const endpoints = record.backends.flatMap(({ endpoint }) => {
    const found = endpoint === null ? undefined : state.endpoints.get(endpoint);
    return found ? [found] : [];
  });
  const [network, ...others] = new Set(endpoints.map((endpoint) => endpoint.network));
  return {
    id: record.id,
    name: record.name,
    network: network === undefined || others.length > 0 ? null : state.networks.of(network).name,
    mode: 'vip',
    vip: null,
    vip6: null,
    ports: record.ports.map((port) => ({ ...port })),
    algorithm: record.algorithm,
    affinity: record.affinity,
    publish: record.publish.map((publish) => ({ ...publish })),
    allow: [...record.allow],
    idleTimeout: null,
    selector: {},
    declaredBy: { ...record.declaredBy },
    backends: record.backends.map(
      ({ endpoint, container, weight, state: backendState, healthy }): Backend => ({
        endpoint: endpoint === null ? null : (state.endpoints.get(endpoint)?.name ?? null),
        container: { ...container },
        weight,
        state: backendState,
        healthy,
      }),
    ),
    created: record.created,
  };
}
