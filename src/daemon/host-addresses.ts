// SPDX-License-Identifier: Apache-2.0
import type { Log } from '../base/log.js';
import type { HostView } from '../cnm/host.js';
import type { DataplaneMaps } from '../maps/dataplane.js';
import { flow_flag } from '../maps/generated/enums.js';
import { HostAddresses } from '../reconcile/host-addresses.js';
import type { PublishOps } from '../reconcile/ops/publish.js';
import type { Tables } from '../reconcile/tables.js';
import type { KernelConntrack } from './conntrack.js';

export interface HostAddressesKernel {
  maps: DataplaneMaps;
  tables: Tables;
  host: Pick<HostView, 'placeOf'>;
  publishes: PublishOps;
  conntrack: KernelConntrack;
  log: Log;
}

/** What depends on the host's addresses, over the tables in the kernel. */
export async function hostAddresses({
  maps,
  tables,
  host,
  publishes,
  conntrack,
  log,
}: HostAddressesKernel): Promise<HostAddresses> {
  const known: string[] = [];
  for (const map of [maps.host_addr4, maps.host_addr6])
    for await (const [address] of map.entries()) known.push(address);
  return new HostAddresses({
    tables,
    known,
    isOwn: async (address) => (await host.placeOf(address)) === 'own',
    setPresent: (address, present) => publishes.setPresent(address, present),
    end: (ends) =>
      conntrack.end((key, { flags, ...flow }) =>
        ends({ key, flow: { ...flow, service: (flags & flow_flag.FLOW_SERVICE) !== 0 } }),
      ),
    log,
  });
}
