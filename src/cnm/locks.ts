// SPDX-License-Identifier: Apache-2.0
/**
 * Locks on objects, held while the kernel catches up with a change. Whoever
 * needs several takes them in the order endpoint, sandbox, network, service,
 * and two of a kind, which only networks ever are, in the order of their ids,
 * so that nobody waits in a circle. First come, first served.
 */

/** Ids are apart by kind: another engine may give things of different kinds the same one. */
export type LockKind =
  | 'endpoint'
  | 'sandbox'
  | 'network'
  | 'service'
  | 'remote network'
  | 'pools'
  | 'declared';
export type LockMode = 'shared' | 'exclusive';

interface Waiter {
  readonly mode: LockMode;
  readonly go: () => void;
}

interface Lock {
  /** Holders: -1 is one exclusive. */
  held: number;
  readonly queue: Waiter[];
}

export class Locks {
  readonly #locks = new Map<string, Lock>();

  async with<T>(kind: LockKind, id: string, mode: LockMode, task: () => Promise<T>): Promise<T> {
    const key = `${kind} ${id}`;
    await this.#acquire(key, mode);
    try {
      return await task();
    } finally {
      this.#release(key);
    }
  }

  #acquire(key: string, mode: LockMode): Promise<void> {
    const lock = this.#locks.get(key) ?? { held: 0, queue: [] };
    this.#locks.set(key, lock);
    return new Promise((go) => {
      lock.queue.push({ mode, go });
      this.#admit(key);
    });
  }

  #release(key: string): void {
    const lock = this.#locks.get(key) as Lock;
    lock.held -= Math.sign(lock.held);
    this.#admit(key);
  }

  #admit(key: string): void {
    const lock = this.#locks.get(key) as Lock;
    for (;;) {
      const next = lock.queue[0];
      const free = next?.mode === 'exclusive' ? lock.held === 0 : lock.held >= 0;
      if (!next || !free) break;
      lock.queue.shift();
      lock.held = next.mode === 'exclusive' ? -1 : lock.held + 1;
      next.go();
    }
    if (lock.held === 0 && lock.queue.length === 0) this.#locks.delete(key);
  }
}
