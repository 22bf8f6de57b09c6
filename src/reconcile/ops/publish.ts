// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { PublishRow } from '../../cnm/rows.js';
import { port_slot, port_table, publish_flag } from '../../maps/generated/enums.js';
import type { AllowKey, KernelMap, KernelMaps, PublishValue } from '../kernel.js';
import type { Actual, Ops, Stray } from '../ops.js';
import { allowKeys, allowText, isOfService } from './allow.js';
import { isIpv6, NO_ADDRESS, NO_ADDRESS6, same } from './values.js';

const PORTS = 65536;
const BY_ADDRESS = port_slot.PORT_SLOT_BY_ADDRESS;
const ID = port_slot.PORT_SLOT_ID;
/** IANA protocol numbers. */
export const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
const TABLE = {
  tcp: port_table.PORT_TABLE_TCP,
  udp: port_table.PORT_TABLE_UDP,
  sctp: port_table.PORT_TABLE_SCTP,
} as const;
const TABLES = port_table.PORT_TABLES;

type PublishMaps = Pick<
  KernelMaps,
  'publishes' | 'port_slots' | 'publish_addr4' | 'publish_addr6' | 'publish_allow'
>;
type AddressKey = { addr: string; port: number; protocol: number };

/** Where a publish answers in one family: at every address of the host, or at one. */
interface Place {
  readonly v6: boolean;
  /** null: every. */
  readonly address: string | null;
}

/**
 * Published ports. A slot of `port_slots` is shared by the publish on every
 * address and any number of publishes on one address each, so the books of who
 * holds what are kept here; the map is written from them and never read for it.
 */
export class PublishOps implements Ops<PublishRow> {
  readonly #maps: PublishMaps;
  readonly #held = new Map<number, PublishRow>();
  /** By slot: the id on every address, and how many addresses have one of their own. */
  readonly #any = new Uint32Array(TABLES * PORTS);
  readonly #addresses = new Uint16Array(TABLES * PORTS);
  /** By address key: the id. */
  readonly #byAddress = new Map<string, number>();
  /** Addresses that are not the host's now: ports on them are kept, and served to nobody. */
  readonly #absent = new Set<string>();

  constructor(maps: PublishMaps) {
    this.#maps = maps;
  }

  update(row: PublishRow, was: readonly PublishRow[]): void {
    for (const old of was) if (!samePorts(old, row)) this.#close(old);
    const held = this.#held.get(row.id);
    if (held !== undefined && !samePorts(held, row)) this.#close(held);
    this.#claim(row);
    // Who may come before what lets in.
    const wanted = new Set(keysOf(row).map(allowText));
    for (const key of keysOf(row)) this.#maps.publish_allow.set(key, 1);
    this.#maps.publishes.set(row.id, value(row));
    for (const old of was.flatMap(keysOf))
      if (!wanted.has(allowText(old))) this.#maps.publish_allow.delete(old);
    this.#write(row);
  }

  expect(row: PublishRow): void {
    this.#claim(row);
  }

  delete(row: PublishRow): void {
    this.#close(row);
    this.#maps.publishes.delete(row.id);
    for (const key of keysOf(row)) this.#maps.publish_allow.delete(key);
  }

