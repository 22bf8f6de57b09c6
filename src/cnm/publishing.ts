// SPDX-License-Identifier: Apache-2.0
/** Port mappings of an endpoint: taking them, finding them again. */
import { type Address, contains, parseAddress } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import type { Change } from './change.js';
import type { Context } from './context.js';
import type { AddressPlace, HostSocket, HostView, PortRanges } from './host.js';
import { hostIpFamily, isWildcard } from './hostip.js';
import { EPHEMERAL, type PortClaim } from './ports/allocator.js';
import { checkRoom } from './ports/room.js';
import { formatPortMapping, formatPortSpec, type PortSpec, parsePortSpec } from './portspec.js';
import type { EndpointRecord, PublishRecord } from './records.js';
import { portClaim, type State } from './state.js';
import type { Protocol } from './types.js';

/** Throws for an empty list too, where `required`. */
export function parsePorts(texts: readonly string[], required = false): PortSpec[] {
  if (required && texts.length === 0) {
    throw new SluiceError('invalid_argument', 'no port mapping is given', {
      field: 'ports',
      hint: 'give one, such as 8080:80',
    });
  }
  return texts.map((text, i) => parsePortSpec(text, `ports[${i}]`));
}

/**
 * The host's sockets that could be in the way, by protocol; those of SCTP are
 * not known. `places`: of the host addresses that are asked for.
 */
export interface HostSockets extends Readonly<Record<Protocol, readonly HostSocket[]>> {
  readonly places: ReadonlyMap<string, AddressPlace>;
  readonly ranges: PortRanges;
}

export async function lookAtSockets(host: HostView, specs: readonly PortSpec[]): Promise<HostSockets> {
  const look = async (protocol: 'tcp' | 'udp'): Promise<readonly HostSocket[]> => {
    const mine = specs.filter((spec) => spec.protocol === protocol);
    if (mine.length === 0) return [];
    const firsts = mine.map(({ hostPort }) => hostPort ?? EPHEMERAL.first);
    const lasts = mine.map((spec) =>
      spec.hostPort === null ? EPHEMERAL.last : spec.hostPort + length(spec) - 1,
    );
    return host.socketsOn(protocol, Math.min(...firsts), Math.max(...lasts));
  };
  const addresses = new Set(specs.flatMap(({ hostIp }) => (isWildcard(hostIp) ? [] : [hostIp])));
  const [tcp, udp, ranges, ...places] = await Promise.all([
    look('tcp'),
    look('udp'),
    host.portRanges(),
    ...[...addresses].map(async (address) => [address, await host.placeOf(address)] as const),
  ]);
  return { tcp, udp, sctp: [], places: new Map(places), ranges };
}

/** What is to be published, and how. */
export interface PortRequests {
  readonly specs: readonly PortSpec[];
  /** Sources that may use them, as parseAllow answers them. */
  readonly allow: readonly string[];
  readonly sockets: HostSockets;
  /** For specs that name none. */
  readonly defaultHostIp: string;
}

/** Takes host ports, beside the `existing` mappings of the endpoint; in the order of the specs. */
export function allocatePorts(
  { state, masqueradePorts }: Context,
  change: Change,
  endpoint: Pick<EndpointRecord, 'id' | 'name' | 'ipv6'>,
  { specs, allow, sockets, defaultHostIp }: PortRequests,
  existing: readonly PublishRecord[],
): PublishRecord[] {
  const result: PublishRecord[] = [];
  const all = [...existing];
  change.mark(state.ports.mark());
  change.mark(state.publishIds.mark());
  // Named ports first, so that none of them is taken as an ephemeral one meanwhile.
  const order = [...specs.keys()].sort((a, b) => rank(specs[a]) - rank(specs[b]) || a - b);
  for (const index of order) {
    const spec = specs[index] as PortSpec;
    const { protocol, hostPort, port, portEnd } = spec;
    const hostIp = spec.hostIp ?? defaultHostIp;
    checkPossible(endpoint, spec, `ports[${index}]`);
    const place = sockets.places.get(hostIp);
    if (place !== undefined) checkPlace(state, hostIp, place, `ports[${index}]`);
    const same = all.find(
      (other) =>
        other.hostPort === hostPort &&
        other.protocol === protocol &&
        other.hostIp === hostIp &&
        other.port === port &&
        other.portEnd === portEnd,
    );
    if (same) {
      const text = formatPortMapping(same);
      throw new SluiceError('conflict', `endpoint '${endpoint.name}' publishes ${text} already`, {
        field: `ports[${index}]`,
        hint: 'give each mapping once',
      });
    }
    const claim = change.allocated(
      (): PortClaim =>
        state.ports.claim(
          { protocol, hostIp, first: hostPort, count: length(spec), owner: endpoint.id },
          sockets[protocol],
          (id) => state.holderOf(id),
        ),
      (taken) => state.ports.release(taken),
    );
    checkRoom(state.ports, protocol, sockets.ranges, masqueradePorts, `ports[${index}]`);
    const id = change.allocated(
      () => state.publishIds.allocate(),
      (taken) => state.publishIds.release(taken),
    );
    const { first, last } = claim;
    const record: PublishRecord = {
      id,
      hostIp,
      hostPort: first,
      hostPortEnd: last,
      port,
      portEnd,
      protocol,
      allow: [...allow],
    };
    result[index] = record;
    all.push(record);
  }
  return result;
}

