// SPDX-License-Identifier: Apache-2.0
/** Entries of services4 and services6: a service's address, and each of its ports. */
import type { ServiceRow } from '../../cnm/rows.js';
import { service_flag } from '../../maps/generated/enums.js';
import type { ServiceKey, ServicePortValue } from '../kernel.js';
import { PROTOCOL } from '../ops/publish.js';
import { NOWHERE, type Place } from './choices.js';

export function vips({ vip4, vip6 }: Pick<ServiceRow, 'vip4' | 'vip6'>): string[] {
  return vip6 === null ? [vip4] : [vip4, vip6];
}

/** The ports before the address, so that whoever answers for the address answers for its ports. */
export function portEntries(row: ServiceRow, place: Place): [ServiceKey, ServicePortValue][] {
  const flags =
    (row.allow.length > 0 ? service_flag.SERVICE_LIMITED : 0) |
    (row.algorithm === 'maglev' ? service_flag.SERVICE_BY_FLOW : 0);
  const all = { service: row.number, net: row.net };
  return vips(row).flatMap((addr) => [
    ...row.ports.map(({ port, backendPort, protocol }): [ServiceKey, ServicePortValue] => [
      { addr, port, protocol: PROTOCOL[protocol] },
      { ...all, ...place, affinity: row.affinity ?? 0, port: backendPort, flags },
    ]),
    [
      { addr, port: 0, protocol: 0 },
      { ...all, ...NOWHERE, affinity: 0, port: 0, flags: 0 },
    ],
  ]);
}

export function portText({ addr, port, protocol }: ServiceKey): string {
  return `${addr} ${protocol} ${port}`;
}
