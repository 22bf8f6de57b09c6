// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import type { SocketMemberRow } from '../../cnm/rows.js';
import type { Awaited } from '../awaited.js';
import type { KernelMaps, NetnsApi } from '../kernel.js';
import type { Actual, Ops, Stray } from '../ops.js';
import type { Tables } from '../tables.js';

type MemberMaps = Pick<KernelMaps, 'socket_members' | 'socket_namespaces' | 'socket_netns'>;

/** bpf/maps/socket.h: SOCKET_NAMESPACES */
const NAMESPACES = 4096n;

interface Member {
  readonly cookie: bigint;
  readonly net: number;
}

export interface SocketMemberOptions {
  maps: MemberMaps;
  netns: Pick<NetnsApi, 'info'>;
  tables: Tables;
  awaited: Awaited;
}

/** Index into `socket_namespaces`. */
export function namespacePlace(cookie: bigint): number {
  return Number(cookie % NAMESPACES);
}

/**
 * Whose sockets may name the addresses of a network's services, by the cookie
 * of their namespace. A container's namespace may get its path only after the
 * container has joined, or stay out of sight: a row is done in any case, and
 * the namespace is looked for on and on.
 */
export class SocketMemberOps implements Ops<SocketMemberRow> {
  readonly #o: SocketMemberOptions;
  /** By slot: what this process wants, and what it has written or found. */
  readonly #wanted = new Map<number, SocketMemberRow>();
  readonly #have = new Map<number, Member>();

  constructor(options: SocketMemberOptions) {
    this.#o = options;
  }

  async update(row: SocketMemberRow): Promise<void> {
    this.#wanted.set(row.slot, row);
    if (!(await this.#register(row)) && this.#wants(row)) this.#await(row);
  }

  async delete(row: SocketMemberRow): Promise<void> {
    this.#o.awaited.drop(waitKey(row.slot));
    this.#wanted.delete(row.slot);
    if (this.#have.has(row.slot)) this.#forget(row.slot);
    else await this.#forgetUnknown(row);
  }

  async read(): Promise<Actual<SocketMemberRow>> {
    const { maps, tables, awaited } = this.#o;
    const cookies = new Map<string, bigint>();
    for (const row of tables.rows('socket-member')) {
      if (!cookies.has(row.netns)) cookies.set(row.netns, await this.#cookie(row));
    }
    const members: [Member, number][] = [];
    for await (const pair of maps.socket_members.entries()) members.push(pair);
    const slots = new Map(members.map(([key, slot]) => [text(key), slot]));
    for (const row of [...tables.rows('socket-member')]) {
      const cookie = cookies.get(row.netns);
      if (cookie === undefined) continue;
      const member = { cookie, net: row.net };
      this.#wanted.set(row.slot, row);
      if (cookie === 0n) {
        if (!awaited.has(waitKey(row.slot))) this.#await(row);
      } else if (slots.get(text(member)) === row.slot) this.#have.set(row.slot, member);
    }
    return {
      holds: (row) => {
        const cookie = cookies.get(row.netns);
        if (cookie === undefined || cookie === 0n) return cookie === 0n;
        return (
          slots.get(text({ cookie, net: row.net })) === row.slot &&
          maps.socket_namespaces.get(namespacePlace(cookie)) === 1
        );
      },
      strays: () => this.#strays(members),
    };
  }

  #strays(members: readonly [Member, number][]): Stray[] {
    const { socket_members } = this.#o.maps;
    const own = new Set([...this.#have.values()].map(text));
    return members
      .filter(([member]) => !own.has(text(member)))
      .map(([member, slot]) => ({
        what: `sockets of namespace ${member.cookie} on network ${member.net}`,
        remove: () => {
          if (socket_members.get(member) === slot) socket_members.delete(member);
          this.#leave(member.cookie);
        },
      }));
  }

  /** False: the namespace is not to be seen. */
  async #register(row: SocketMemberRow): Promise<boolean> {
    const { maps } = this.#o;
    const cookie = await this.#cookie(row);
    if (!this.#wants(row)) return true;
    const member = { cookie, net: row.net };
    const had = this.#have.get(row.slot);
    if (had !== undefined && !isDeepStrictEqual(had, member)) this.#forget(row.slot);
    if (cookie === 0n) return false;
    this.#have.set(row.slot, member);
    // the place first: an entry that no hook looks for serves nobody
    maps.socket_namespaces.set(namespacePlace(cookie), 1);
    maps.socket_members.set(member, row.slot);
    return true;
  }

  #await(row: SocketMemberRow): void {
    this.#o.awaited.add(waitKey(row.slot), () => this.#register(row));
  }

  #wants(row: SocketMemberRow): boolean {
    return this.#wanted.get(row.slot) === row;
  }

  /** 0: there is no namespace, or the kernel gives none a cookie. */
  async #cookie({ netns }: SocketMemberRow): Promise<bigint> {
    try {
      return (await this.#o.netns.info(netns))?.cookie ?? 0n;
    } catch {
      return 0n;
    }
  }

  #forget(slot: number): void {
    const { socket_members } = this.#o.maps;
    const member = this.#have.get(slot);
    if (member === undefined) return;
    this.#have.delete(slot);
    if (socket_members.get(member) === slot) socket_members.delete(member);
    this.#leave(member.cookie);
  }

  /** An entry that an earlier process wrote: its cookie can no longer be asked for. */
  async #forgetUnknown({ net, slot }: SocketMemberRow): Promise<void> {
    const { socket_members } = this.#o.maps;
    const found: Member[] = [];
    for await (const [member, of] of socket_members.entries())
      if (of === slot && member.net === net) found.push(member);
    for (const member of found) {
      socket_members.delete(member);
      this.#leave(member.cookie);
    }
  }

  /** Frees a namespace's place, unless another one of ours shares it. */
  #leave(cookie: bigint): void {
    const { socket_namespaces, socket_netns } = this.#o.maps;
    const place = namespacePlace(cookie);
    const shared = [...this.#have.values()].some((other) => namespacePlace(other.cookie) === place);
    const host = socket_netns.get(0) ?? 0n;
    if (!shared && (host === 0n || namespacePlace(host) !== place)) socket_namespaces.set(place, 0);
  }
}

function waitKey(slot: number): string {
  return `socket-member ${slot}`;
}

function text({ cookie, net }: Member): string {
  return `${cookie} ${net}`;
}
