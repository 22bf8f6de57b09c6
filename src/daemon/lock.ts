// SPDX-License-Identifier: Apache-2.0
/**
 * One daemon a place. Locks are listening unix sockets, which the kernel
 * releases with their process whatever its end. An abstract name belongs to
 * the network namespace, so it guards exactly that; a directory is guarded by
 * a socket file, which is the same seen from every network namespace.
 */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../base/directories.js';
import { SluiceError } from '../base/errors.js';

const LOCKS = '/run/sluice/locks';
const NETNS_NAME = '\0sluice-daemon';

export interface Place {
  stateDir: string;
  bpffs: string;
}

export class Locks {
  readonly #servers: Server[] = [];

  /** All or none. */
  static async take(place: Place): Promise<Locks> {
    const locks = new Locks();
    try {
      await locks.#take(NETNS_NAME, 'this network namespace');
      await locks.#take(lockFile(place.stateDir), place.stateDir);
      await locks.#take(lockFile(place.bpffs), place.bpffs);
      return locks;
    } catch (e) {
      await locks.release();
      throw e;
    }
  }

  async release(): Promise<void> {
    // Closing a server removes its socket file.
    await Promise.all(this.#servers.splice(0).map((s) => new Promise((resolve) => s.close(resolve))));
  }

  async #take(path: string, what: string): Promise<void> {
    if (!path.startsWith('\0')) makeDirectory(dirname(path), 0o755);
    for (let again = false; ; again = true) {
      try {
        this.#servers.push(await bind(path));
        return;
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw e;
        if (again || path.startsWith('\0') || (await answers(path))) {
          throw new SluiceError('daemon_running', `another daemon runs on ${what}`, {
            hint: 'stop it, or give each its own network namespace, --state-dir and --bpffs',
          });
        }
        rmSync(path, { force: true });
      }
    }
  }
}

function lockFile(directory: string): string {
  return join(LOCKS, createHash('sha256').update(directory).digest('hex').slice(0, 16));
}

function bind(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      server.unref();
      resolve(server);
    });
  });
}

/** Whether somebody listens there. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
