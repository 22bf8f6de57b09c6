// SPDX-License-Identifier: Apache-2.0
import { type Clock, sleep } from '../../base/clock.js';
import { isNativeError, SluiceError } from '../../base/errors.js';
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import type { AllowKey, KernelMap, KernelMaps, ServiceKey, ServicePortValue } from '../kernel.js';
import type { Actual, Ops, Stray } from '../ops.js';
import { type BackendSizes, Backends, type BackendsRead } from '../service/backends.js';
import { choiceOf, sameChoice, tableOf } from '../service/choice.js';
import { type ChoiceSizes, Choices, NOWHERE, type Place } from '../service/choices.js';
import { portEntries, portKeys, portText, portTexts, samePort, vips } from '../service/ports.js';
import { allowKeys, allowText, isOfService, PUBLISH_ALLOW_SERVICE } from './allow.js';
import { isIpv6 } from './values.js';

type ServiceMaps = Pick<
  KernelMaps,
  | 'services4'
  | 'services6'
  | 'service_slots'
  | 'service_table'
  | 'service_backends'
  | 'backend_endpoints'
  | 'backend_load'
  | 'backend_traffic'
  | 'service_refusals'
  | 'publish_allow'
>;

export interface ServiceOpsOptions {
  sizes: ChoiceSizes & BackendSizes;
  clock: Clock;
  /** Backends that left: their figures are theirs until the id is given again. */
  onLeft?(service: number, ids: readonly number[]): void;
  onRemoved?(service: number): void;
}

/** What the kernel may hold of a service. */
interface Held {
  /** Contents, the newest last. One, exactly as the kernel has it, if `sound`. */
  readonly rows: readonly ServiceRow[];
  /** Where its choice is, as far as its ports lead there. */
  readonly place: Place;
  /** False: not in place yet, an operation was cut short, or the kernel has lost something. */
  readonly sound: boolean;
}

interface Snapshot {
  readonly ports: ReadonlyMap<string, { key: ServiceKey; value: ServicePortValue }>;
  readonly allowed: ReadonlyMap<string, AllowKey>;
  readonly backends: BackendsRead;
}

const NOT_HELD: Held = { rows: [], place: NOWHERE, sound: false };

/**
 * Services: backends, their slots and table, then the ports that lead to them.
 * What changes the choice writes a new one beside the old and then the ports;
 * anything else is written where it is. The books of who is where are kept
 * here and learnt from the kernel once, before anything is written.
 */
export class ServiceOps implements Ops<ServiceRow> {
  readonly #maps: ServiceMaps;
  readonly #o: ServiceOpsOptions;
  readonly #choices: Choices;
  readonly #backends: Backends;
  readonly #held = new Map<number, Held>();
  /** By address: whose it is. */
  readonly #vips = new Map<string, number>();
  /** Numbers that earlier processes have brought up. */
  readonly #known = new Set<number>();
  /** Numbers of services that are no more and may have refusals counted: the next holder's begin at zero. */
  readonly #refused = new Set<number>();
  #learning: Promise<Snapshot> | null = null;
  #learned = false;

  constructor(maps: ServiceMaps, options: ServiceOpsOptions) {
    this.#maps = maps;
    this.#o = options;
    this.#choices = new Choices(maps, options.sizes, options.clock);
    this.#backends = new Backends(maps, options.sizes);
  }

