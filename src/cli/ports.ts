// SPDX-License-Identifier: Apache-2.0
import type { PortMappingObject } from '../api/schemas/objects.js';

/** As Docker prints them: `0.0.0.0:8080->80/tcp`, `8000-8010->80-90/tcp` for a range. */
export function formatPort({
  hostIp,
  hostPort,
  hostPortEnd,
  port,
  portEnd,
  protocol,
}: PortMappingObject): string {
  const ip = hostIp === '' ? '0.0.0.0' : hostIp.includes(':') ? `[${hostIp}]` : hostIp;
  return `${ip}:${range(hostPort, hostPortEnd)}->${range(port, portEnd)}/${protocol}`;
}

function range(first: number, last: number): string {
  return first === last ? String(first) : `${first}-${last}`;
}
