// SPDX-License-Identifier: Apache-2.0
/**
 * PORTSPEC, `[[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/tcp|udp|sctp]`: an IPv6
 * HOSTIP in brackets, no HOSTPORT or 0 for an ephemeral one. `HOSTIP::PORT`,
 * which Docker documents, is read as `HOSTIP:0:PORT`.
 */
import { SluiceError } from '../base/errors.js';
import { checkHostIp4, hostIpPrefix, parseHostIp6 } from './hostip.js';
import type { PortMapping, Protocol } from './types.js';

export interface PortSpec {
  /** null: not given. */
  readonly hostIp: string | null;
  /** null: ephemeral. Otherwise as long a range as that of the container's ports. */
  readonly hostPort: number | null;
  readonly port: number;
  /** Inclusive. */
  readonly portEnd: number;
  readonly protocol: Protocol;
}

/** `field` names the request's field in errors. */
export function parsePortSpec(text: string, field = 'ports'): PortSpec {
  const refuse = (why: string, hint = GRAMMAR): never => {
    throw new SluiceError('invalid_argument', `port mapping '${text}': ${why}`, { field, hint });
  };
  const slash = text.indexOf('/');
  const ports = slash < 0 ? text : text.slice(0, slash);
  const protocol = slash < 0 ? 'tcp' : text.slice(slash + 1).toLowerCase();
  if (!isProtocol(protocol)) return refuse(`'${protocol}' is not a protocol`, 'use tcp, udp or sctp');

  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]+)):(?=[^:]*:))?(?:([^:[\]]*):)?([^:[\]]+)$/.exec(ports);
  if (!match) return refuse('malformed');
  const [, ip6, ip4, hostText, portText] = match as unknown as [string, ...(string | undefined)[]];
  if (hostText === '' && ip6 === undefined && ip4 === undefined) return refuse('malformed');

  const container = parseRange(portText as string, refuse);
  if (container.first === 0) return refuse('0 is not a port of a container');
  const host = parseRange(hostText || '0', refuse);
  const ephemeral = host.first === 0;
  if (ephemeral && host.last !== 0) return refuse('a range of host ports cannot begin at 0');
  if (!ephemeral && host.last - host.first !== container.last - container.first) {
    return refuse(
      `${count(host)} host ports for ${count(container)} container ports`,
      'give ranges of the same length',
    );
  }

  const hint = 'give an address of this host, or none for all';
  if (ip4 !== undefined) checkHostIp4(ip4, (why) => refuse(why, hint));
  const hostIp6 = ip6 === undefined ? null : parseHostIp6(ip6, (why) => refuse(why, hint));
  return {
    hostIp: ip4 ?? hostIp6,
    hostPort: ephemeral ? null : host.first,
    port: container.first,
    portEnd: container.last,
    protocol,
  };
}

const GRAMMAR =
  'write [[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/tcp|udp|sctp], ports 1 to 65535, such as 8080:80';

/** The spec that parsePortSpec reads back as this mapping. */
export function formatPortMapping(mapping: Omit<PortMapping, 'allow'>): string {
  const ip = hostIpPrefix(mapping.hostIp);
  const host = range(mapping.hostPort, mapping.hostPortEnd);
  return `${ip}${host}:${range(mapping.port, mapping.portEnd)}/${mapping.protocol}`;
}

export function formatPortSpec(spec: PortSpec): string {
  const host =
    spec.hostPort === null
      ? spec.hostIp === null
        ? ''
        : '0:'
      : `${range(spec.hostPort, spec.hostPort + spec.portEnd - spec.port)}:`;
  return `${hostIpPrefix(spec.hostIp ?? '')}${host}${range(spec.port, spec.portEnd)}/${spec.protocol}`;
}

export function range(first: number, last: number): string {
  return first === last ? String(first) : `${first}-${last}`;
}

type Range = { first: number; last: number };

function parseRange(text: string, refuse: (why: string) => never): Range {
  const match = /^(0|[1-9]\d*)(?:-(0|[1-9]\d*))?$/.exec(text);
  if (!match) return refuse(`'${text}' is not a port or a range of ports`);
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (Math.max(first, last) > 65535) return refuse(`'${text}' is beyond port 65535`);
  if (last < first) return refuse(`the range '${text}' ends before it begins`);
  return { first, last };
}

function count(ports: Range): number {
  return ports.last - ports.first + 1;
}

function isProtocol(text: string): text is Protocol {
  return text === 'tcp' || text === 'udp' || text === 'sctp';
}
