// SPDX-License-Identifier: Apache-2.0
/**
 * What two versions of Docker really said, in the order in which they said it
 * (test/fixtures/docker-traces.jsonl). What the plugin chose then is asked for
 * by name; `pool` is the name of a pool in later requests; `refused` are calls
 * whose answer was an error, or that were lost. Some containers went between
 * the scenarios.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Plugin, startPlugin } from './support.js';

interface Call {
  method: string;
  request?: Record<string, unknown>;
  pool?: string;
  refused?: boolean;
}
interface Scenario {
  engine: string;
  scenario: string;
  calls: Call[];
}

const SCENARIOS = readFileSync(join(import.meta.dirname, '../../fixtures/docker-traces.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Scenario);

/** What the plugin of the traces allowed and ours does not, by the beginning of the scenario's name. */
const REFUSED: readonly { scenario: string; method: string; why: RegExp }[] = [
  {
    scenario: 'net-create-duplicate-subnet',
    method: 'IpamDriver.RequestAddress',
    why: /belongs to a network's gateway/,
  },
  {
    scenario: 'conflict-same-hostport-second',
    method: 'NetworkDriver.CreateEndpoint',
    why: /is published by/,
  },
];

/** Docker was stopped before these, with all its containers. */
const RESTARTED: readonly string[] = ['dockerd-start-after-graceful-stop', 'iptables-false-run'];

class Replay {
  plugin: Plugin;
  readonly #pools = new Map<string, string>();
  /** Endpoints that ours refused: what follows belongs to another story. */
  readonly #unborn = new Set<unknown>();
  readonly refusals: string[] = [];

  constructor(plugin: Plugin) {
    this.plugin = plugin;
  }

  /** The daemon is killed and started again. */
  async restart(): Promise<void> {
    const { store, realizer, host, clock } = this.plugin;
    this.plugin = await startPlugin({ store, realizer, host, clock });
  }

  async say(
    engine: string,
    times: number,
    each: (call: Call) => Promise<void> = async () => {},
  ): Promise<void> {
    for (const { calls, scenario } of SCENARIOS.filter((s) => s.engine === engine)) {
      if (RESTARTED.includes(scenario)) await this.#stopAll();
      for (const call of calls) {
        await each(call);
        // What went wrong at the time never arrives.
        if (call.refused) continue;
        // Pools are counted, and nobody gets an address twice.
        const again = /^IpamDriver.(Request|ReleasePool)/.test(call.method) ? 1 : times;
        for (let time = 0; time < again; time++) await this.#deliver(scenario, call);
      }
    }
  }