  /** Elements in use of the arrays. */
  get used() {
    return { ...this.#choices.used, ...this.#backends.used };
  }

  update(row: ServiceRow, was: readonly ServiceRow[]): Promise<void> | void {
    if (!this.#learned) return this.#learn().then(() => this.#update(row, was));
    return this.#update(row, was);
  }

  expect(row: ServiceRow): void {
    this.#claim(row);
    this.#backends.expect(row);
    this.#held.set(row.number, { rows: [row], place: NOWHERE, sound: false });
  }

  delete(row: ServiceRow): Promise<void> | void {
    if (!this.#learned) return this.#learn().then(() => this.#delete(row));
    this.#delete(row);
  }

  async read(): Promise<Actual<ServiceRow>> {
    const snapshot = this.#learned ? await this.#snapshot() : await this.#learn();
    return {
      holds: (row) => this.#holds(row, snapshot),
      strays: (wanted) => this.#strays(wanted, snapshot),
    };
  }

  #update(row: ServiceRow, was: readonly ServiceRow[]): Promise<void> | void {
    this.#claim(row);
    const held = this.#held.get(row.number) ?? NOT_HELD;
    const former = [...new Set([...was, ...held.rows])];
    const last = held.sound ? (held.rows[0] as ServiceRow) : null;
    // whatever happens on the way, the kernel may then hold something of each
    this.#held.set(row.number, { rows: [...former, row], place: held.place, sound: false });
    try {
      if (held.rows.length === 0 && !this.#known.has(row.number) && this.#refused.delete(row.number))
        this.#maps.service_refusals.zero([row.number]);
      // what the kernel has lost of a service that it had is not known
      this.#backends.bring(row, last === null && held.rows.length > 0);
      const choice = choiceOf(row);
      if (last !== null && sameChoice(choice, choiceOf(last))) {
        this.#lead(row, held.place, last, held.place, former);
        return;
      }
      const table = once(() => tableOf(row));
      const place =
        this.#choices.find(row.number, choice, table) ?? this.#choices.write(row.number, choice, table());
      if (place !== null) {
        this.#lead(row, place, last, held.place, former);
        return;
      }
      return this.#whenRested(() => this.#choices.write(row.number, choice, table())).then((rested) =>
        this.#lead(row, rested, last, held.place, former),
      );
    } catch (e) {
      throw asFull(e);
    }
  }

  /** Ports last: from now on the row is what there is. `last`: what the kernel holds exactly, with its choice at `from`. */
  #lead(
    row: ServiceRow,
    place: Place,
    last: ServiceRow | null,
    from: Place,
    former: readonly ServiceRow[],
  ): void {
    const entries = portEntries(row, place);
    try {
      if (last === null) {
        // Who may come before what lets in.
        this.#allow(allowOf(row));
        this.#setPorts(entries);
      } else {
        const allowed = new Set(allowOf(last).map(allowText));
        this.#allow(allowOf(row).filter((key) => !allowed.has(allowText(key))));
        const before = new Map(portEntries(last, from).map(([key, value]) => [portText(key), value]));
        this.#setPorts(
          entries.filter(([key, value]) => {
            const have = before.get(portText(key));
            return have === undefined || !samePort(have, value);
          }),
        );
      }
    } catch (e) {
      throw asFull(e);
    }
    if (former.length > 0) this.#clear(row, former);
    this.#choices.keep(row.number, place);
    this.#held.set(row.number, { rows: [row], place, sound: true });
  }

