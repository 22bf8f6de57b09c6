// SPDX-License-Identifier: Apache-2.0
import type { Clock, Timer } from '../base/clock.js';
import { Coalesced } from '../base/coalesced.js';
import type { Log } from '../base/log.js';
import type { PublishRow, ServiceRow } from '../cnm/rows.js';
import type { ConnectedSocket, Peer } from '../link/socket-diag.js';
import type { Move, Moved } from '../link/socket-move.js';
import { port_slot, port_table, publish_flag } from '../maps/generated/enums.js';
import type { PeerKey, PeerMap, PeerValue } from './dead-sockets.js';
import type { KernelMaps } from './kernel.js';
import { PROTOCOL } from './ops/publish.js';
import { isIpv6, NO_ADDRESS, NO_ADDRESS6 } from './ops/values.js';
import type { Tables } from './tables.js';

/** What is asked of a socket here. */
type Connected = Pick<ConnectedSocket, 'cookie' | 'peer' | 'device'>;
type Moves = readonly Move[];

export interface UdpTargetsOptions {
  maps: Pick<
    KernelMaps,
    'port_slots' | 'publish_addr4' | 'publish_addr6' | 'publishes' | 'host_addr4' | 'host_addr6'
  > & {
    readonly socket_peers4: PeerMap;
    readonly socket_peers6: PeerMap;
    readonly endpoints: { get(slot: number): { generation: number } | undefined };
  };
  tables: Tables;
  /** Connected UDP sockets of a namespace, null: the daemon's own; `device`: that they are bound to, 0: none. */
  connected(netns: string | null): Promise<readonly Connected[]>;
  /** Each gets a source of the kernel's choice, unless its program chose one. */
  move(netns: string | null, moves: Moves): Promise<Moved>;
  destroy(netns: string | null, peers: readonly Peer[], cookies: ReadonlySet<bigint>): Promise<number>;
  clock: Clock;
  log: Log;
}

/** A socket that was about to connect while maps were written is found by the second look. */
const AGAIN_MS = 500;
const SERVICE = 'service';

/**
 * Connected UDP sockets, which the hooks translated, or left as they were, for
 * good. When a published port comes, goes or moves, those of the host that name
 * it are connected anew; when a service gets its first backend, those of its
 * network too. (Packets of the latter are served one by one, but not those of
 * IPv6 sockets that name IPv4: the kernel shows each of their datagrams to the
 * hooks, and the socket, connected to the VIP, takes no answer of a backend.)
 */
export class UdpTargets {
  readonly #o: UdpTargetsOptions;
  readonly #look: Coalesced<void>;
  #changed: (PublishRow | ServiceRow)[] = [];
  #again: Timer | null = null;
  #stopped = false;

  constructor(options: UdpTargetsOptions) {
    this.#o = options;
    this.#look = new Coalesced(() => this.#once());
  }

