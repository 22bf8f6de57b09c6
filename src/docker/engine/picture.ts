// SPDX-License-Identifier: Apache-2.0
/** Containers as last seen, and what events say about them until they are looked at again. No waiting here. */
import type { Attachment, ContainerInspect, ContainerSummary, EngineEvent, Health } from './shapes.js';

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
  /** null: it has no HEALTHCHECK. */
  readonly health: Health;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Milliseconds since the epoch; 0: never, or not known yet. */
  readonly startedAt: number;
  /** Seconds that a stop waits before it kills; null: it waits for ever. */
  readonly stopTimeout: number | null;
  /** Since when it has been asked to stop, by its Engine's clock; null: it has not. */
  readonly stopping: number | null;
  readonly networks: readonly Attachment[];
}

interface Entry {
  readonly container: Container;
  readonly stopSignal: number;
}

/** Docker's, in seconds. */
const STOP_TIMEOUT = 10;
const SIGKILL = 9;
const SIGTERM = 15;
const RUNNING: readonly string[] = ['running', 'paused'];

export function isRunning({ state }: Pick<Container, 'state'>): boolean {
  return RUNNING.includes(state);
}

/** What an event asks for: `look` at the container, since the event alone does not say enough. */
export type Effect = 'none' | 'changed' | 'look';

export class Picture {
  readonly #entries = new Map<string, Entry>();
  /** Counts the events about a container, so that an older look does not undo them. */
  readonly #revisions = new Map<string, number>();
  #revision = 0;

  all(): Container[] {
    return [...this.#entries.values()].map(({ container }) => container);
  }

  get(id: string): Container | undefined {
    return this.#entries.get(id)?.container;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Grows with each event about the container; 0: none yet. */
  revision(id: string): number {
    return this.#revisions.get(id) ?? 0;
  }

  /** A look at all is at this point of time. */
  get now(): number {
    return this.#revision;
  }

  /** From a listing, which says less than a look: what it does not say stays. */
  list(summary: ContainerSummary): void {
    const known = this.#entries.get(summary.id);
    const container: Container = {
      ...pick(summary),
      startedAt: known?.container.startedAt ?? 0,
      stopTimeout: known ? known.container.stopTimeout : STOP_TIMEOUT,
      stopping: isRunning(summary) ? (known?.container.stopping ?? null) : null,
    };
    this.#entries.set(summary.id, { container, stopSignal: known?.stopSignal ?? SIGTERM });
  }

  look(inspect: ContainerInspect): void {
    const { startedAt, stopTimeout, stopSignal } = inspect;
    const known = this.#entries.get(inspect.id)?.container;
    const sameRun = isRunning(inspect) && (known?.startedAt === startedAt || known?.startedAt === 0);
    const container: Container = {
      ...pick(inspect),
      startedAt,
      stopTimeout: stopTimeout === null ? STOP_TIMEOUT : stopTimeout < 0 ? null : stopTimeout,
      stopping: sameRun ? (known?.stopping ?? null) : null,
    };
    this.#entries.set(inspect.id, { container, stopSignal });
  }

  /** Does a listing tell of something that the picture does not have? */
  differs(summary: ContainerSummary): boolean {
    const known = this.#entries.get(summary.id)?.container;
    return known === undefined || print(known) !== print(summary);
  }

  remove(id: string): boolean {
    return this.#entries.delete(id);
  }

  /** Forgets counts of containers that are no more. */
  tidy(): void {
    for (const id of this.#revisions.keys()) if (!this.#entries.has(id)) this.#revisions.delete(id);
  }

  /** It asked to stop, and did not within its time: it goes on. */
  goesOn(id: string): void {
    this.#change(id, () => ({ stopping: null }));
  }

  event({ type, action, detail, id: actor, attributes, time }: EngineEvent): Effect {
    const id = type === 'network' ? (attributes.container ?? '') : actor;
    if (id === '') return 'none';
    this.#revisions.set(id, ++this.#revision);
    if (type === 'network') return action === 'connect' || action === 'disconnect' ? 'look' : 'none';
    const entry = this.#entries.get(id);
    if (action === 'destroy') return this.remove(id) ? 'changed' : 'none';
    if (!entry) return 'look';
    // Of an earlier run: the container has been looked at since.
    if (time < entry.container.startedAt) return 'none';
    switch (action) {
      case 'kill': {
        const signal = Number(attributes.signal);
        if (signal !== entry.stopSignal && signal !== SIGKILL) return 'none';
        this.#change(id, ({ stopping }) => ({ stopping: stopping ?? time }));
        return 'changed';
      }
      case 'die':
        this.#change(id, () => ({ state: 'exited', stopping: null }));
        return 'look';
      case 'health_status': {
        const health = detail || attributes.health_status;
        if (health !== 'starting' && health !== 'healthy' && health !== 'unhealthy') return 'look';
        this.#change(id, () => ({ health }));
        return 'changed';
      }
      default:
        return 'look';
    }
  }

  #change(id: string, change: (container: Container) => Partial<Container>): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    const container = { ...entry.container, ...change(entry.container) };
    this.#entries.set(id, { ...entry, container });
  }
}

function pick({ id, name, labels, state, health, created, networks }: ContainerSummary) {
  return { id, name, labels, state, health, created, networks };
}

/** What a listing and a look both tell. Health is there only while it runs. */
function print(container: ContainerSummary | Container): string {
  const { name, state, health, networks } = container;
  const attached = networks.map(({ networkId, endpointId, ipv4 }) => `${networkId} ${endpointId} ${ipv4}`);
  return JSON.stringify([name, state, isRunning(container) ? health : null, attached.sort()]);
}
