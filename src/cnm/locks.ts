// SPDX-License-Identifier: Apache-2.0
/**
 * Locks on objects, held while the kernel catches up with a change. Whoever
 * needs several takes them in the order endpoint, sandbox, network, service,
 * and two of a kind, which only networks ever are, in the order of their ids,
 * so that nobody waits in a circle. First come, first served.
 */

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

  async with<T>(id: string, mode: LockMode, task: () => Promise<T>): Promise<T> {
    await this.#acquire(id, mode);
    try {
      return await task();
    } finally {
      this.#release(id);
    }
  }

  #acquire(id: string, mode: LockMode): Promise<void> {
    const lock = this.#locks.get(id) ?? { held: 0, queue: [] };
    this.#locks.set(id, lock);
    return new Promise((go) => {
      lock.queue.push({ mode, go });
      this.#admit(id);
    });
  }

  #release(id: string): void {
    const lock = this.#locks.get(id) as Lock;
    lock.held -= Math.sign(lock.held);
    this.#admit(id);
  }

  #admit(id: string): void {
    const lock = this.#locks.get(id) as Lock;
    for (;;) {
      const next = lock.queue[0];
      const free = next?.mode === 'exclusive' ? lock.held === 0 : lock.held >= 0;
      if (!next || !free) break;
      lock.queue.shift();
      lock.held = next.mode === 'exclusive' ? -1 : lock.held + 1;
      next.go();
    }
    if (lock.held === 0 && lock.queue.length === 0) this.#locks.delete(id);
  }
}
