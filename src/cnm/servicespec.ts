// SPDX-License-Identifier: Apache-2.0
/** The text forms of a service's settings, on the command line and in labels. */
import { SluiceError } from '../base/errors.js';
import { parseDuration } from '../base/units.js';
import type { Algorithm, Protocol, ServicePort, ServicePublish } from './types.js';

export const MAX_WEIGHT = 1000;
/** Of --affinity without a value, in seconds. */
export const DEFAULT_AFFINITY = 10_800;
export const MAX_AFFINITY = 7 * 86_400;
const MAX_PORTS = 32;

function refuse(field: string, message: string, hint: string): never {
  throw new SluiceError('invalid_argument', message, { field, hint });
}

/** `VIPPORT[:BACKENDPORT][/proto]`, several separated by commas. */
export function parseServicePorts(text: string, field: string): ServicePort[] {
  const hint = 'write VIPPORT[:BACKENDPORT][/tcp|udp|sctp], several separated by commas';
  const ports = items(text, field, hint).map((item) => {
    const [, port, backendPort, protocol] = /^(\d+)(?::(\d+))?(?:\/(\w+))?$/.exec(item) ?? [];
    if (port === undefined) return refuse(field, `'${item}' is not a port of a service`, hint);
    const parsed = {
      port: parsePort(port, field, hint),
      backendPort: parsePort(backendPort ?? port, field, hint),
      protocol: parseProtocol(protocol, field),
    };
    if (parsed.port !== parsed.backendPort) refuseSctp(item, parsed.protocol, field);
    return parsed;
  });
  once(ports, ({ port, protocol }) => `${port}/${protocol}`, field, text);
  return ports;
}

/**
 * `HOSTPORT[:VIPPORT][/proto]`, several separated by commas. Without VIPPORT it
 * is the service's port of that number, or else its only one.
 */
export function parseServicePublish(
  text: string,
  ports: readonly ServicePort[],
  field: string,
): ServicePublish[] {
  const hint = 'write HOSTPORT[:VIPPORT][/tcp|udp|sctp], several separated by commas';
  const publishes = items(text, field, hint).map((item): ServicePublish => {
    const [, host, vip, word] = /^(\d+)(?::(\d+))?(?:\/(\w+))?$/.exec(item) ?? [];
    if (host === undefined) return refuse(field, `'${item}' is not a published port`, hint);
    const hostPort = parsePort(host, field, hint);
    const protocol = word === undefined ? null : parseProtocol(word, field);
    const eligible = ports.filter((port) => protocol === null || port.protocol === protocol);
    const wanted = vip === undefined ? hostPort : parsePort(vip, field, hint);
    const named = eligible.filter(({ port }) => port === wanted);
    const [found, ...others] = named.length > 0 || vip !== undefined ? named : eligible;
    if (found === undefined) {
      return refuse(field, `'${item}' publishes no port of the service`, 'name a port that the service has');
    }
    if (others.length > 0) {
      return refuse(field, `'${item}' could be several ports of the service`, 'write HOSTPORT:VIPPORT/proto');
    }
    if (hostPort !== found.port) refuseSctp(item, found.protocol, field);
    return { hostPort, port: found.port, protocol: found.protocol };
  });
  once(publishes, ({ hostPort, protocol }) => `${hostPort}/${protocol}`, field, text);
  return publishes;
}

export function parseWeight(text: string, field: string): number {
  const weight = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (weight <= MAX_WEIGHT) return weight;
  return refuse(
    field,
    `'${text}' is not a weight`,
    `weights are whole numbers from 0 (no new flows) to ${MAX_WEIGHT}`,
  );
}

export function parseAlgorithm(text: string, field: string): Algorithm {
  if (text === 'random' || text === 'maglev') return text;
  return refuse(field, `'${text}' is not an algorithm`, 'use random or maglev');
}

/** Seconds, null for off. Without a value it is on, for the usual time. */
export function parseAffinity(text: string, field: string): number | null {
  if (text === '' || text === 'true') return DEFAULT_AFFINITY;
  if (text === 'false' || text === 'off') return null;
  const milliseconds = parseDuration(text);
  const seconds = milliseconds === null ? Number.NaN : Math.round(milliseconds / 1000);
  if (seconds >= 1 && seconds <= MAX_AFFINITY) return seconds;
  return refuse(field, `'${text}' is not a time of affinity`, 'write seconds or 30m, 3h; at most 7d');
}

function items(text: string, field: string, hint: string): string[] {
  const found = text.split(',').map((item) => item.trim().toLowerCase());
  if (found.some((item) => item === '')) refuse(field, `'${text}' names no port`, hint);
  if (found.length > MAX_PORTS) {
    refuse(field, `${found.length} ports, ${MAX_PORTS} at most`, 'make several services');
  }
  return found;
}

function parsePort(text: string, field: string, hint: string): number {
  const port = Number(text);
  if (port >= 1 && port <= 65535) return port;
  return refuse(field, `'${text}' is not a port number`, hint);
}

function parseProtocol(word: string | undefined, field: string): Protocol {
  if (word === undefined) return 'tcp';
  if (word === 'tcp' || word === 'udp' || word === 'sctp') return word;
  return refuse(field, `'${word}' is not a protocol`, 'use tcp, udp or sctp');
}

/** An SCTP checksum covers the ports and cannot be adjusted by difference. */
function refuseSctp(item: string, protocol: Protocol, field: string): void {
  if (protocol !== 'sctp') return;
  refuse(
    field,
    `'${item}': an SCTP port leads to the port of the same number only`,
    'give the same number twice',
  );
}

function once<T>(values: readonly T[], keyOf: (value: T) => string, field: string, text: string): void {
  const keys = values.map(keyOf);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) refuse(field, `'${text}' names ${twice} twice`, 'name each port once');
}
