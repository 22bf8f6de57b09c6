// SPDX-License-Identifier: Apache-2.0
/** Checks of backends, by a clock that the test turns, over a model that needs no kernel. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import type { HealthTarget } from '../../../src/cnm/types.js';
import { Prober } from '../../../src/health/prober.js';
import { isBackendAddress } from '../../../src/health/probes.js';
import { type Bench, failure, made, startModel } from '../support/model.js';

let bench: Bench;
let prober: Prober;
/** What is asked, and how to answer. */
let asked: { target: HealthTarget; signal: AbortSignal; answer: (well: boolean) => void }[];
beforeEach(async () => {
  bench = await startModel();
  await made(bench.model.createNetwork({ name: 'web', subnets: [{ cidr: '10.0.0.0/24' }] }));
  for (const name of ['a', 'b']) {
    await made(bench.model.createSandbox({ name }));
    await made(bench.model.connect(name, { network: 'web' }));
  }
  watch();
});
afterEach(() => prober.stop());

function watch(): void {
  asked = [];
  prober = new Prober({
    model: bench.model,
    probe: (target, signal) =>
      new Promise((answer) => {
        asked.push({ target, signal, answer });
        signal.addEventListener('abort', () => answer(false));
      }),
    clock: bench.clock,
    log: silentLog(),
  });
  prober.start();
}

const create = (backends = ['web.a']) =>
  made(
    bench.model.createService({
      name: 'shop',
      network: 'web',
      ports: ['80:8080'],
      health: { kind: 'http', path: '/up', interval: 10, timeout: 2, retries: 2 },
      backends: backends.map((endpoint) => ({ endpoint })),
    }),
  );
const states = () => bench.model.service('shop').backends.map(({ state, healthy }) => `${state} ${healthy}`);
const rows = () => bench.realizer.rows('service')[0]?.backends.map(({ state }) => state);
/** What is under way comes to its end. */
const settle = () => vi.waitFor(() => new Promise((resolve) => setTimeout(resolve, 0)));
const turn = async (seconds: number): Promise<void> => {
  bench.clock.advance(seconds * 1000);
  await settle();
};
/** Answers the one check that is under way. */
const answer = async (well: boolean): Promise<void> => {
  expect(asked).toHaveLength(1);
  asked.shift()?.answer(well);
  await settle();
};

it('takes a backend in with its first success, and out after so many failures', async () => {
  await create();
  expect([states(), rows()]).toEqual([['starting null'], []]);
  await turn(0);
  expect(asked[0]?.target).toMatchObject({
    address: '10.0.0.2',
    check: { kind: 'http', port: 8080, path: '/up' },
  });
  await answer(false);
  await turn(4.9);
  expect(asked).toEqual([]);
  // Who starts is asked more often.
  await turn(0.1);
  await answer(false);
  expect(states()).toEqual(['starting null']);
  await turn(5);
  await answer(true);
  expect([states(), rows()]).toEqual([['active true'], ['active']]);
  await turn(5);
  expect(asked).toEqual([]);
  await turn(5);
  await answer(false);
  expect(states()).toEqual(['active true']);
  await turn(10);
  await answer(false);
  // It keeps its flows.
  expect([states(), rows()]).toEqual([['draining false'], ['draining']]);
  await turn(10);
  await answer(true);
  expect([states(), rows()]).toEqual([['active true'], ['active']]);
  await turn(10);
  await answer(false);
  await turn(10);
  await answer(true);
  await turn(10);
  await answer(false);
  expect(states()).toEqual(['active true']);
});

it('counts as failed what takes too long', async () => {
  await create();
  await turn(0);
  await answer(true);
  for (let i = 0; i < 2; i++) {
    await turn(10);
    expect(asked).toHaveLength(1);
    await turn(2);
    expect(asked.shift()?.signal.aborted).toBe(true);
    await settle();
  }
  expect(states()).toEqual(['draining false']);
});

