// SPDX-License-Identifier: Apache-2.0
/** Objects as users see them. */
import { portLink } from './drivers/bridge.js';
import { findDriver } from './drivers/registry.js';
import type { EndpointRecord, NetworkRecord, PublishRecord, SandboxRecord } from './records.js';
import type { RowStatus } from './rows.js';
import type { State } from './state.js';
import type { Endpoint, Network, PortMapping, Sandbox } from './types.js';

export function networkView(record: NetworkRecord): Network {
  const { id, name, driver, subnets, internal, ipv6, options, labels, link, origin, created } = record;
  return {
    id,
    name,
    driver,
    subnets: subnets.map((subnet) => ({ ...subnet })),
    internal,
    ipv6,
    options: { ...options },
    labels: { ...labels },
    interface: link,
    origin: origin ?? 'sluice',
    created,
  };
}

export function sandboxView(state: State, record: SandboxRecord): Sandbox {
  const { id, name, netns, owned, dns, dnsSearch, hostname, origin, created } = record;
  return {
    id,
    name,
    netns,
    owned,
    dns: [...dns],
    dnsSearch: [...dnsSearch],
    hostname,
    endpoints: state.inside(id).map((endpoint) => endpoint.name),
    origin: origin ?? 'sluice',
    created,
  };
}

/** `error`: why a row of it is not done, if so. */
export function endpointView(state: State, record: EndpointRecord, error: string | null): Endpoint {
  const { id, name, ipv4, ipv6, mac, ports, aliases, labels, join, remote, created } = record;
  const network = state.networks.of(record.network);
  return {
    id,
    name,
    network: network.name,
    sandbox: join ? state.sandboxes.of(join.sandbox).name : null,
    ipv4,
    ipv6,
    mac,
    interface: join?.interface ?? null,
    hostInterface: join && findDriver(network.driver).dataplane ? portLink(id) : null,
    ports: ports.map(portView),
    aliases: [...aliases],
    labels: { ...labels },
    state: error !== null ? 'error' : join ? 'joined' : 'created',
    error,
    origin: remote ? 'docker' : 'sluice',
    created,
  };
}

export function portView({
  hostIp,
  hostPort,
  hostPortEnd,
  port,
  portEnd,
  protocol,
  allow,
}: PublishRecord): PortMapping {
  return { hostIp, hostPort, hostPortEnd, port, portEnd, protocol, allow: [...allow] };
}

/** Endpoints with a row in error, and why: the first one's reason. */
export function endpointErrors(status: readonly RowStatus[]): Map<string, string> {
  const errors = new Map<string, string>();
  for (const { owner, row, state, error } of status) {
    if (state !== 'error' || owner.kind !== 'endpoint' || errors.has(owner.id)) continue;
    errors.set(owner.id, error ?? `${row.kind} could not be made`);
  }
  return errors;
}
