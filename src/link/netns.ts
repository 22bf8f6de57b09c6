// SPDX-License-Identifier: Apache-2.0
/** Network namespaces, as ip-netns(8) keeps them: a file bound to each. */
import { SluiceError } from '../base/errors.js';
import { settle } from '../base/settings.js';
import type { NetNative } from '../native/net.js';
import { createDefragmentTable, hasDefragmentTable } from './defragment.js';
import { Netlink } from './netlink.js';

/** Names of interfaces are parts of keys; one that climbs out would write anywhere. */
function sysctlFile(key: string): string {
  const parts = key.split('/');
  if (
    parts[0] !== 'net' ||
    parts.length < 2 ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw new SluiceError('internal', `${JSON.stringify(key)} is no key below net/`);
  }
  return `/proc/sys/${key}`;
}

export interface SocketRequest {
  readonly protocol: 'udp' | 'tcp';
  /** To bind or to connect to; 0 as `port` of the former lets the kernel pick one. */
  readonly address: string;
  readonly port: number;
  readonly action: 'bind' | 'listen' | 'connect';
  /** SO_MARK. */
  readonly mark?: number;
}

export class Netns {
  readonly #native: NetNative;

  constructor(native: NetNative) {
    this.#native = native;
  }

  /** Makes one at `path`, its loopback up. EEXIST if the file is there. */
  createNetns(path: string): Promise<void> {
    return this.#native.netnsCreate(path);
  }

  /**
   * Unbinds it; it lives on as long as a process is inside. The empty file of an
   * interrupted creation goes as well. ENOENT if there is none, EINVAL if it is
   * something else.
   */
  deleteNetns(path: string): Promise<void> {
    return this.#native.netnsDelete(path);
  }

  async isNetns(path: string): Promise<boolean> {
    return (await this.#native.netnsInfo(path)) !== null;
  }

  /** Inode and cookie (SO_NETNS_COOKIE); null if `path` is no network namespace. */
  info(path: string): Promise<{ inode: bigint; cookie: bigint } | null> {
    return this.#native.netnsInfo(path);
  }

  netlinkIn(path: string): Promise<Netlink> {
    return Netlink.open(this.#native, path);
  }

  /**
   * A socket that lives in the namespace at `path` and is used from here; its
   * descriptor is the caller's to close, and keeps the namespace alive until then.
   */
  socketIn(path: string, request: SocketRequest): Promise<number> {
    const { protocol, address, port, action, mark = 0 } = request;
    return this.#native.netnsSocket(path, protocol === 'tcp', address, port, action, mark);
  }

  /** Packets that a UDP socket had no room for. */
  drops(fd: number): number {
    return this.#native.socketDrops(fd);
  }

  /** `key` as a path below /proc/sys, `net/ipv4/conf/eth0/rp_filter`. */
  async writeSysctlIn(path: string, key: string, value: string): Promise<void> {
    const file = sysctlFile(key);
    await settle(key, value, {
      read: () => this.#native.netnsRead(path, file),
      write: (text) => this.#native.netnsWrite(path, file, text),
    });
  }

  async readSysctlIn(path: string, key: string): Promise<string> {
    return (await this.#native.netnsRead(path, sysctlFile(key))).trim();
  }

  /** By nf_tables: see defragment.ts. */
  defragmentIn(path: string): Promise<void> {
    return createDefragmentTable(this.#native, path);
  }

  defragmentsIn(path: string): Promise<boolean> {
    return hasDefragmentTable(this.#native, path);
  }
}