it('begins anew with who comes back, and stops with who goes', async () => {
  await create();
  await turn(0);
  await answer(true);
  await bench.model.leave('web.a');
  await turn(0);
  expect(states()).toEqual(['gone null']);
  await turn(60);
  expect(asked).toEqual([]);
  await bench.model.join('web.a', 'a');
  expect([states(), rows()]).toEqual([['starting null'], []]);
  await turn(0);
  const [late] = asked;
  await bench.model.leave('web.a');
  await turn(0);
  expect(late?.signal.aborted).toBe(true);
  asked.length = 0;
  await bench.model.join('web.a', 'a');
  // What was found of the one before says nothing of this one.
  await bench.model.setHealth(late?.target as HealthTarget, true);
  expect(states()).toEqual(['starting null']);
  await turn(0);
  await answer(true);
  expect(states()).toEqual(['active true']);
  await bench.model.removeService('shop');
  await turn(0);
  await turn(60);
  expect(asked).toEqual([]);
});

it('takes in backends that are added, and leaves services without a check alone', async () => {
  await create();
  await made(
    bench.model.createService({
      name: 'plain',
      network: 'web',
      ports: ['80'],
      backends: [{ endpoint: 'web.b' }],
    }),
  );
  await turn(0);
  expect(asked.map(({ target }) => target.address)).toEqual(['10.0.0.2']);
  await made(bench.model.addBackend('shop', { endpoint: 'web.b' }));
  await turn(0);
  expect(asked.map(({ target }) => target.address)).toEqual(['10.0.0.2', '10.0.0.3']);
  expect(bench.model.service('plain').backends).toMatchObject([{ state: 'active', healthy: null }]);
});

it('keeps what was in use over a restart, until it fails', async () => {
  await create();
  prober.stop();
  const { store, host, clock } = bench;
  await bench.model.stop();
  bench = await startModel({ store, host, clock });
  expect([states(), rows()]).toEqual([['active null'], ['active']]);
  watch();
  await settle();
  await answer(false);
  expect(states()).toEqual(['active null']);
  await turn(10);
  await answer(false);
  expect([states(), rows()]).toEqual([['draining false'], ['draining']]);
});

it('goes on where the kernel refuses', async () => {
  await create();
  await turn(0);
  bench.realizer.failing = { kind: 'service', times: 1 };
  await answer(true);
  expect(states()).toEqual(['active true']);
  await turn(10);
  await answer(true);
});

it('holds few sockets at a time', async () => {
  await made(bench.model.createNetwork({ name: 'big', subnets: [{ cidr: '10.1.0.0/16' }] }));
  await made(bench.model.connect('a', { network: 'big' }));
  await made(
    bench.model.createServices(
      Array.from({ length: 300 }, (_, i) => ({
        name: `s${i}`,
        network: 'big',
        ports: ['80'],
        health: { kind: 'tcp' as const },
        backends: [{ endpoint: 'big.a' }],
      })),
    ),
  );
  await turn(0);
  expect(asked).toHaveLength(256);
  for (const { answer: say } of asked.splice(0)) say(true);
  await settle();
  expect(asked).toHaveLength(44);
});

it('is not for networks that the host does not reach', async () => {
  await made(
    bench.model.createNetwork({
      name: 'lan',
      driver: 'macvlan',
      subnets: [{ cidr: '192.0.2.0/24' }],
      options: { parent: 'eth0' },
    }),
  );
  expect(
    await failure(
      bench.model.createService({
        name: 'x',
        network: 'lan',
        mode: 'dnsrr',
        ports: ['80'],
        health: { kind: 'tcp' },
      }),
    ),
  ).toMatchObject({ code: 'invalid_argument', field: 'health' });
});

it.each([
  ['10.0.0.2', true],
  ['fd00::2', true],
  ['127.0.0.1', false],
  ['169.254.169.254', false],
  ['0.0.0.0', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['::1', false],
  ['fe80::1', false],
  ['localhost', false],
])('%s may be a backend: %s', (address, may) => {
  expect(isBackendAddress(address)).toBe(may);
});
