// SPDX-License-Identifier: Apache-2.0
/**
 * Namespaces to try src/link in, and iproute2 as the independent witness. The
 * machine's own namespace is never changed.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { Netlink } from '../../src/link/netlink.js';
import { Netns } from '../../src/link/netns.js';
import { netNative } from '../../src/native/net.js';

export const native = netNative();
export const netns = new Netns(native);

const RUN = '/run/netns';

/** Namespaces whose names share a random part; close() removes them whatever happened. */
export class Lab {
  readonly prefix = `slt${randomBytes(4).toString('hex')}`;
  readonly #paths: string[] = [];
  readonly #open: { close(): void }[] = [];

  /** A path that is free and that close() clears. */
  reserve(name: string): string {
    const path = `${RUN}/${this.prefix}${name}`;
    this.#paths.push(path);
    return path;
  }

  async namespace(name: string): Promise<string> {
    const path = this.reserve(name);
    await netns.createNetns(path);
    return path;
  }

  async netlink(path: string): Promise<Netlink> {
    const netlink = await Netlink.open(native, path);
    this.#open.push(netlink);
    return netlink;
  }

  async close(): Promise<void> {
    for (const netlink of this.#open) netlink.close();
    for (const path of this.#paths) if (await netns.isNetns(path)) await netns.deleteNetns(path);
  }

  /** What this lab has left behind. */
  left(): string[] {
    return readdirSync(RUN).filter((name) => name.startsWith(this.prefix));
  }
}

/** A command run in the namespace at `path`. */
export function inside(path: string, command: string, args: readonly string[], input?: string): string {
  return execFileSync('nsenter', [`--net=${path}`, command, ...args], {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  });
}

/** What iproute2 prints is as wide as its version; tests pick what they compare. */
export type Printed = Record<string, unknown>;

export function ip(path: string, ...args: string[]): Printed[] {
  return JSON.parse(inside(path, 'ip', ['-j', '-d', ...args]) || '[]') as Printed[];
}

export function bridge(path: string, ...args: string[]): Printed[] {
  return JSON.parse(inside(path, 'bridge', ['-j', '-d', ...args]) || '[]') as Printed[];
}

/** The link of that name, as `ip` sees it. */
export function ipLink(path: string, name: string): Printed | undefined {
  return ip(path, 'link', 'show').find((link) => link.ifname === name);
}

export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Polls: what the kernel does behind an acknowledgement has no event to wait for. */
export async function eventually<T>(look: () => T | undefined | false, milliseconds = 20_000): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
