// SPDX-License-Identifier: Apache-2.0
/** Keeps the model's services as the containers' labels declare them. */
import type { Clock, Timer } from '../../base/clock.js';
import { Coalesced } from '../../base/coalesced.js';
import type { Log } from '../../base/log.js';
import { remoteId } from '../../cnm/remote/types.js';
import type { ChangeEvent, DeclarationProblem, Endpoint, Service, ServiceIntent } from '../../cnm/types.js';
import { declaredBy, type Problem } from './declared.js';
import { PUBLISH, SERVICE } from './labels.js';
import type { Container } from './picture.js';

/** What is used of the model. */
export interface ServiceModel {
  services(): Service[];
  declareServices(intents: readonly ServiceIntent[]): Promise<DeclarationProblem[]>;
  endpoints(): Endpoint[];
  emit(event: ChangeEvent): void;
}

export interface FollowerOptions {
  readonly model: ServiceModel;
  /** null: the Engine is away, and what is declared stays as it was. */
  readonly containers: () => readonly Container[] | null;
  readonly clock: Clock;
  readonly log: Log;
}

const RETRY = 5000;

export class ServiceFollower {
  readonly #o: FollowerOptions;
  readonly #update = new Coalesced(() => this.#declare());
  #problems: readonly Problem[] = [];
  #retry: Timer | null = null;
  #stopped = false;

  constructor(options: FollowerOptions) {
    this.#o = options;
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** Resolves when the model has what containers declare at this moment. */
  async update(): Promise<void> {
    if (this.#stopped) return;
    try {
      await this.#update.run();
    } catch (err) {
      if (this.#stopped) return;
      this.#o.log.error('services could not be kept as containers declare them; retried', { err });
      this.#retry?.cancel();
      this.#retry = this.#o.clock.after(RETRY, () => void this.update());
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await this.#update.run().catch(() => undefined);
  }

  async #declare(): Promise<void> {
    const { model } = this.#o;
    const containers = this.#o.containers();
    if (containers === null || this.#stopped) return;
    const ours = new Set(model.endpoints().map(({ id }) => id));
    const holders = new Map(
      model.services().flatMap(({ name, declaredBy: by }) => (by === null ? [] : [[name, by.id] as const])),
    );
    const { services, problems } = declaredBy(containers, holders, ({ networks }) => {
      const ids = networks.flatMap(({ endpointId }) => (endpointId === '' ? [] : [remoteId(endpointId)]));
      return ids.filter((id) => ours.has(id));
    });
    const refused = await model.declareServices(services);
    const declarer = new Map(services.map((service) => [service.name, service.declaredBy]));
    this.#tell([
      ...problems,
      ...refused.map(
        ({ service, about, message }): Problem => ({
          container: declarer.get(service) as Problem['container'],
          service,
          label: about === 'publish' ? PUBLISH : SERVICE,
          message,
        }),
      ),
    ]);
  }

  /** Each once, when it comes up. */
  #tell(problems: readonly Problem[]): void {
    const { model, clock, log } = this.#o;
    const told = new Set(this.#problems.map((problem) => JSON.stringify(problem)));
    this.#problems = problems;
    for (const problem of problems) {
      if (told.has(JSON.stringify(problem))) continue;
      const { container, service, label, message } = problem;
      log.warn('a label of a container counts for nothing', {
        container: container.name,
        label,
        why: message,
      });
      model.emit({
        time: clock.now(),
        type: 'container',
        action: 'error',
        id: container.id,
        name: container.name,
        attributes: { label, error: message, ...(service === null ? {} : { service }) },
      });
    }
  }
}
