// SPDX-License-Identifier: Apache-2.0
import type { TableFill } from '../api/schemas/status.js';
import { type DataplaneMaps, mapNames } from '../maps/dataplane.js';

/** Counters and single values: not tables that fill. */
const UNCOUNTED = [
  'collector_map',
  'drops',
  'hook_traffic',
  'flow_events',
  'snat_tries',
  'socket_events',
  'socket_netns',
  'socket_namespaces',
  'resolver_heartbeat',
  'port_use',
  'backend_load',
  'backend_traffic',
  'service_refusals',
  'share_map',
] as const;
type Counted = Exclude<keyof DataplaneMaps, (typeof UNCOUNTED)[number]>;

/** Arrays have all their entries always; what counts is how many are in use. */
const ARRAYS: ReadonlySet<Counted> = new Set<Counted>(['endpoints', 'networks', 'port_slots']);
/** Whose contents say nothing: what was left in them is not taken out. Their fill is in somebody's books. */
export type Booked = 'service_slots' | 'service_table' | 'service_backends' | 'backend_endpoints';
/** For as long a count holds: a full flow table takes tenths of a second to walk. */
const FRESH_MS = 2_000;

/** How full the tables are, counted when somebody asks. */
export class TableFills {
  readonly #maps: DataplaneMaps;
  readonly #booked: () => Readonly<Record<Booked, number>>;
  readonly #counts = new Map<Counted, { at: number; entries: Promise<number> }>();

  constructor(maps: DataplaneMaps, booked: () => Readonly<Record<Booked, number>>) {
    this.#maps = maps;
    this.#booked = booked;
  }

  all(): Promise<TableFill[]> {
    const uncounted: readonly string[] = UNCOUNTED;
    return this.of(mapNames.filter((name): name is Counted => !uncounted.includes(name)));
  }

  of(names: readonly Counted[]): Promise<TableFill[]> {
    return Promise.all(
      names.map(async (name) => ({
        map: name,
        entries: await this.#count(name),
        capacity: this.#maps[name].capacity,
      })),
    );
  }

  #count(name: Counted): Promise<number> {
    const known = this.#counts.get(name);
    const now = performance.now();
    if (known !== undefined && now - known.at < FRESH_MS) return known.entries;
    const entries = this.#walk(name);
    this.#counts.set(name, { at: now, entries });
    return entries;
  }

  async #walk(name: Counted): Promise<number> {
    const booked: Partial<Record<Counted, number>> = this.#booked();
    const known = booked[name];
    if (known !== undefined) return known;
    if (!ARRAYS.has(name)) return this.#maps[name].count();
    let entries = 0;
    for await (const _ of this.#maps[name].used()) entries++;
    return entries;
  }
}
