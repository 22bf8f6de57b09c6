// SPDX-License-Identifier: Apache-2.0
import type { PublishRow } from '../../cnm/rows.js';
import type { HostAddresses } from '../host-addresses.js';
import type { Actual, Ops } from '../ops.js';
import type { UdpTargets } from '../udp-targets.js';

/** Published ports that connected sockets of the host follow, and whose flows end with them. */
export class PublishSocketOps implements Ops<PublishRow> {
  readonly #inner: Ops<PublishRow>;
  readonly #targets: Pick<UdpTargets, 'changed'>;
  readonly #addresses: Pick<HostAddresses, 'unpublished'>;

  constructor(
    inner: Ops<PublishRow>,
    targets: Pick<UdpTargets, 'changed'>,
    addresses: Pick<HostAddresses, 'unpublished'>,
  ) {
    this.#inner = inner;
    this.#targets = targets;
    this.#addresses = addresses;
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
    this.#addresses.unpublished(row);
  }

  read(): Promise<Actual<PublishRow>> {
    return this.#inner.read();
  }
}
