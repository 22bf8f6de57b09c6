// SPDX-License-Identifier: Apache-2.0
import type { BackendRow, ServiceRow } from '../../cnm/rows.js';
import type { DeadSockets } from '../dead-sockets.js';
import type { Actual, Ops } from '../ops.js';
import type { UdpTargets } from '../udp-targets.js';

/** Services whose backends take the sockets with them that were translated to them, and whose first takes up those that were before it. */
export class ServiceSocketOps implements Ops<ServiceRow> {
  readonly #inner: Ops<ServiceRow>;
  readonly #dead: Pick<DeadSockets, 'backendsGone'>;
  readonly #targets: Pick<UdpTargets, 'changed'>;
  /** By a service's number. Who was gone before this process is looked for at its start. */
  readonly #backends = new Map<number, readonly BackendRow[]>();

  constructor(
    inner: Ops<ServiceRow>,
    dead: Pick<DeadSockets, 'backendsGone'>,
    targets: Pick<UdpTargets, 'changed'>,
  ) {
    this.#inner = inner;
    this.#dead = dead;
    this.#targets = targets;
  }

  expect(row: ServiceRow): void {
    this.#inner.expect?.(row);
    this.#backends.set(row.number, row.backends);
  }

  async update(row: ServiceRow, was: readonly ServiceRow[]): Promise<void> {
    await this.#inner.update(row, was);
    const before = this.#backends.get(row.number) ?? [];
    this.#backends.set(row.number, row.backends);
    if (before.length === 0) {
      if (row.backends.length > 0) this.#targets.changed(row);
      return;
    }
    const now = new Set(row.backends.map(({ id }) => id));
    if (before.some(({ id }) => !now.has(id))) this.#dead.backendsGone();
  }

  async delete(row: ServiceRow): Promise<void> {
    await this.#inner.delete(row);
    this.#backends.delete(row.number);
    this.#dead.backendsGone();
  }

  async read(): Promise<Actual<ServiceRow>> {
    const { holds, strays } = await this.#inner.read();
    return {
      holds,
      strays: (wanted) =>
        strays(wanted).map(({ what, remove }) => ({
          what,
          remove: async () => {
            await remove();
            this.#dead.backendsGone();
          },
        })),
    };
  }
}