  /** Withdraws the ports on one address of the host while it has that no longer, or serves them again. */
  setPresent(address: string, present: boolean): void {
    if (present) this.#absent.delete(address);
    else this.#absent.add(address);
    for (const row of this.#held.values()) if (row.hostIp === address) this.#write(row);
  }

  async read(): Promise<Actual<PublishRow>> {
    const publishes = new Map<number, PublishValue>();
    for await (const [id, publish] of this.#maps.publishes.entries()) publishes.set(id, publish);
    const slots = new Uint32Array(TABLES * PORTS);
    for await (const [index, slot] of this.#maps.port_slots.used()) slots[index] = slot;
    const addresses = new Map<string, { key: AddressKey; id: number }>();
    for (const map of [this.#maps.publish_addr4, this.#maps.publish_addr6])
      for await (const [key, id] of map.entries()) addresses.set(addressText(key), { key, id });
    const allowed = new Map<string, AllowKey>();
    for await (const [key] of this.#maps.publish_allow.entries())
      if (!isOfService(key)) allowed.set(allowText(key), key);

    return {
      holds: (row) => {
        const have = publishes.get(row.id);
        if (have === undefined || !same(have, value(row))) return false;
        if (!keysOf(row).every((key) => allowed.has(allowText(key)))) return false;
        return places(row).every((place) => {
          for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
            const slot = slots[slotOf(row, place, port)] as number;
            if (place.address === null) {
              if ((slot & ID) !== row.id) return false;
            } else {
              const id = addresses.get(addressText(keyOf(row, place.address, port)))?.id;
              if ((slot & BY_ADDRESS) === 0) return false;
              if (id !== (this.#absent.has(place.address) ? undefined : row.id)) return false;
            }
          }
          return true;
        });
      },
      strays: (wanted) => this.#strays(wanted, publishes, slots, addresses, allowed),
    };
  }

  #strays(
    wanted: (key: string) => boolean,
    publishes: ReadonlyMap<number, unknown>,
    slots: Uint32Array,
    addresses: ReadonlyMap<string, { key: AddressKey; id: number }>,
    allowed: ReadonlyMap<string, AllowKey>,
  ): Stray[] {
    const strays: Stray[] = [];
    const ids = [...publishes.keys()].filter((id) => !wanted(String(id)));
    const keys = [...addresses].filter(([text]) => !this.#byAddress.has(text)).map(([, { key }]) => key);
    const sources = new Set([...this.#held.values()].flatMap(keysOf).map(allowText));
    const indexes: number[] = [];
    slots.forEach((slot, index) => {
      // A slot that lacks something is the business of the row it lacks.
      if (slot !== 0 && slot !== this.#slot(index)) indexes.push(index);
    });
    // Slots before what they lead to, as in every removal.
    if (indexes.length > 0) {
      strays.push({
        what: `${indexes.length} port slots`,
        remove: () => this.#maps.port_slots.setBatch(indexes.map((index) => [index, this.#slot(index)])),
      });
    }
    if (keys.length > 0) {
      strays.push({
        what: `${keys.length} ports on one address`,
        remove: () => this.#deleteAddresses(keys),
      });
    }
    for (const id of ids) {
      strays.push({ what: `publish ${id}`, remove: () => void this.#maps.publishes.delete(id) });
    }
    for (const [text, key] of allowed) {
      if (!sources.has(text))
        strays.push({
          what: `allowed source ${key.source}`,
          remove: () => void this.#maps.publish_allow.delete(key),
        });
    }
    return strays;
  }

  /** What the kernel is to hold at `index`. */
  #slot(index: number): number {
    const bit = (this.#addresses[index] as number) > 0 ? BY_ADDRESS : 0;
    return ((this.#any[index] as number) | bit) >>> 0;
  }

  #claim(row: PublishRow): void {
    if (this.#held.has(row.id)) {
      this.#held.set(row.id, row);
      return;
    }
    for (const place of places(row)) {
      for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
        const holder =
          place.address === null
            ? this.#any[slotOf(row, place, port)]
            : this.#byAddress.get(addressText(keyOf(row, place.address, port)));
        if (holder !== undefined && holder !== 0 && holder !== row.id) {
          throw new SluiceError('port_taken', `${row.protocol} port ${port} is published already`);
        }
      }
    }
    for (const place of places(row)) {
      for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
        const index = slotOf(row, place, port);
        if (place.address === null) {
          this.#any[index] = row.id;
        } else {
          this.#byAddress.set(addressText(keyOf(row, place.address, port)), row.id);
          this.#addresses[index] = (this.#addresses[index] as number) + 1;
        }
      }
    }
    this.#held.set(row.id, row);
  }

  /** Writes the row's ports, in one batch a map. */
  #write(row: PublishRow): void {
    const slots: [number, number][] = [];
    for (const place of places(row)) {
      const addresses: [AddressKey, number][] = [];
      for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
        const index = slotOf(row, place, port);
        slots.push([index, this.#slot(index)]);
        if (place.address !== null) addresses.push([keyOf(row, place.address, port), row.id]);
      }
      if (place.address !== null && this.#absent.has(place.address))
        this.#deleteAddresses(addresses.map(([key]) => key));
      else if (addresses.length > 0) this.#byFamily(place.v6).setBatch(addresses);
    }
    if (slots.length > 0) this.#maps.port_slots.setBatch(slots);
  }

  /** Gives the ports of a row back; what others hold on the same ports stays. */
  #close(row: PublishRow): void {
    const held = this.#held.get(row.id);
    if (held === undefined) {
      // Not in the books: a removal after a restart, or of what never came up. Only slots of this id are ours.
      this.#closeUnknown(row);
      return;
    }
    this.#held.delete(row.id);
    const slots: [number, number][] = [];
    const keys: AddressKey[] = [];
    for (const place of places(held)) {
      for (let port = held.hostPort; port <= held.hostPortEnd; port++) {
        const index = slotOf(held, place, port);
        if (place.address === null) {
          this.#any[index] = 0;
        } else {
          const key = keyOf(held, place.address, port);
          this.#byAddress.delete(addressText(key));
          this.#addresses[index] = (this.#addresses[index] as number) - 1;
          keys.push(key);
        }
        slots.push([index, this.#slot(index)]);
      }
    }
    if (slots.length > 0) this.#maps.port_slots.setBatch(slots);
    this.#deleteAddresses(keys);
  }

  #closeUnknown(row: PublishRow): void {
    const slots: [number, number][] = [];
    const keys: AddressKey[] = [];
    for (const place of places(row)) {
      for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
        const index = slotOf(row, place, port);
        if (place.address !== null) {
          const key = keyOf(row, place.address, port);
          if (!this.#byAddress.has(addressText(key)) && this.#byFamily(place.v6).get(key) === row.id)
            keys.push(key);
        } else if (((this.#maps.port_slots.get(index) ?? 0) & ID) === row.id) {
          slots.push([index, this.#slot(index)]);
        }
      }
    }
    if (slots.length > 0) this.#maps.port_slots.setBatch(slots);
    this.#deleteAddresses(keys);
  }

  #deleteAddresses(keys: readonly AddressKey[]): void {
    for (const v6 of [false, true]) {
      const own = keys.filter(({ addr }) => isIpv6(addr) === v6);
      if (own.length > 0) this.#byFamily(v6).deleteBatch(own);
    }
  }

  #byFamily(v6: boolean): KernelMap<AddressKey, number> {
    return v6 ? this.#maps.publish_addr6 : this.#maps.publish_addr4;
  }
}

/** In the families that the endpoint has. */
export function places(row: PublishRow): Place[] {
  const { hostIp } = row;
  const all = { v4: { v6: false, address: null }, v6: { v6: true, address: null } } as const;
  if (hostIp === null) return row.ipv6 === null ? [all.v4] : [all.v4, all.v6];
  if (hostIp === NO_ADDRESS) return [all.v4];
  if (hostIp === NO_ADDRESS6) return [all.v6];
  return [{ v6: isIpv6(hostIp), address: hostIp }];
}

function slotOf(row: PublishRow, { v6 }: Place, port: number): number {
  const table = TABLE[row.protocol] + (v6 ? port_table.PORT_TABLES_FAMILY : 0);
  return table * PORTS + port;
}

function keyOf(row: PublishRow, addr: string, port: number): AddressKey {
  return { addr, port, protocol: PROTOCOL[row.protocol] };
}

function addressText(key: AddressKey): string {
  return `${key.addr} ${key.protocol} ${key.port}`;
}

function keysOf(row: PublishRow): AllowKey[] {
  return allowKeys(row.id, row.allow);
}

function value(row: PublishRow): PublishValue {
  return {
    endpoint: row.slot,
    generation: row.generation,
    addr4: row.ipv4,
    host_port: row.hostPort,
    host_port_end: row.hostPortEnd,
    port: row.port,
    protocol: PROTOCOL[row.protocol],
    flags:
      (row.allow.length > 0 ? publish_flag.PUBLISH_LIMITED : 0) |
      (row.service ? publish_flag.PUBLISH_SERVICE : 0),
    addr6: row.ipv6 ?? NO_ADDRESS6,
  };
}

function samePorts(a: PublishRow, b: PublishRow): boolean {
  return (
    a.protocol === b.protocol &&
    a.hostIp === b.hostIp &&
    (a.ipv6 === null) === (b.ipv6 === null) &&
    a.hostPort === b.hostPort &&
    a.hostPortEnd === b.hostPortEnd
  );
}
