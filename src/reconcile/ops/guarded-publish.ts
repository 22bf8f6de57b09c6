// SPDX-License-Identifier: Apache-2.0
import { Coalesced } from '../../base/coalesced.js';
import { SluiceError } from '../../base/errors.js';
import type { PublishRow } from '../../cnm/rows.js';
import type { HostSocket } from '../../link/sockets.js';
import type { HostSockets } from '../kernel.js';
import type { Actual, Ops } from '../ops.js';
import type { ReservedPorts } from '../reserved-ports.js';
import { places } from './publish.js';
import { isIpv6, NO_ADDRESS, NO_ADDRESS6 } from './values.js';

/**
 * Published ports, kept free of the host's own sockets. Once the slots are
 * written no process can bind such a port, and once it is reserved the kernel
 * picks it for none; whoever was quicker is found after that, so that no moment
 * is without a guard.
 */
export class GuardedPublishOps implements Ops<PublishRow> {
  readonly #inner: Ops<PublishRow>;
  readonly #sockets: Coalesced<readonly HostSocket[]>;
  readonly #reserved: Pick<ReservedPorts, 'changed'>;

  constructor(inner: Ops<PublishRow>, sockets: HostSockets, reserved: Pick<ReservedPorts, 'changed'>) {
    this.#inner = inner;
    this.#sockets = new Coalesced(sockets);
    this.#reserved = reserved;
  }

  async update(row: PublishRow, was: readonly PublishRow[]): Promise<void> {
    await this.#inner.update(row, was);
    for (const changed of [row, ...was]) await this.#reserved.changed(changed);
    const holder = (await this.#sockets.run()).find((socket) => isInTheWay(socket, row));
    if (holder !== undefined) {
      await this.#inner.delete(row);
      throw new SluiceError(
        'port_taken',
        `host port ${holder.port}/${row.protocol} is held by a process of this host, on ${holder.address}`,
        { hint: `stop that process (ss -${row.protocol[0]}lnp shows it), or choose another host port` },
      );
    }
  }

  expect(row: PublishRow): void {
    this.#inner.expect?.(row);
  }

  async delete(row: PublishRow): Promise<void> {
    await this.#inner.delete(row);
    await this.#reserved.changed(row);
  }

  read(): Promise<Actual<PublishRow>> {
    return this.#inner.read();
  }
}

/** Whether the socket would receive what the publish wants. */
function isInTheWay(socket: HostSocket, row: PublishRow): boolean {
  if (socket.protocol !== row.protocol || socket.port < row.hostPort || socket.port > row.hostPortEnd)
    return false;
  const address = socket.address.replace(/^::ffff:/, '');
  const listens = { 4: !isIpv6(address) || (address === NO_ADDRESS6 && !socket.v6only), 6: isIpv6(address) };
  const wildcard = address === NO_ADDRESS || address === NO_ADDRESS6;
  return places(row).some(
    ({ v6, address: own }) => listens[v6 ? 6 : 4] && (own === null || wildcard || own === address),
  );
}
