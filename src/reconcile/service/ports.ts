// SPDX-License-Identifier: Apache-2.0
/** Entries of services4 and services6: a service's address, and each of its ports. */
import type { ServiceRow } from '../../cnm/rows.js';
import { service_flag } from '../../maps/generated/enums.js';
import type { ServiceKey, ServicePortValue } from '../kernel.js';
import { PROTOCOL } from '../ops/publish.js';
import { NOWHERE, type Place, samePlace } from './choices.js';

export function vips({ vip4, vip6 }: Pick<ServiceRow, 'vip4' | 'vip6'>): string[] {
  return vip6 === null ? [vip4] : [vip4, vip6];
}

/** The ports before the address, so that whoever answers for the address answers for its ports. */
export function portEntries(row: ServiceRow, place: Place): [ServiceKey, ServicePortValue][] {
  const flags =
    (row.allow.length > 0 ? service_flag.SERVICE_LIMITED : 0) |
    (row.algorithm === 'maglev' ? service_flag.SERVICE_BY_FLOW : 0);
  const entries: [ServiceKey, ServicePortValue][] = [];
  for (const addr of vips(row)) {
    for (const { port, backendPort, protocol } of row.ports)
      entries.push([
        { addr, port, protocol: PROTOCOL[protocol] },
        portValue(row, place, row.affinity ?? 0, backendPort, flags),
      ]);
    entries.push([addressKey(addr), portValue(row, NOWHERE, 0, 0, 0)]);
  }
  return entries;
}

/** Where the entries are, as text. */
export function portTexts(row: ServiceRow): string[] {
  return portKeys(row).map(portText);
}

export function portKeys(row: ServiceRow): ServiceKey[] {
  return vips(row).flatMap((addr) => [
    ...row.ports.map(({ port, protocol }) => ({ addr, port, protocol: PROTOCOL[protocol] })),
    addressKey(addr),
  ]);
}

export function portText({ addr, port, protocol }: ServiceKey): string {
  return `${addr} ${protocol} ${port}`;
}

export function samePort(a: ServicePortValue, b: ServicePortValue): boolean {
  return (
    samePlace(a, b) &&
    a.service === b.service &&
    a.net === b.net &&
    a.affinity === b.affinity &&
    a.port === b.port &&
    a.flags === b.flags
  );
}

function addressKey(addr: string): ServiceKey {
  return { addr, port: 0, protocol: 0 };
}

/** Field by field: there are thousands in a pass, and spreading objects costs ten times as much. */
function portValue(
  { number, net }: ServiceRow,
  { slots, count, weights, table, places }: Place,
  affinity: number,
  port: number,
  flags: number,
): ServicePortValue {
  return { service: number, net, slots, count, weights, table, places, affinity, port, flags };
}
