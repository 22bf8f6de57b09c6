// SPDX-License-Identifier: Apache-2.0
/**
 * Services as containers' labels declare them. What a declaration wants and
 * cannot have (an address, a host port) keeps nothing else back; it is told,
 * and tried again with the next declaration.
 */
import { SluiceError } from '../../base/errors.js';
import { newId } from '../../base/ids.js';
import type { Change } from '../change.js';
import { type Context, makeChange, now } from '../context.js';
import { findDriver } from '../drivers/registry.js';
import { type HostSockets, lookAtSockets } from '../publishing.js';
import type { BackendRecord, NetworkRecord, ServiceRecord } from '../records.js';
import type { DeclarationProblem, ServiceIntent, ServicePublish } from '../types.js';
import {
  checkNetwork,
  claimName,
  dropAddress,
  forgetService,
  releaseBackend,
  takeBackendId,
  takeNumber,
} from './building.js';
import { stageServices } from './planning.js';
import { dropPort, specsOf, takePort } from './publishing.js';
import { portsText } from './views.js';
import { takeVip } from './vips.js';

type Attributes = Record<string, string>;
type Tell = (about: 'network' | 'publish', e: unknown) => void;

export class Declaring {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** These services are there, and no others that were declared. What is as it was is not written again. */
  declare(intents: readonly ServiceIntent[]): Promise<DeclarationProblem[]> {
    const { state, host, locks } = this.#context;
    return locks.with('declared', '', 'exclusive', async () => {
      const problems: DeclarationProblem[] = [];
      const left = new Map(
        state.services.all().flatMap((record) => (record.declaredBy ? [[record.name, record] as const] : [])),
      );
      const sockets = await lookAtSockets(
        host,
        intents.flatMap(({ name, publish }) => specsOf(missing(left.get(name), publish))),
      );
      const known = intents.map((intent) => ({ intent, id: left.get(intent.name)?.id ?? null }));
      for (const { name } of intents) left.delete(name);
      // First what goes: others may want its ports and addresses.
      const results = await Promise.allSettled([...left.values()].map(({ id }) => this.#remove(id)));
      results.push(
        ...(await Promise.allSettled(
          known.map(async ({ intent, id }) => {
            try {
              await this.#update(id, intent, sockets, problems);
            } catch (e) {
              if (!(e instanceof SluiceError) || e.code !== 'conflict') throw e;
              problems.push({ service: intent.name, about: 'service', message: e.message });
            }
          }),
        )),
      );
      const failed = results.find((result) => result.status === 'rejected');
      if (failed) throw failed.reason;
      return problems.sort((a, b) => (a.service < b.service ? -1 : 1));
    });
  }

  /** As it is while none of its containers is on a network of ours. */
  withoutNetwork(change: Change, record: ServiceRecord): ServiceRecord {
    dropAddress(this.#context, change, record);
    for (const port of record.publish) dropPort(this.#context, change, record.id, port);
    for (const backend of record.backends)
      change.onDone(() => releaseBackend(this.#context, record.id, backend));
    return {
      ...record,
      network: null,
      number: null,
      vip: null,
      vip6: null,
      publish: record.publish.map((port) => ({ ...port, id: null, hostIp: '' })),
      backends: record.backends.map((backend) => ({ ...backend, id: null, endpoint: null })),
    };
  }

  #remove(id: string): Promise<void> {
    const { state, emit, locks } = this.#context;
    return locks.with('service', id, 'exclusive', async () => {
      const record = state.services.get(id);
      if (!record) return;
      await makeChange(this.#context, `service '${record.name}' could not be removed`, false, (change) => {
        change.forward = true;
        stageServices(state, change, [{ id, previous: record, next: null }]);
        forgetService(this.#context, change, record);
        return () => {
          emit('service', 'remove', record);
          this.#tell(record, null);
        };
      });
    });
  }

  #update(
    known: string | null,
    intent: ServiceIntent,
    sockets: HostSockets,
    problems: DeclarationProblem[],
  ): Promise<void> {
    const { state, locks } = this.#context;
    const id = known ?? newId();
    return locks.with('service', id, 'exclusive', async () => {
      const previous = state.services.get(id) ?? null;
      const wrong: DeclarationProblem[] = [];
      const tell: Tell = (about, e) => {
        if (!(e instanceof SluiceError)) throw e;
        wrong.push({ service: intent.name, about, message: e.message });
      };
      const what = `service '${intent.name}' could not be made as its containers declare it`;
      let changed = true;
      await makeChange(this.#context, what, false, (change) => {
        // The containers are as they are, whether or not the kernel can follow now.
        change.forward = true;
        const next = this.#build(change, id, previous, intent, sockets, tell);
        changed = previous === null || differs(previous, next);
        if (!changed) return () => undefined;
        change.store(`services/${id}`, next, previous);
        stageServices(state, change, [{ id, previous, next }]);
        change.onDone(() => state.services.set(next));
        return () => this.#tell(previous, next);
      });
      problems.push(...wrong);
    });
  }

  #build(
    change: Change,
    id: string,
    previous: ServiceRecord | null,
    intent: ServiceIntent,
    sockets: HostSockets,
    tell: Tell,
  ): ServiceRecord {
    const { name, ports, algorithm, affinity, allow, declaredBy } = intent;
    if (previous === null) {
      claimName(this.#context, change, id, name);
      const { state } = this.#context;
      change.allocated(
        () => state.setPending(id, `service '${name}'`),
        () => state.setPending(id, null),
      );
      change.onDone(() => state.setPending(id, null));
    }
    const base: ServiceRecord = previous ?? { ...NOTHING, id, name, declaredBy, created: now(this.#context) };
    const network = this.#network(base, intent);
    const stays = base.network === null || base.network === network?.id;
    const placed = stays ? base : this.withoutNetwork(change, base);
    const addressed = this.#address(change, placed, network, tell);
    const told = { ...addressed, ports, algorithm, affinity, allow, declaredBy };
    return {
      ...told,
      publish: this.#publish(change, told, network, intent.publish, sockets, tell),
      backends: this.#backends(change, told, intent),
    };
  }

  /** Where it is as long as any of its containers is there; then where the first one is. */
  #network(record: ServiceRecord, { backends }: ServiceIntent): NetworkRecord | null {
    const { state } = this.#context;
    const where = backends.flatMap(({ endpoints }) =>
      endpoints.flatMap((id) => state.endpoints.get(id)?.network ?? []),
    );
    const stays = record.network !== null && (where.length === 0 || where.includes(record.network));
    const id = stays ? record.network : where[0];
    return id === null || id === undefined ? null : (state.networks.get(id) ?? null);
  }

  #address(change: Change, record: ServiceRecord, network: NetworkRecord | null, tell: Tell): ServiceRecord {
    if (network === null) return record;
    const placed = { ...record, network: network.id };
    try {
      checkNetwork(network, 'vip');
      const take = (family: 4 | 6) => takeVip(this.#context, change, record.id, network, family);
      return change.attempt(() => ({
        ...placed,
        vip: record.vip ?? take(4),
        vip6: record.vip6 ?? take(6),
        number: record.number ?? takeNumber(this.#context, change),
      }));
    } catch (e) {
      tell('network', e);
      return placed;
    }
  }

  #publish(
    change: Change,
    record: ServiceRecord,
    network: NetworkRecord | null,
    wanted: readonly ServicePublish[],
    sockets: HostSockets,
    tell: Tell,
  ): ServiceRecord['publish'] {
    for (const port of record.publish) {
      if (!wanted.some((other) => samePort(port, other))) dropPort(this.#context, change, record.id, port);
    }
    return wanted.map((port) => {
      const held = record.publish.find((other) => other.id !== null && samePort(other, port));
      if (held) return held;
      const unpublished = { id: null, hostIp: '', ...port };
      if (network === null || record.vip === null) return unpublished;
      try {
        findDriver(network.driver).validateEndpoint({ network: network.id, ports: ['publish'] }, network);
        return change.attempt(() => takePort(this.#context, change, record.id, network, port, sockets));
      } catch (e) {
        tell('publish', e);
        return unpublished;
      }
    });
  }

  #backends(change: Change, record: ServiceRecord, intent: ServiceIntent): BackendRecord[] {
    const { state } = this.#context;
    const before = new Map(record.backends.map((backend) => [backend.declared?.container.id, backend]));
    const backends = intent.backends.map(
      ({ container, endpoints, weight, state: seen, healthy }): BackendRecord => {
        const endpoint = endpoints.find((id) => state.endpoints.get(id)?.network === record.network) ?? null;
        const declared = { container, state: seen, healthy };
        const known = before.get(container.id);
        if (endpoint === null) return { id: null, endpoint, weight, declared };
        // Flows carry the number: another endpoint has another one.
        const kept = known?.endpoint === endpoint ? known.id : null;
        const id = kept ?? takeBackendId(this.#context, change, record.number !== null);
        return { id, endpoint, weight, declared };
      },
    );
    const kept = new Set(backends.map(({ id }) => id));
    for (const backend of record.backends) {
      if (kept.has(backend.id)) continue;
      change.onDone(() => releaseBackend(this.#context, record.id, backend));
    }
    return backends;
  }

  #tell(previous: ServiceRecord | null, next: ServiceRecord | null): void {
    const { emit } = this.#context;
    const record = (next ?? previous) as ServiceRecord;
    if (next !== null && previous === null) emit('service', 'create', next, { ports: portsText(next) });
    else if (next !== null && previous !== null && differs(settings(previous), settings(next)))
      emit('service', 'update', next, { ports: portsText(next) });
    for (const attributes of backendChanges(previous, next)) emit('service', 'update', record, attributes);
  }
}

const NOTHING = {
  network: null,
  mode: 'vip',
  number: null,
  vip: null,
  vip6: null,
  ports: [],
  algorithm: 'random',
  affinity: null,
  idleTimeout: null,
  publish: [],
  allow: [],
  selector: {},
  health: null,
  backends: [],
} satisfies Omit<ServiceRecord, 'id' | 'name' | 'declaredBy' | 'created'>;

/** Those that it does not hold already. */
function missing(record: ServiceRecord | undefined, wanted: readonly ServicePublish[]): ServicePublish[] {
  return wanted.filter(
    (port) => !record?.publish.some((other) => other.id !== null && samePort(other, port)),
  );
}

function samePort(a: ServicePublish, b: ServicePublish): boolean {
  return a.hostPort === b.hostPort && a.port === b.port && a.protocol === b.protocol;
}

function settings({ backends: _, ...rest }: ServiceRecord): Omit<ServiceRecord, 'backends'> {
  return rest;
}

/** One for each backend that came, went, or is in another state. A backend's own words tell of its going. */
function backendChanges(previous: ServiceRecord | null, next: ServiceRecord | null): Attributes[] {
  const seen = (record: ServiceRecord | null) =>
    record?.backends.flatMap(({ declared }) => declared ?? []) ?? [];
  const before = new Map(seen(previous).map((declared) => [declared.container.id, declared]));
  const changes = seen(next).flatMap(({ container, state }) => {
    const known = before.get(container.id);
    before.delete(container.id);
    return known?.state === state ? [] : [{ container: container.name, backend: state }];
  });
  const left = [...before.values()].filter(({ state }) => state !== 'gone');
  return [...changes, ...left.map(({ container }) => ({ container: container.name, backend: 'gone' }))];
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
