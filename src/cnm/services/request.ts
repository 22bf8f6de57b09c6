// SPDX-License-Identifier: Apache-2.0
/** A request for a service, read and checked as far as it can be without the network. */
import { SluiceError } from '../../base/errors.js';
import { checkName } from '../../base/names.js';
import { parseAllow } from '../allow.js';
import type { HealthRecord } from '../records.js';
import {
  DEFAULT_AFFINITY,
  MAX_AFFINITY,
  MAX_WEIGHT,
  parseServicePorts,
  parseServicePublish,
} from '../servicespec.js';
import type { ServiceCreate, ServiceMode, ServicePort, ServicePublish } from '../types.js';

export interface ServiceRequest {
  readonly name: string;
  readonly network: string;
  readonly mode: ServiceMode;
  readonly vip: string | undefined;
  readonly vip6: string | undefined;
  readonly ports: ServicePort[];
  readonly algorithm: 'random' | 'maglev';
  readonly affinity: number | null;
  readonly idleTimeout: number | null;
  readonly publish: ServicePublish[];
  readonly allow: string[];
  readonly selector: Record<string, string>;
  readonly health: HealthRecord | null;
  readonly backends: readonly {
    readonly endpoint: string;
    readonly weight: number;
    readonly field: string;
  }[];
}

export const DEFAULT_WEIGHT = 1;
const MAX_IDLE = 7 * 86_400;
/** As Docker's HEALTHCHECK. */
const HEALTH = { port: null, path: '/', interval: 30, timeout: 30, retries: 3 } as const;
const MAX_HEALTH_SECONDS = 86_400;

export function readRequest(request: ServiceCreate): ServiceRequest {
  const {
    name,
    network,
    mode = 'vip',
    vip,
    vip6,
    algorithm = 'random',
    selector = {},
    backends = [],
  } = request;
  checkName(name);
  if (mode === 'dnsrr') refuseForDns(request);
  const ports = readPorts(request.ports ?? [], mode);
  const publish =
    (request.publish ?? []).length === 0
      ? []
      : parseServicePublish((request.publish ?? []).join(','), ports, 'publish');
  return {
    name,
    network,
    mode,
    vip,
    vip6,
    ports,
    algorithm,
    affinity: readAffinity(request.affinity),
    idleTimeout: readIdle(request.idleTimeout),
    publish,
    allow: parseAllow(request.allow ?? []),
    selector: { ...selector },
    health: readHealth(request.health, ports),
    backends: backends.map(({ endpoint, weight }, i) => ({
      endpoint,
      weight: readWeight(weight ?? DEFAULT_WEIGHT, `backends[${i}].weight`),
      field: `backends[${i}].endpoint`,
    })),
  };
}

export function readWeight(weight: number, field: string): number {
  if (Number.isInteger(weight) && weight >= 0 && weight <= MAX_WEIGHT) return weight;
  throw new SluiceError('invalid_argument', `${weight} is not a weight`, {
    field,
    hint: `weights are whole numbers from 0 (no new flows) to ${MAX_WEIGHT}`,
  });
}

/** Its clients get the addresses of the backends and pass by us. */
function refuseForDns(request: ServiceCreate): void {
  const asked = (['vip', 'vip6', 'publish', 'affinity', 'idleTimeout', 'allow'] as const).find((field) => {
    const value = request[field];
    return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
  });
  const field = request.algorithm === 'maglev' ? 'algorithm' : asked;
  if (field === undefined) return;
  throw new SluiceError('invalid_argument', `a service of mode dnsrr has no address, and no '${field}'`, {
    field,
    hint: 'leave one of both out: clients of dnsrr connect to the backends themselves',
  });
}

function readPorts(texts: readonly string[], mode: ServiceMode): ServicePort[] {
  if (texts.length > 0) return parseServicePorts(texts.join(','), 'ports');
  if (mode === 'dnsrr') return [];
  throw new SluiceError('invalid_argument', 'a service needs a port', {
    field: 'ports',
    hint: 'give VIPPORT[:BACKENDPORT][/tcp|udp|sctp]',
  });
}

function readAffinity(affinity: ServiceCreate['affinity']): number | null {
  if (affinity === undefined || affinity === false) return null;
  if (affinity === true) return DEFAULT_AFFINITY;
  return seconds(affinity, MAX_AFFINITY, 'affinity', 'a time of affinity');
}

function readIdle(idle: number | undefined): number | null {
  return idle === undefined ? null : seconds(idle, MAX_IDLE, 'idleTimeout', 'an idle timeout');
}

function seconds(value: number, most: number, field: string, what: string): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new SluiceError('invalid_argument', `${value} is not ${what}`, {
    field,
    hint: `give whole seconds from 1 to ${most}`,
  });
}

function readHealth(health: ServiceCreate['health'], ports: readonly ServicePort[]): HealthRecord | null {
  if (health === undefined) return null;
  const refuse = (field: string, message: string, hint: string): never => {
    throw new SluiceError('invalid_argument', message, { field: `health.${field}`, hint });
  };
  const check: HealthRecord = { ...HEALTH, ...health };
  if (check.port !== null && !(Number.isInteger(check.port) && check.port >= 1 && check.port <= 65535)) {
    refuse(
      'port',
      `${check.port} is not a port number`,
      'give 1 to 65535, or none for that of the first port',
    );
  }
  if (check.port === null && ports[0]?.protocol !== 'tcp') {
    refuse('port', 'the first port is none that a check of TCP or HTTP could use', 'name the port to check');
  }
  if (!/^\/[\x21-\x7e]*$/.test(check.path) || check.path.length > 1024) {
    refuse('path', `'${check.path}' is not the path of a URL`, 'begin it with /');
  }
  for (const field of ['interval', 'timeout'] as const) {
    const value = check[field];
    if (value >= 0.1 && value <= MAX_HEALTH_SECONDS) continue;
    refuse(field, `${value} seconds cannot be`, 'give 0.1 seconds to a day');
  }
  if (!(Number.isInteger(check.retries) && check.retries >= 1 && check.retries <= 100)) {
    refuse('retries', `${check.retries} is not a number of retries`, 'give 1 to 100');
  }
  return check;
}
