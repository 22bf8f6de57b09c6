// SPDX-License-Identifier: Apache-2.0
/** Host ports that lead to services. */
import type { Change } from '../change.js';
import type { Context } from '../context.js';
import { findDriver } from '../drivers/registry.js';
import type { PortSpec } from '../portspec.js';
import type { HostSockets } from '../publishing.js';
import type { NetworkRecord, ServiceRecord } from '../records.js';
import { servicePortClaim } from '../state.js';
import type { ServicePublish } from '../types.js';

type Published = ServiceRecord['publish'][number];

/** What to look for among the host's sockets. */
export function specsOf(publish: readonly ServicePublish[]): PortSpec[] {
  return publish.map(({ hostPort, port, protocol }) => ({
    hostIp: null,
    hostPort,
    port,
    portEnd: port,
    protocol,
  }));
}

export function takePort(
  { state }: Pick<Context, 'state'>,
  change: Change,
  service: string,
  network: NetworkRecord,
  { hostPort, port, protocol }: ServicePublish,
  sockets: HostSockets,
): Published {
  const hostIp = findDriver(network.driver).defaultHostIp(network);
  change.allocated(
    () =>
      state.ports.claim(
        { protocol, hostIp, first: hostPort, count: 1, owner: service },
        sockets[protocol],
        (owner) => state.holderOf(owner),
      ),
    (claim) => state.ports.release(claim),
  );
  change.mark(state.publishIds.mark());
  const id = change.allocated(
    () => state.publishIds.allocate(),
    (taken) => state.publishIds.release(taken),
  );
  return { id, hostIp, hostPort, port, protocol };
}

/** Free at once, so that the same change can take the port again; taken again if it fails. */
export function dropPort(
  { state }: Pick<Context, 'state'>,
  change: Change,
  service: string,
  port: Published,
): void {
  const { id } = port;
  if (id === null) return;
  const claim = servicePortClaim(service, port);
  change.allocated(
    () => state.ports.release(claim),
    () => void state.ports.restore(claim),
  );
  change.onDone(() => state.publishIds.release(id));
}