  /** To be told when the maps hold a row, or hold it no more. Delays nobody, and never fails. */
  changed(row: PublishRow | ServiceRow): void {
    const udp = row.kind === 'publish' ? row.protocol === 'udp' : row.ports.some(isUdp);
    if (this.#stopped || !udp) return;
    const rows: (PublishRow | ServiceRow)[] = [row];
    if (row.kind === 'service')
      for (const publish of this.#o.tables.rows('publish'))
        if (publish.service && publish.ipv4 === row.vip4) rows.push(publish);
    this.#changed.push(...rows);
    void this.#look.run();
    this.#again?.cancel();
    this.#again = this.#o.clock.after(AGAIN_MS, () => {
      this.#again = null;
      if (this.#stopped) return;
      this.#changed.push(...rows);
      void this.#look.run();
    });
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#again?.cancel();
    await this.#look.run();
  }

  async #once(): Promise<void> {
    const rows = this.#changed.splice(0);
    if (this.#stopped || rows.length === 0) return;
    const { log } = this.#o;
    try {
      const { moves, notes } = await this.#translated();
      const early = await this.#early(null, rows, moves);
      // before: the hooks write them anew, perhaps with the same content
      for (const { map, key } of notes) map.delete(key);
      let moved: ReadonlySet<bigint> = new Set();
      try {
        moved = await this.#lead(null, moves, early);
      } finally {
        // of TCP, of sockets that name their peer with each datagram, or of no socket any more
        for (const { map, key, value } of notes) if (!moved.has(key.cookie)) map.set(key, value);
      }
      for (const netns of this.#members(rows))
        await this.#lead(netns, [], await this.#early(netns, rows, []));
    } catch (e) {
      log.warn('connected UDP sockets stay where they were', { err: e });
    }
  }

  /** Answers which could be moved. The others of `moves` are ended; those of `early` go on where nobody is. */
  async #lead(netns: string | null, moves: Moves, early: Moves): Promise<ReadonlySet<bigint>> {
    const all = [...moves, ...early];
    if (all.length === 0) return new Set();
    const { moved, refused, stuck } = await this.#o.move(netns, all);
    const had = moves.filter(({ cookie }) => refused.has(cookie)).map(({ cookie }) => cookie);
    const doomed = new Set([...stuck, ...had]);
    const peers = all.filter(({ cookie }) => doomed.has(cookie)).map(({ from }) => from);
    const ended = doomed.size === 0 ? 0 : await this.#o.destroy(netns, peers, doomed);
    if (moved.size + ended > 0)
      this.#o.log.info('connected UDP sockets follow what they named', {
        netns: netns ?? 'host',
        moved: moved.size,
        ended,
      });
    return moved;
  }

  /** Namespaces of the sandboxes on these services' networks. */
  #members(rows: readonly (PublishRow | ServiceRow)[]): Set<string> {
    const nets = new Set(rows.map((row) => (row.kind === 'service' ? row.net : 0)));
    const found = new Set<string>();
    for (const { net, netns } of this.#o.tables.rows('socket-member')) if (nets.has(net)) found.add(netns);
    return found;
  }

  /** Those whose container is not the one any more that what they named leads to. */
  async #translated() {
    const { socket_peers4, socket_peers6 } = this.#o.maps;
    const moves: Move[] = [];
    const notes: { map: PeerMap; key: PeerKey; value: PeerValue }[] = [];
    for (const map of [socket_peers4, socket_peers6]) {
      for await (const [key, value] of map.entries()) {
        const { addr, port, backend, client } = value;
        // what leads to a backend ends with it, see DeadSockets
        if (backend !== 0 || client !== 0) continue;
        const to = this.#leadsTo({ address: addr, port });
        if (to !== null && to !== SERVICE && to.address === key.addr && to.port === key.port) continue;
        const { cookie } = key;
        moves.push({ cookie, from: { address: key.addr, port: key.port }, to: { address: addr, port } });
        notes.push({ map, key, value });
      }
    }
    return { moves, notes };
  }

  /** Those that named what one of these rows has, before it had it. */
  async #early(
    netns: string | null,
    rows: readonly (PublishRow | ServiceRow)[],
    known: Moves,
  ): Promise<Moves> {
    const early: Move[] = [];
    const translated = new Set(known.map(({ cookie }) => cookie));
    for (const { cookie, peer, device } of await this.#o.connected(netns)) {
      // what is bound to a device is never translated
      if (device !== 0 || translated.has(cookie) || !rows.some((row) => names(row, peer))) continue;
      const served = rows.some((row) => row.kind === 'service' && names(row, peer));
      if (served || (netns === null && this.#leadsTo(peer) !== null))
        early.push({ cookie, from: peer, to: peer });
    }
    return early;
  }

  /** Where a UDP socket of the host that names this gets now; null: it is not translated. As socket_publish(). */
  #leadsTo({ address, port }: Peer): Peer | typeof SERVICE | null {
    const { port_slots, publish_addr4, publish_addr6, publishes, endpoints } = this.#o.maps;
    const v6 = isIpv6(address);
    const table = port_table.PORT_TABLE_UDP + (v6 ? port_table.PORT_TABLES_FAMILY : 0);
    const slot = port_slots.get(table * 65_536 + port) ?? 0;
    let id = 0;
    if ((slot & port_slot.PORT_SLOT_BY_ADDRESS) !== 0)
      id = (v6 ? publish_addr6 : publish_addr4).get({ addr: address, port, protocol: PROTOCOL.udp }) ?? 0;
    if (id === 0 && this.#isHost(address)) id = slot & port_slot.PORT_SLOT_ID;
    const publish = id === 0 ? undefined : publishes.get(id);
    if (publish === undefined) return null;
    if ((publish.flags & publish_flag.PUBLISH_SERVICE) !== 0) return SERVICE;
    if (endpoints.get(publish.endpoint)?.generation !== publish.generation) return null;
    const to = v6 ? publish.addr6 : publish.addr4;
    if (to === NO_ADDRESS || to === NO_ADDRESS6) return null;
    return { address: to, port: port - publish.host_port + publish.port };
  }

  #isHost(address: string): boolean {
    const { host_addr4, host_addr6 } = this.#o.maps;
    if (isIpv6(address)) return address === '::1' || host_addr6.get(address) !== undefined;
    return address.startsWith('127.') || host_addr4.get(address) !== undefined;
  }
}

const isUdp = ({ protocol }: { protocol: string }): boolean => protocol === 'udp';

function names(row: PublishRow | ServiceRow, { address, port }: Peer): boolean {
  if (row.kind === 'publish') return row.hostPort <= port && port <= row.hostPortEnd;
  return (address === row.vip4 || address === row.vip6) && row.ports.some((p) => isUdp(p) && p.port === port);
}
