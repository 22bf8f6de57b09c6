// SPDX-License-Identifier: Apache-2.0
/**
 * The netlink and namespace half of the addon. Messages are opaque here: they
 * are built and read in src/link.
 */
import { loadAddon } from './load.js';

/** A netlink socket; close it with netClose, or leave it to the garbage collector. */
export type NetSocket = { readonly __brand: 'NetSocket' };

export interface NetNative {
  /**
   * `protocol`: NETLINK_*; `netns`: the path of a namespace to open it in, null
   * for our own, '' for a new one that ends with the socket. `strict`: dumps heed
   * what the request asks for (NETLINK_GET_STRICT_CHK).
   */
  netOpen(protocol: number, netns: string | null, strict?: boolean): Promise<NetSocket>;
  /**
   * Sends one or more whole messages (sequence numbers are filled in), each
   * once the one before is acknowledged, and answers the data messages that
   * came back, headers included. Rejects at the first that fails; what comes
   * after it is not sent. `name` says what they are, for the error. A dump that
   * was interrupted is repeated.
   */
  netRequest(socket: NetSocket, name: string, messages: Buffer): Promise<Buffer[]>;
  /**
   * Sends messages in one datagram, as a subsystem wants them that takes all or
   * none. Exactly one asks for an acknowledgement; the first answer ends it.
   */
  netBatch(socket: NetSocket, name: string, messages: Buffer): Promise<Buffer[]>;
  /** Joins multicast groups; null stands for messages lost (ENOBUFS). */
  netListen(socket: NetSocket, groups: number[], onMessages: (datagram: Buffer | null) => void): void;
  netClose(socket: NetSocket): void;
  /**
   * Sends an Ethernet frame out of each of the interfaces, in the namespace at
   * `netns`, null: our own. One that is down or gone is passed over.
   */
  netSend(netns: string | null, ifindexes: number[], frame: Buffer): Promise<void>;
  netnsCreate(path: string): Promise<void>;
  netnsDelete(path: string): Promise<void>;
  /** null: the path is no network namespace. `cookie` is 0 before Linux 5.14. */
  netnsInfo(path: string): Promise<{ inode: bigint; cookie: bigint } | null>;
  netnsWrite(path: string, file: string, text: string): Promise<void>;
  netnsRead(path: string, file: string): Promise<string>;
  /**
   * The descriptor of a socket made inside the namespace at `path`, not
   * blocking, the caller's to close. `address` is the one to bind or to connect
   * to, of either family; `connect` does not wait; `mark` 0 is none. A UDP
   * socket takes 2 MiB and more before it drops.
   */
  netnsSocket(
    path: string,
    tcp: boolean,
    address: string,
    port: number,
    action: 'bind' | 'listen' | 'connect',
    mark: number,
  ): Promise<number>;
  /** Packets that the socket `fd` had no room for. */
  socketDrops(fd: number): number;
  /**
   * Connects a datagram socket of another process anew, if it still bears this
   * cookie. `fresh`: with the source that a new socket would get; it has no peer
   * then if that fails. The error's `syscall` is `connect` where nobody is there.
   */
  socketReconnect(
    pid: number,
    fd: number,
    cookie: bigint,
    address: string,
    port: number,
    fresh: boolean,
  ): void;
}

export function netNative(): NetNative {
  return loadAddon() as NetNative;
}