  /** Docker does so when it stops. */
  async #stopAll(): Promise<void> {
    for (const { id } of this.plugin.model.endpoints()) {
      await this.plugin.ok('NetworkDriver.Leave', { NetworkID: 'any', EndpointID: id });
      await this.plugin.ok('NetworkDriver.DeleteEndpoint', { NetworkID: 'any', EndpointID: id });
    }
  }

  async #deliver(scenario: string, call: Call): Promise<void> {
    const request = this.#request(call);
    if (call.method === 'IpamDriver.RequestAddress' && !('RequestAddressType' in Object(request?.Options))) {
      await this.#vacate(request?.PoolID, request?.Address);
    }
    if (this.#unborn.has(request?.EndpointID)) return;
    const answer = await this.plugin.call(call.method, request);
    if ('Err' in answer) {
      const known = REFUSED.find((r) => scenario.startsWith(r.scenario) && r.method === call.method);
      if (known === undefined || !known.why.test(String(answer.Err))) {
        this.refusals.push(`${scenario}: ${call.method}: ${answer.Err}`);
      } else if (request?.EndpointID) {
        this.#unborn.add(request.EndpointID);
      }
      return;
    }
    this.#check(call, answer);
    if (call.pool) this.#pools.set(call.pool, String(answer.PoolID));
  }

  #request({ request }: Call): Record<string, unknown> | undefined {
    const pool = this.#pools.get(String(request?.PoolID));
    return pool ? { ...request, PoolID: pool } : request;
  }

  /** Whoever has the address that is asked for went unrecorded. */
  async #vacate(pool: unknown, address: unknown): Promise<void> {
    const { model, store } = this.plugin;
    const leases = await store.list('leases/');
    const holder = model.endpoints().find(({ ipv4, ipv6 }) => ipv4 === address || ipv6 === address);
    const left = holder?.sandbox === null;
    if (!leases.some(({ value }) => isLease(value, pool, address)) && (!holder || left)) return;
    const of = { NetworkID: 'gone', EndpointID: holder?.id ?? 'gone' };
    await this.plugin.ok('NetworkDriver.Leave', of);
    await this.plugin.ok('NetworkDriver.DeleteEndpoint', of);
    await this.plugin.ok('IpamDriver.ReleaseAddress', { PoolID: pool, Address: address });
  }

  #check({ method, request }: Call, answer: Record<string, unknown>): void {
    switch (method) {
      case 'IpamDriver.RequestAddress':
        expect(answer.Address).toMatch(new RegExp(`^${request?.Address}/\\d+$`));
        break;
      case 'NetworkDriver.CreateEndpoint': {
        const { MacAddress } = Object(request).Interface as { MacAddress: string };
        expect(answer).toEqual({
          Interface: MacAddress ? {} : { MacAddress: expect.stringMatching(/^02(:[0-9a-f]{2}){5}$/) },
        });
        break;
      }
      case 'NetworkDriver.Join':
        expect(answer.InterfaceName).toEqual({
          SrcName: expect.stringMatching(/^slp\w{1,12}$/),
          DstPrefix: 'eth',
        });
        break;
      case 'NetworkDriver.EndpointOperInfo':
        expect(answer).toEqual({ Value: {} });
        break;
    }
  }

  /** Nothing is left but what the calls that were lost would have removed. */
  async end(): Promise<void> {
    const { model, realizer } = this.plugin;
    for (const { id } of model.endpoints()) await model.remote.removeEndpoint(id);
    for (const { endpoints } of model.sandboxes()) expect(endpoints).toEqual([]);
    for (const { id } of model.networks()) await model.removeNetwork(id, false, true);
    expect(model.endpoints()).toEqual([]);
    expect(model.networks()).toEqual([]);
    expect(model.sandboxes()).toEqual([]);
    expect([...realizer.owners.values()].flat()).toEqual([]);
    expect(model.usage().every(({ used }) => used === 0)).toBe(true);
  }
}

function isLease(value: unknown, pool: unknown, address: unknown): boolean {
  const lease = value as { pool: string; address: string; use: string };
  return lease.pool === pool && lease.address === address && lease.use === 'host';
}

/** Late enough for what is forgotten to be known as such. */
const LATER = 600_000;

describe.each(['20.10.24', '28.5.2'])('Docker %s', (engine) => {
  it('is understood, call by call', async () => {
    const replay = new Replay(await startPlugin());
    await replay.say(engine, 1);
    expect(replay.refusals).toEqual([]);
    const stored = await replay.plugin.store.list('leases/');
    expect(stored.length).toBeLessThan(8);
    replay.plugin.clock.advance(LATER);
    await replay.end();
  });

  it('may say everything twice', async () => {
    const replay = new Replay(await startPlugin());
    await replay.say(engine, 2);
    expect(replay.refusals).toEqual([]);
    replay.plugin.clock.advance(LATER);
    await replay.end();
  });

  it('finds the daemon as it left it after every restart', async () => {
    const replay = new Replay(await startPlugin());
    let n = 0;
    await replay.say(engine, 1, async () => {
      if (++n % 7 === 0) await replay.restart();
    });
    expect(replay.refusals).toEqual([]);
    replay.plugin.clock.advance(LATER);
    await replay.end();
  });
});