  /** Takes away what the row has no more of what it was. */
  #clear(row: ServiceRow, former: readonly ServiceRow[]): void {
    const ports = new Set(portTexts(row));
    this.#deletePorts(former.flatMap((old) => this.#keys(old)).filter((key) => !ports.has(portText(key))));
    const allowed = new Set(allowOf(row).map(allowText));
    for (const key of former.flatMap(allowOf))
      if (!allowed.has(allowText(key))) this.#maps.publish_allow.delete(key);
    this.#left(row.number, row.backends, former);
    for (const vip of former.flatMap(vips)) if (!vips(row).includes(vip)) this.#disclaim(vip, row.number);
  }

  #delete(row: ServiceRow): void {
    const { number } = row;
    const held = this.#held.get(number);
    const former = [...new Set([...(held?.rows ?? []), row])];
    this.#deletePorts(former.flatMap((old) => this.#keys(old)));
    for (const key of former.flatMap(allowOf)) this.#maps.publish_allow.delete(key);
    this.#choices.keep(number, NOWHERE);
    this.#left(number, [], former);
    this.#held.delete(number);
    this.#known.delete(number);
    this.#refused.add(number);
    for (const vip of former.flatMap(vips)) this.#disclaim(vip, number);
    this.#o.onRemoved?.(number);
  }

  #left(service: number, backends: readonly BackendRow[], former: readonly ServiceRow[]): void {
    const left = this.#backends.leave(
      service,
      backends,
      former.flatMap((old) => old.backends),
    );
    if (left.length > 0) this.#o.onLeft?.(service, left);
  }

  #learn(): Promise<Snapshot> {
    this.#learning ??= this.#snapshot().then(
      async (snapshot) => {
        for await (const [number] of this.#maps.service_refusals.used()) this.#refused.add(number);
        this.#backends.learn(snapshot.backends);
        for (const { value } of snapshot.ports.values()) {
          this.#known.add(value.service);
          this.#choices.adopt(value.service, value);
        }
        this.#learned = true;
        return snapshot;
      },
      (e: unknown) => {
        this.#learning = null;
        throw e;
      },
    );
    return this.#learning;
  }

  async #snapshot(): Promise<Snapshot> {
    const ports = new Map<string, { key: ServiceKey; value: ServicePortValue }>();
    for (const map of [this.#maps.services4, this.#maps.services6])
      for await (const [key, value] of map.entries()) ports.set(portText(key), { key, value });
    const allowed = new Map<string, AllowKey>();
    for await (const [key] of this.#maps.publish_allow.entries())
      if (isOfService(key)) allowed.set(allowText(key), key);
    return { ports, allowed, backends: await this.#backends.read() };
  }

  /** What holds is in the books from then on, with its choice where the kernel has it. */
  #holds(row: ServiceRow, { ports, allowed, backends }: Snapshot): boolean {
    const held = this.#held.get(row.number) ?? NOT_HELD;
    const place = this.#placeOf(row, held, ports);
    const holds =
      portEntries(row, place).every(([key, value]) => {
        const have = ports.get(portText(key));
        return have !== undefined && samePort(have.value, value);
      }) &&
      allowOf(row).every((key) => allowed.has(allowText(key))) &&
      this.#backends.holds(row, backends) &&
      this.#choices.holds(row.number, place, choiceOf(row), () => tableOf(row));
    if (!holds) {
      this.#held.set(row.number, { ...held, sound: false });
    } else if (!held.sound) {
      this.#choices.keep(row.number, place);
      this.#held.set(row.number, { rows: [row], place, sound: true });
    }
    return holds;
  }

  #placeOf(row: ServiceRow, held: Held, ports: Snapshot['ports']): Place {
    if (held.sound) return held.place;
    const have = ports.get(portTexts(row)[0] as string);
    if (have === undefined) return NOWHERE;
    const { slots, count, weights, table, places } = have.value;
    return { slots, count, weights, table, places };
  }

  #strays(wanted: (key: string) => boolean, { ports, allowed, backends }: Snapshot): Stray[] {
    const keys = new Set<string>();
    const sources = new Set<string>();
    for (const { rows } of this.#held.values()) {
      for (const row of rows) {
        for (const text of portTexts(row)) keys.add(text);
        for (const key of allowOf(row)) sources.add(allowText(key));
      }
    }
    const leftPorts = [...ports].filter(([text]) => !keys.has(text)).map(([, { key }]) => key);
    const leftSources = [...allowed].filter(([text]) => !sources.has(text)).map(([, key]) => key);
    const numbers = [...this.#known].filter((n) => !this.#held.has(n) && !wanted(String(n)));
    const strays: Stray[] = [];
    if (leftPorts.length + numbers.length > 0) {
      strays.push({
        what: `${leftPorts.length} ports of services, ${numbers.length} services`,
        remove: () => {
          this.#deletePorts(leftPorts);
          for (const number of numbers) {
            this.#choices.keep(number, NOWHERE);
            this.#known.delete(number);
          }
        },
      });
    }
    if (leftSources.length > 0) {
      strays.push({
        what: `${leftSources.length} allowed sources of services`,
        remove: () => {
          for (const key of leftSources) this.#maps.publish_allow.delete(key);
        },
      });
    }
    return [...strays, ...this.#backends.strays(backends)];
  }

  #claim(row: ServiceRow): void {
    for (const vip of vips(row)) {
      const holder = this.#vips.get(vip);
      if (holder !== undefined && holder !== row.number)
        throw new SluiceError('address_taken', `${vip} is the address of another service`);
    }
    for (const vip of vips(row)) this.#vips.set(vip, row.number);
  }

  #disclaim(vip: string, number: number): void {
    if (this.#vips.get(vip) === number) this.#vips.delete(vip);
  }

  /** Of its addresses as far as they are still its own. */
  #keys(row: ServiceRow): ServiceKey[] {
    return portKeys(row).filter(({ addr }) => (this.#vips.get(addr) ?? row.number) === row.number);
  }

  #allow(keys: readonly AllowKey[]): void {
    for (const key of keys) this.#maps.publish_allow.set(key, 1);
  }

  #setPorts(entries: readonly [ServiceKey, ServicePortValue][]): void {
    for (const v6 of [false, true]) {
      const own = entries.filter(([{ addr }]) => isIpv6(addr) === v6);
      if (own.length > 0) this.#byFamily(v6).setBatch(own);
    }
  }

  #deletePorts(keys: readonly ServiceKey[]): void {
    for (const v6 of [false, true]) {
      const own = keys.filter(({ addr }) => isIpv6(addr) === v6);
      if (own.length > 0) this.#byFamily(v6).deleteBatch(own);
    }
  }

  #byFamily(v6: boolean): KernelMap<ServiceKey, ServicePortValue> {
    return v6 ? this.#maps.services6 : this.#maps.services4;
  }

  /** A storm of changes waits for room rather than fail for want of it. */
  async #whenRested(write: () => Place | null): Promise<Place> {
    for (;;) {
      await sleep(this.#o.clock, this.#choices.rested ?? 0);
      const place = write();
      if (place !== null) return place;
    }
  }
}

function allowOf(row: ServiceRow): AllowKey[] {
  return allowKeys(PUBLISH_ALLOW_SERVICE + row.number, row.allow);
}

function once<T>(work: () => T): () => T {
  let done: { result: T } | null = null;
  return () => {
    done ??= { result: work() };
    return done.result;
  };
}

/** The kernel's ways of saying that a hash, or a trie, has no room. */
function asFull(e: unknown): unknown {
  if (!isNativeError(e) || (e.code !== 'E2BIG' && e.code !== 'ENOSPC')) return e;
  return new SluiceError('table_full', 'no room for the ports or allowed sources of another service', {
    hint: 'remove services, ports or --allow; sluice status shows how full the tables are',
    cause: e,
  });
}
