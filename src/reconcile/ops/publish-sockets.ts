// SPDX-License-Identifier: Apache-2.0
import type { PublishRow } from '../../cnm/rows.js';
import type { Actual, Ops } from '../ops.js';
import type { UdpTargets } from '../udp-targets.js';

/** Published ports that connected sockets of the host follow. */
export class PublishSocketOps implements Ops<PublishRow> {
  readonly #inner: Ops<PublishRow>;
  readonly #targets: Pick<UdpTargets, 'changed'>;

  constructor(inner: Ops<PublishRow>, targets: Pick<UdpTargets, 'changed'>) {
    this.#inner = inner;
    this.#targets = targets;
  }

  async update(row: PublishRow, was: readonly PublishRow[]): Promise<void> {
    await this.#inner.update(row, was);
    for (const changed of [row, ...was]) this.#targets.changed(changed);
  }

  expect(row: PublishRow): void {
    this.#inner.expect?.(row);
  }

  async delete(row: PublishRow): Promise<void> {
    await this.#inner.delete(row);
    this.#targets.changed(row);
  }

  read(): Promise<Actual<PublishRow>> {
    return this.#inner.read();
  }
}
