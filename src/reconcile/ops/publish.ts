// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { PublishRow } from '../../cnm/rows.js';
import { port_slot, port_table } from '../../maps/generated/enums.js';
import type { KernelMaps, PublishValue } from '../kernel.js';
import type { Actual, Ops, Stray } from '../ops.js';
import { same } from './values.js';

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

type PublishMaps = Pick<KernelMaps, 'publishes' | 'port_slots' | 'publish_addr4' | 'publish_local4'>;
type AddressKey = { addr: string; port: number; protocol: number };

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

  constructor(maps: PublishMaps) {
    this.#maps = maps;
  }

  update(row: PublishRow, was: readonly PublishRow[]): void {
    for (const old of was) if (!samePorts(old, row)) this.#close(old);
    const held = this.#held.get(row.id);
    if (held !== undefined && !samePorts(held, row)) this.#close(held);
    this.#claim(row);
    this.#maps.publishes.set(row.id, value(row));
    this.#write(row);
  }

  expect(row: PublishRow): void {
    this.#claim(row);
  }

  delete(row: PublishRow): void {
    this.#close(row);
    this.#maps.publishes.delete(row.id);
  }

  async read(): Promise<Actual<PublishRow>> {
    const publishes = new Map<number, PublishValue>();
    for await (const [id, publish] of this.#maps.publishes.entries()) publishes.set(id, publish);
    const slots = new Uint32Array(TABLES * PORTS);
    for await (const [index, slot] of this.#maps.port_slots.used()) slots[index] = slot;
    const addresses = new Map<string, { key: AddressKey; id: number }>();
    for await (const [key, id] of this.#maps.publish_local4.entries())
      addresses.set(addressText(key), { key, id });
    // Earlier versions had addresses of loopback in the packets' map.
    const misplaced: AddressKey[] = [];
    for await (const [key, id] of this.#maps.publish_addr4.entries()) {
      if (this.#mapOf(key.addr) === this.#maps.publish_addr4) addresses.set(addressText(key), { key, id });
      else misplaced.push(key);
    }

    return {
      holds: (row) => {
        const have = publishes.get(row.id);
        if (have === undefined || !same(have, value(row))) return false;
        for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
          const slot = slots[slotOf(row, port)] as number;
          if (row.hostIp === null) {
            if ((slot & ID) !== row.id) return false;
          } else if (
            (slot & BY_ADDRESS) === 0 ||
            addresses.get(addressText(keyOf(row, port)))?.id !== row.id
          ) {
            return false;
          }
        }
        return true;
      },
      strays: (wanted) => [
        ...this.#strays(wanted, publishes, slots, addresses),
        ...(misplaced.length === 0
          ? []
          : [
              {
                what: `${misplaced.length} ports on loopback that packets could find`,
                remove: () => this.#maps.publish_addr4.deleteBatch(misplaced),
              },
            ]),
      ],
    };
  }

  #strays(
    wanted: (key: string) => boolean,
    publishes: ReadonlyMap<number, unknown>,
    slots: Uint32Array,
    addresses: ReadonlyMap<string, { key: AddressKey; id: number }>,
  ): Stray[] {
    const strays: Stray[] = [];
    const ids = [...publishes.keys()].filter((id) => !wanted(String(id)));
    const keys = [...addresses].filter(([text]) => !this.#byAddress.has(text)).map(([, { key }]) => key);
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
        remove: () => this.#forget(keys),
      });
    }
    for (const id of ids) {
      strays.push({ what: `publish ${id}`, remove: () => void this.#maps.publishes.delete(id) });
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
    for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
      const holder =
        row.hostIp === null
          ? this.#any[slotOf(row, port)]
          : this.#byAddress.get(addressText(keyOf(row, port)));
      if (holder !== undefined && holder !== 0 && holder !== row.id) {
        throw new SluiceError('port_taken', `${row.protocol} port ${port} is published already`);
      }
    }
    for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
      const index = slotOf(row, port);
      if (row.hostIp === null) {
        this.#any[index] = row.id;
      } else {
        this.#byAddress.set(addressText(keyOf(row, port)), row.id);
        this.#addresses[index] = (this.#addresses[index] as number) + 1;
      }
    }
    this.#held.set(row.id, row);
  }

  /** Writes the row's ports, in one batch a map. */
  #write(row: PublishRow): void {
    const slots: [number, number][] = [];
    const addresses: [AddressKey, number][] = [];
    for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
      const index = slotOf(row, port);
      slots.push([index, this.#slot(index)]);
      if (row.hostIp !== null) addresses.push([keyOf(row, port), row.id]);
    }
    if (addresses.length > 0) this.#mapOf(row.hostIp).setBatch(addresses);
    this.#maps.port_slots.setBatch(slots);
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
    for (let port = held.hostPort; port <= held.hostPortEnd; port++) {
      const index = slotOf(held, port);
      if (held.hostIp === null) {
        this.#any[index] = 0;
      } else {
        this.#byAddress.delete(addressText(keyOf(held, port)));
        this.#addresses[index] = (this.#addresses[index] as number) - 1;
        keys.push(keyOf(held, port));
      }
      slots.push([index, this.#slot(index)]);
    }
    this.#maps.port_slots.setBatch(slots);
    this.#forget(keys);
  }

  #closeUnknown(row: PublishRow): void {
    const slots: [number, number][] = [];
    const keys: AddressKey[] = [];
    for (let port = row.hostPort; port <= row.hostPortEnd; port++) {
      const index = slotOf(row, port);
      if (row.hostIp !== null) {
        const key = keyOf(row, port);
        if (!this.#byAddress.has(addressText(key)) && this.#mapOf(key.addr).get(key) === row.id)
          keys.push(key);
      } else if (((this.#maps.port_slots.get(index) ?? 0) & ID) === row.id) {
        slots.push([index, this.#slot(index)]);
      }
    }
    if (slots.length > 0) this.#maps.port_slots.setBatch(slots);
    this.#forget(keys);
  }

  /** Packets must not find what is for the host's own loopback. */
  #mapOf(address: string | null): KernelMaps['publish_addr4'] {
    return address?.startsWith('127.') ? this.#maps.publish_local4 : this.#maps.publish_addr4;
  }

  #forget(keys: readonly AddressKey[]): void {
    for (const map of [this.#maps.publish_addr4, this.#maps.publish_local4]) {
      const own = keys.filter(({ addr }) => this.#mapOf(addr) === map);
      if (own.length > 0) map.deleteBatch(own);
    }
  }
}

function slotOf(row: PublishRow, port: number): number {
  return TABLE[row.protocol] * PORTS + port;
}

function keyOf(row: PublishRow, port: number): AddressKey {
  return { addr: row.hostIp ?? '', port, protocol: PROTOCOL[row.protocol] };
}

function addressText(key: AddressKey): string {
  return `${key.addr} ${key.protocol} ${key.port}`;
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
  };
}

function samePorts(a: PublishRow, b: PublishRow): boolean {
  return (
    a.protocol === b.protocol &&
    a.hostIp === b.hostIp &&
    a.hostPort === b.hostPort &&
    a.hostPortEnd === b.hostPortEnd
  );
}
