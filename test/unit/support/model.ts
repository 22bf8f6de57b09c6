// SPDX-License-Identifier: Apache-2.0
/** A model over a store in memory, a realizer that pretends, and a host that says what the test wants. */
import { SluiceError } from '../../../src/base/errors.js';
import { silentLog } from '../../../src/base/log.js';
import type { AddressPlace, HostLink, HostSocket, HostView, PortRanges } from '../../../src/cnm/host.js';
import { CnmModel, type CnmOptions } from '../../../src/cnm/model.js';
import {
  type Owner,
  type Realizer,
  type Row,
  type RowKind,
  type RowStatus,
  rowKey,
} from '../../../src/cnm/rows.js';
import type { Endpoint, Network, Plan, Sandbox, Service } from '../../../src/cnm/types.js';
import { MemoryStore } from '../../../src/store/memory.js';
import type { Operation, Precondition } from '../../../src/store/store.js';
import { ManualClock } from './clock.js';

export class FakeHost implements HostView {
  ipv6 = true;
  cidrs: string[] = [];
  addresses: string[] = [];
  connected: string[] = [];
  sockets: (HostSocket & { protocol: 'tcp' | 'udp' })[] = [];
  links = new Set(['lo', 'eth0']);
  paths = new Set<string>();
  namespaces = new Map<string, string[]>();
  own = '/proc/1/ns/net';
  resolv = 'nameserver 192.0.2.53\nsearch example.net\n';

  /** Connected prefixes and addresses of links, by name; `cidrs`, `addresses` and `connected` are those of the others. */
  on = new Map<string, { cidrs: string[]; addresses: string[] }>();
  /** What links are, where they are not free Ethernet devices. */
  kinds = new Map<string, Partial<HostLink>>();

  async addressesAndRoutes(except?: string) {
    const of = [...this.on].flatMap(([name, facts]) => (name === except ? [] : [facts]));
    return {
      cidrs: [...this.cidrs, ...of.flatMap(({ cidrs }) => cidrs)],
      addresses: [...this.addresses, ...of.flatMap(({ addresses }) => addresses)],
      connected: [...this.connected, ...of.flatMap(({ cidrs }) => cidrs)],
    };
  }
  /** Of addresses that are not the host's own. */
  places = new Map<string, AddressPlace>();

  async placeOf(address: string) {
    return this.places.get(address) ?? 'own';
  }
  async link(name: string) {
    if (!this.links.has(name)) return null;
    return { kind: null, ethernet: true, master: null, ...this.kinds.get(name) };
  }
  async pathExists(path: string) {
    return this.paths.has(path) || this.namespaces.has(path);
  }
  async isNetns(path: string) {
    return this.namespaces.has(path) || path === this.own;
  }
  async isOwnNetns(path: string) {
    return path === this.own;
  }
  async linksIn(netns: string) {
    return this.namespaces.get(netns) ?? (netns === this.own ? [] : null);
  }
  async socketsOn(protocol: 'tcp' | 'udp', first: number, last: number) {
    return this.sockets.filter((s) => s.protocol === protocol && s.port >= first && s.port <= last);
  }
  ranges: PortRanges = { automatic: { first: 32768, last: 60999 }, reserved: '' };

  async portRanges() {
    return this.ranges;
  }
  async linkExists(name: string) {
    return this.links.has(name);
  }
  async resolvConf() {
    return this.resolv;
  }
}

/** Keeps rows by owner, as the kernel would; fails and waits as told. */
export class FakeRealizer implements Realizer {
  readonly owners = new Map<string, readonly Row[]>();
  readonly applied: { owner: Owner; rows: readonly Row[] }[] = [];
  /** Applying a row of this kind fails, this many times. */
  failing: { kind: RowKind; times: number } | null = null;
  /** Removing rows of such owners fails, this many times. */
  failingRemovals = 0;
  delay: (() => Promise<void>) | null = null;
  running = 0;
  mostRunning = 0;
  errors = new Map<string, string>();

