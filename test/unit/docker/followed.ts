// SPDX-License-Identifier: Apache-2.0
/** A followed Engine beside a model that needs no kernel. The Engine's sockets are real, the clock is the test's. */
import { vi } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import type { ChangeEvent } from '../../../src/cnm/types.js';
import { DockerEngine } from '../../../src/docker/engine/engine.js';
import { type Bench, startModel } from '../support/model.js';
import type { FakeEngine } from './fake-engine.js';

export interface Followed extends Bench {
  readonly fake: FakeEngine;
  readonly engine: DockerEngine;
  readonly events: ChangeEvent[];
  /** Container's name and state of each backend, `web1 active`. */
  backends(service: string): string[];
  /** Waits for what the sockets bring. */
  until(check: () => void): Promise<void>;
  connected(): Promise<void>;
  /** A new daemon over the same store. */
  restarted(): Promise<Followed>;
  stop(): Promise<void>;
}

export async function follow(fake: FakeEngine, parts: Partial<Bench> = {}): Promise<Followed> {
  const { store, realizer, host, clock } = parts;
  const bench = await startModel({
    ...(store ? { store } : {}),
    ...(realizer ? { realizer } : {}),
    ...(host ? { host } : {}),
    ...(clock ? { clock } : {}),
  });
  const { model } = bench;
  const events: ChangeEvent[] = [];
  model.onChange((event) => events.push(event));
  const engine = new DockerEngine({ address: fake.address, model, clock: bench.clock, log: silentLog() });
  engine.start();
  const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 5000, interval: 5 });
  const stop = async (): Promise<void> => {
    await engine.stop();
    await model.stop();
  };
  return {
    ...bench,
    fake,
    engine,
    events,
    backends: (service) =>
      model
        .services()
        .filter(({ name }) => name === service)
        .flatMap(({ backends }) => backends.map(({ container, state }) => `${container?.name} ${state}`)),
    until,
    connected: () =>
      until(() => {
        if (engine.status().connected) return;
        // Pauses between two tries go by as fast as the test looks.
        bench.clock.advance(100);
        throw new Error('not connected');
      }),
    restarted: async () => {
      await stop();
      return follow(fake, bench);
    },
    stop,
  };
}
