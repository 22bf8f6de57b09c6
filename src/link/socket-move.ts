// SPDX-License-Identifier: Apache-2.0
/** Leading connected UDP sockets of any process to another peer, without their programs' doing. */
import { closeSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { isNativeError } from '../base/errors.js';
import type { NetNative } from '../native/net.js';
import { type ConnectedSocket, connectedSockets, type Peer } from './socket-diag.js';
import * as k from './uapi.js';

export interface Move {
  readonly cookie: bigint;
  /** Which it is connected to now, as its packets bear it. */
  readonly from: Peer;
  /** As a program would name it; the socket hooks see it. */
  readonly to: Peer;
}

/** By cookie. Those that nobody has any more, or that have moved by themselves, are in neither set. */
export interface Moved {
  readonly moved: ReadonlySet<bigint>;
  /** Nobody is there: they are as they were. */
  readonly refused: ReadonlySet<bigint>;
  /** Not ours to touch (CAP_SYS_PTRACE, another PID namespace), or held by no process. */
  readonly stuck: ReadonlySet<bigint>;
}

const PROTOCOL = 17;
const OWN_NETNS = '/proc/self/ns/net';

/**
 * Connects these UDP sockets anew, as far as they are connected as it is said, in the namespace at `netns`,
 * null: our own. `fresh`: each gets the source address and port that a new
 * socket would get, unless its program chose them. Flows of its old port are
 * not those of the new peer's then.
 */
export async function moveSockets(
  native: NetNative,
  netns: string | null,
  moves: readonly Move[],
  fresh: boolean,
): Promise<Moved> {
  const moved = new Set<bigint>();
  const refused = new Set<bigint>();
  const stuck = new Set<bigint>();
  const peers = moves.map(({ from }) => from);
  // a socket that was connected to several, one after the other, may be in the list with each
  const name = (cookie: bigint, { address, port }: Peer): string => `${cookie} ${address} ${port}`;
  const wanted = new Map(moves.map((move) => [name(move.cookie, move.from), move]));
  const found: { socket: ConnectedSocket; move: Move }[] = [];
  const diag = await native.netOpen(k.NETLINK_SOCK_DIAG, netns);
  try {
    for (const socket of await connectedSockets(native, diag, PROTOCOL, peers)) {
      const move = wanted.get(name(socket.cookie, socket.peer));
      if (move !== undefined) found.push({ socket, move });
    }
  } finally {
    native.netClose(diag);
  }
  const holders =
    found.length === 0 ? new Map() : await holdersOf(new Set(found.map(({ socket }) => socket.inode)));
  for (const { socket, move } of found) {
    const { cookie, to } = move;
    const holder = holders.get(socket.inode);
    if (holder === undefined) {
      stuck.add(cookie);
      continue;
    }
    try {
      if (fresh) await tryPeer(native, netns, to);
      native.socketReconnect(holder.pid, holder.fd, cookie, to.address, to.port, fresh);
      moved.add(cookie);
    } catch (e) {
      if (isNativeError(e) && e.syscall === 'connect') refused.add(cookie);
      else stuck.add(cookie);
    }
  }
  return { moved, refused, stuck };
}

/** With a socket of ours, because one that is connected afresh cannot go back. */
async function tryPeer(native: NetNative, netns: string | null, { address, port }: Peer): Promise<void> {
  closeSync(await native.netnsSocket(netns ?? OWN_NETNS, false, address, port, 'connect', 0));
}

/** A process that has each of these sockets open. */
async function holdersOf(inodes: ReadonlySet<number>): Promise<Map<number, { pid: number; fd: number }>> {
  const found = new Map<number, { pid: number; fd: number }>();
  const numbers = async (path: string): Promise<string[]> =>
    (await readdir(path).catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of await numbers('/proc')) {
    const directory = `/proc/${pid}/fd`;
    for (const fd of await numbers(directory)) {
      const target = await readlink(`${directory}/${fd}`).catch(() => '');
      const inode = Number(/^socket:\[(\d+)\]$/.exec(target)?.[1]);
      if (inodes.has(inode) && !found.has(inode)) found.set(inode, { pid: Number(pid), fd: Number(fd) });
    }
    if (found.size === inodes.size) break;
  }
  return found;
}