  async apply(owner: Owner, rows: readonly Row[]): Promise<void> {
    this.applied.push({ owner, rows });
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    try {
      await this.delay?.();
      const key = `${owner.kind}/${owner.id}`;
      if (rows.length === 0) this.owners.delete(key);
      else this.owners.set(key, rows);
      const fails =
        (this.failing && this.failing.times > 0 && rows.some(({ kind }) => kind === this.failing?.kind)) ||
        (rows.length === 0 && this.failingRemovals > 0);
      if (fails) {
        if (rows.length === 0) this.failingRemovals--;
        else if (this.failing) this.failing.times--;
        throw new SluiceError('kernel', 'the fake kernel refused');
      }
      this.#checkKeys();
    } finally {
      this.running--;
    }
  }

  status(): readonly RowStatus[] {
    return [...this.owners].flatMap(([key, rows]) => {
      const [kind, id] = key.split('/') as [Owner['kind'], string];
      return rows.map((row): RowStatus => {
        const error = this.errors.get(`${row.kind} ${rowKey(row)}`);
        return {
          owner: { kind, id },
          row,
          ...(error === undefined ? { state: 'done' } : { state: 'error', error }),
        };
      });
    });
  }

  problems(): readonly RowStatus[] {
    return this.status().filter(({ state }) => state !== 'done');
  }

  rows<K extends RowKind>(kind: K): Extract<Row, { kind: K }>[] {
    return [...this.owners.values()]
      .flat()
      .filter((row): row is Extract<Row, { kind: K }> => row.kind === kind);
  }

  /** No two owners may want the same thing. */
  #checkKeys(): void {
    const keys = [...this.owners.values()].flat().map((row) => `${row.kind} ${rowKey(row)}`);
    if (new Set(keys).size !== keys.length) throw new Error('two rows have the same key');
  }
}

/** Fails the writes that the test names. */
export class FaultyStore extends MemoryStore {
  /** Counts down with each transaction; the one that makes it 0 fails, and `failures` - 1 more. */
  failAfter = Number.POSITIVE_INFINITY;
  failures = 1;
  transactions = 0;
  gate: Promise<void> | null = null;

  override async transaction(operations: readonly Operation[], preconditions: readonly Precondition[] = []) {
    this.transactions++;
    await this.gate;
    if (--this.failAfter <= 0 && this.failures-- > 0) {
      throw new SluiceError('store', 'No space left on device');
    }
    return super.transaction(operations, preconditions);
  }
}

export interface Bench {
  readonly store: FaultyStore;
  readonly realizer: FakeRealizer;
  readonly host: FakeHost;
  readonly clock: ManualClock;
  readonly model: CnmModel;
}

export async function startModel(
  parts: Partial<Omit<Bench, 'model'>> & Pick<Partial<CnmOptions>, 'pools' | 'resolver'> = {},
): Promise<Bench> {
  const {
    store = new FaultyStore(),
    realizer = new FakeRealizer(),
    host = new FakeHost(),
    clock = new ManualClock(),
    pools,
    resolver = false,
  } = parts;
  const model = new CnmModel({
    store,
    realizer,
    host,
    clock,
    log: silentLog(),
    masqueradePorts: { first: 32768, last: 65535 },
    resolver,
    ...(pools ? { pools } : {}),
  });
  for (const [owner, rows] of await model.start()) await realizer.apply(owner, rows);
  return { store, realizer, host, clock, model };
}

/** The object of a call that was no dry run. */
export async function made<T extends Network | Sandbox | Endpoint | Service | Service[]>(
  answer: Promise<T | Plan>,
): Promise<T> {
  const result = await answer;
  if ('dryRun' in result) throw new Error('this was a dry run');
  return result;
}

export async function planned(answer: Promise<unknown>): Promise<Plan> {
  return (await answer) as Plan;
}

/** The SluiceError that `run` fails with. */
export async function failure(run: Promise<unknown> | (() => unknown)): Promise<SluiceError> {
  try {
    await (typeof run === 'function' ? run() : run);
  } catch (e) {
    if (e instanceof SluiceError) return e;
    throw e;
  }
  throw new Error('nothing failed');
}

/** All that a failed or dry change must leave alone. */
export async function snapshot({ model, realizer, store }: Bench): Promise<string> {
  const entries = (await store.list('')).filter(({ key }) => key !== 'generation' && key !== 'ula');
  return JSON.stringify({
    networks: model.networks(),
    sandboxes: model.sandboxes(),
    endpoints: model.endpoints(),
    services: model.services(),
    rows: [...realizer.owners].sort(([a], [b]) => (a < b ? -1 : 1)),
    store: entries.map(({ key, value }) => [key, value]),
  });
}