export function releasePorts({ state }: Context, owner: string, ports: readonly PublishRecord[]): void {
  for (const port of ports) {
    state.ports.release(portClaim(owner, port));
    state.publishIds.release(port.id);
  }
}

/** The mappings that `specs` mean; what a spec leaves open matches anything, if only one fits. */
export function matchPorts(endpoint: EndpointRecord, specs: readonly PortSpec[]): PublishRecord[] {
  const found: PublishRecord[] = [];
  for (const [i, spec] of specs.entries()) {
    const rest = endpoint.ports.filter((port) => !found.includes(port));
    const fitting = rest.filter((port) => fits(port, spec));
    // `8080:80` means the mapping without a host address, if there is one; `ls` shows that as 0.0.0.0.
    const exact = fitting.filter(({ hostIp }) => hostIp === (spec.hostIp ?? ''));
    const matches = fitting.length > 1 && exact.length > 0 ? exact : fitting;
    const [match, other] = matches;
    if (!match) {
      const published = endpoint.ports.map((port) => formatPortMapping(port)).join(', ');
      throw new SluiceError(
        'not_found',
        `endpoint '${endpoint.name}' does not publish ${formatPortSpec(spec)}`,
        {
          field: `ports[${i}]`,
          hint: published ? `it publishes ${published}` : 'it publishes nothing',
        },
      );
    }
    if (other) {
      const choices = matches.map((port) => formatPortMapping(port)).join(', ');
      throw new SluiceError(
        'ambiguous',
        `endpoint '${endpoint.name}' publishes ${formatPortSpec(spec)} more than once`,
        {
          field: `ports[${i}]`,
          hint: `give one of ${choices}`,
        },
      );
    }
    found.push(match);
  }
  return found;
}

function fits(port: PublishRecord, spec: PortSpec): boolean {
  return (
    port.protocol === spec.protocol &&
    port.port === spec.port &&
    port.portEnd === spec.portEnd &&
    (spec.hostPort === null || port.hostPort === spec.hostPort) &&
    (spec.hostIp === null || port.hostIp === spec.hostIp || (spec.hostIp === '0.0.0.0' && port.hostIp === ''))
  );
}

/** Refuses what no dataplane could do. */
function checkPossible(endpoint: Pick<EndpointRecord, 'name' | 'ipv6'>, spec: PortSpec, field: string): void {
  const refuse = (why: string, hint: string): never => {
    throw new SluiceError('invalid_argument', `port mapping '${formatPortSpec(spec)}': ${why}`, {
      field,
      hint,
    });
  };
  // An SCTP checksum covers the ports and cannot be adjusted by difference.
  if (spec.protocol === 'sctp' && spec.hostPort !== spec.port) {
    const same = formatPortSpec({ ...spec, hostPort: spec.port });
    refuse("an SCTP port is published on the host's port of the same number only", `write ${same}`);
  }
  if (endpoint.ipv6 === null && spec.hostIp !== null && hostIpFamily(spec.hostIp) === 6) {
    refuse(`endpoint '${endpoint.name}' has no IPv6 address`, 'give an IPv4 address, or none for all');
  }
}

/**
 * Refuses a host address that is not the host's to answer at: there a publish
 * would take what is sent to somebody else, or never be reached.
 */
export function checkPlace(
  state: Pick<State, 'spaces' | 'networks'>,
  hostIp: string,
  place: AddressPlace,
  field: string,
): void {
  const refuse = (why: string): never => {
    throw new SluiceError('invalid_argument', `host address ${hostIp} of a port ${why}`, {
      field,
      hint: 'give an address of this host, or none for all',
    });
  };
  const address = parseAddress(hostIp) as Address;
  for (const [id, { name, prefixes }] of state.spaces) {
    const network = state.networks.get(id);
    // a macvlan network is on a link of the host's, and has its address too
    if (network?.net == null || !prefixes.some((prefix) => contains(prefix, address))) continue;
    const isGateway = network.subnets.some(({ gateway }) => gateway === hostIp);
    refuse(isGateway ? `is the gateway of network '${name}'` : `belongs to network '${name}'`);
  }
  if (place === 'broadcast') refuse('is a broadcast address');
  if (place === 'elsewhere') refuse('is not an address of this host');
}

function length({ port, portEnd }: PortSpec): number {
  return portEnd - port + 1;
}

function rank(spec: PortSpec | undefined): number {
  return spec?.hostPort === null ? 1 : 0;
}
