// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../base/clock.js';
import { SluiceError } from '../../base/errors.js';
import type { KernelMaps, ServicePortValue, ServiceSlotValue } from '../kernel.js';
import { type Choice, sameChoice } from './choice.js';
import { type Region, Regions } from './regions.js';

/** Where a service's choice is: the fields of `struct service_port` that say so. */
export type Place = Pick<ServicePortValue, 'slots' | 'count' | 'weights' | 'table' | 'places'>;

/** Nobody is there. */
export const NOWHERE: Place = { slots: 0, count: 0, weights: 0, table: 0, places: 0 };

/** Places in an element of `service_table`. */
const GROUP = 4;
/** Elements written in one call. */
const BATCH = 16_384;

export interface ChoiceSizes {
  /** Elements of `service_slots`, of `service_table`. */
  readonly slots: number;
  readonly table: number;
}

type ChoiceMaps = Pick<KernelMaps, 'service_slots' | 'service_table'>;

/**
 * Choices in `service_slots` and `service_table`, and which parts of these are
 * whose. A choice is never changed where it is: another one is written beside
 * it, and what was left rests before it is used again.
 */
export class Choices {
  readonly #maps: ChoiceMaps;
  readonly #slots: Regions;
  readonly #table: Regions;
  /** By the number of the service; more than one only until its ports lead to the last. */
  readonly #places = new Map<number, Place[]>();

  constructor(maps: ChoiceMaps, sizes: ChoiceSizes, clock: Clock) {
    this.#maps = maps;
    this.#slots = new Regions(sizes.slots, clock);
    this.#table = new Regions(sizes.table, clock);
  }

  /** Notes what a port of the service leads to. What overlaps another one's is nobody's, and is written anew. */
  adopt(service: number, place: Place): void {
    const own = this.#of(service);
    if (place.count === 0 || own.some((known) => samePlace(known, place))) return;
    const [slots, table] = regionsOf(place);
    if (!this.#slots.adopt(slots)) return;
    if (table !== null && !this.#table.adopt(table)) {
      this.#slots.giveBack(slots);
      return;
    }
    own.push({ ...place });
  }

  /** Whether the place is the service's and holds the choice. `table` is asked only where there is to be one. */
  holds(service: number, place: Place, choice: Choice, table: () => Uint16Array | null): boolean {
    if (choice.slots.length === 0) return place.count === 0;
    if (place.weights !== choice.weights) return false;
    if (!this.#of(service).some((known) => samePlace(known, place))) return false;
    if (place.count !== choice.slots.length) return false;
    const slots = this.#maps.service_slots.slice(place.slots, place.count);
    if (!sameChoice(choice, { slots, weights: place.weights })) return false;
    const wanted = table();
    if (wanted === null) return place.places === 0;
    if (place.places !== wanted.length) return false;
    const groups = this.#maps.service_table.slice(place.table / GROUP, Math.ceil(wanted.length / GROUP));
    return groups.every(({ slot }, group) => slot.every((s, i) => s === (wanted[group * GROUP + i] ?? 0)));
  }

  /** Where the service has this very choice already. */
  find(service: number, choice: Choice, table: () => Uint16Array | null): Place | undefined {
    return this.#places.get(service)?.find((place) => this.holds(service, place, choice, table));
  }

  /** Writes a choice where nobody reads yet. null: there is no room until something has rested. */
  write(service: number, choice: Choice, table: Uint16Array | null): Place | null {
    if (choice.slots.length === 0) return NOWHERE;
    const slots = this.#slots.take(choice.slots.length);
    if (slots === null) return this.#full('service_slots', this.#slots);
    const groups = table === null ? 0 : Math.ceil(table.length / GROUP);
    const places = groups === 0 ? null : this.#table.take(groups);
    if (places === null && groups > 0) {
      this.#slots.giveBack(slots);
      return this.#full('service_table', this.#table);
    }
    const place: Place = {
      slots: slots.first,
      count: slots.length,
      weights: choice.weights,
      table: (places?.first ?? 0) * GROUP,
      places: table?.length ?? 0,
    };
    this.#of(service).push(place);
    this.#maps.service_slots.setBatch(
      choice.slots.map((slot, i): [number, ServiceSlotValue] => [slots.first + i, slot]),
    );
    if (table !== null && places !== null) this.#writeTable(table, places);
    return place;
  }

  /** The service's ports lead to this place and no other. */
  keep(service: number, place: Place): void {
    const own = this.#of(service);
    for (const left of own) {
      if (samePlace(left, place)) continue;
      const [slots, table] = regionsOf(left);
      this.#slots.release(slots);
      if (table !== null) this.#table.release(table);
    }
    if (place.count === 0) this.#places.delete(service);
    else
      this.#places.set(
        service,
        own.filter((known) => samePlace(known, place)),
      );
  }

  /** Milliseconds until a part of either that rests is free; null: nothing rests. */
  get rested(): number | null {
    const [slots, table] = [this.#slots.rested, this.#table.rested];
    return slots === null ? table : table === null ? slots : Math.min(slots, table);
  }

  /** Elements in use or resting. */
  get used(): { service_slots: number; service_table: number } {
    return { service_slots: this.#slots.used, service_table: this.#table.used };
  }

  #full(map: string, regions: Regions): null {
    if (this.rested !== null) return null;
    throw new SluiceError('table_full', `${map} has no room: ${regions.used} of ${regions.size} in use`, {
      hint: 'remove services or backends; sluice status shows how full the tables are',
    });
  }

  #writeTable(table: Uint16Array, { first, length }: Region): void {
    for (let from = 0; from < length; from += BATCH) {
      const pairs: [number, { slot: number[] }][] = [];
      for (let group = from; group < Math.min(from + BATCH, length); group++) {
        const at = group * GROUP;
        pairs.push([
          first + group,
          { slot: [table[at] ?? 0, table[at + 1] ?? 0, table[at + 2] ?? 0, table[at + 3] ?? 0] },
        ]);
      }
      this.#maps.service_table.setBatch(pairs);
    }
  }

  #of(service: number): Place[] {
    let own = this.#places.get(service);
    if (own === undefined) {
      own = [];
      this.#places.set(service, own);
    }
    return own;
  }
}

export function samePlace(a: Place, b: Place): boolean {
  return (
    a.slots === b.slots &&
    a.count === b.count &&
    a.weights === b.weights &&
    a.table === b.table &&
    a.places === b.places
  );
}

function regionsOf({ slots, count, table, places }: Place): [Region, Region | null] {
  return [
    { first: slots, length: count },
    places === 0 ? null : { first: table / GROUP, length: Math.ceil(places / GROUP) },
  ];
}
