// SPDX-License-Identifier: Apache-2.0
/** Ports as another engine asks for them: one by one, in any order, with a choice of host ports. */
import { familyOf } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import type { Change } from './change.js';
import type { Context } from './context.js';
import type { HostView } from './host.js';
import { checkHostIp4, parseHostIp6 } from './hostip.js';
import type { PortSpec } from './portspec.js';
import { range } from './portspec.js';
import { allocatePorts, type HostSockets, lookAtSockets, type PortRequests } from './publishing.js';
import type { EndpointRecord, PublishRecord, WantedPort } from './records.js';

/** In one order, and what is contiguous as one range: the same wish always looks the same. */
export function normalizePorts(ports: readonly WantedPort[]): WantedPort[] {
  const sorted = [...ports].sort(
    (a, b) =>
      compare(a.protocol, b.protocol) ||
      compare(a.hostIp, b.hostIp) ||
      a.port - b.port ||
      a.hostPort - b.hostPort,
  );
  return sorted.filter((port, i) => i === 0 || !samePorts([port], [sorted[i - 1] as WantedPort]));
}

export function samePorts(a: readonly WantedPort[], b: readonly WantedPort[]): boolean {
  return (
    a.length === b.length &&
    a.every((port, i) => {
      const other = b[i] as WantedPort;
      return (
        port.protocol === other.protocol &&
        port.hostIp === other.hostIp &&
        port.port === other.port &&
        port.hostPort === other.hostPort &&
        port.hostPortEnd === other.hostPortEnd
      );
    })
  );
}

/** The sockets that could be in the way of any host port that may be chosen. */
export function lookAtSocketsOf(host: HostView, ports: readonly WantedPort[]): Promise<HostSockets> {
  return lookAtSockets(
    host,
    ports.map((port) => ({
      protocol: port.protocol,
      hostIp: hostIp(port),
      hostPort: port.hostPort === 0 ? null : port.hostPort,
      port: 1,
      portEnd: 1 + port.hostPortEnd - port.hostPort,
    })),
  );
}

/** Takes host ports for all of them; one with a choice of host ports gets the first that is free. */
export function reservePorts(
  context: Context,
  change: Change,
  endpoint: Pick<EndpointRecord, 'id' | 'name' | 'ipv6'>,
  wanted: readonly WantedPort[],
  options: Pick<PortRequests, 'sockets' | 'defaultHostIp'>,
): PublishRecord[] {
  const reserved: PublishRecord[] = [];
  const take = (specs: PortSpec[]): void => {
    reserved.push(...allocatePorts(context, change, endpoint, { ...options, specs, allow: [] }, reserved));
  };
  const isChoice = ({ hostPort, hostPortEnd }: WantedPort): boolean => hostPortEnd > hostPort;
  // What must be just so comes first, then choices, then what may be anything.
  take(mergeRuns(wanted.filter((port) => !isChoice(port) && port.hostPort !== 0)));
  for (const port of wanted.filter(isChoice)) takeOne(port, take);
  take(wanted.filter(({ hostPort }) => hostPort === 0).map((port) => spec(port, null)));
  return reserved;
}

function takeOne(port: WantedPort, take: (specs: PortSpec[]) => void): void {
  for (let hostPort = port.hostPort; hostPort <= port.hostPortEnd; hostPort++) {
    try {
      take([spec(port, hostPort)]);
      return;
    } catch (e) {
      if (!(e instanceof SluiceError) || e.code !== 'port_taken') throw e;
    }
  }
  const ports = range(port.hostPort, port.hostPortEnd);
  throw new SluiceError('port_taken', `every host port of ${ports}/${port.protocol} is taken`, {
    field: 'ports',
    hint: 'choose another range, or unpublish something',
  });
}

/** A range comes as one mapping for each port; as one mapping it costs the dataplane one row. */
function mergeRuns(ports: readonly WantedPort[]): PortSpec[] {
  const runs: PortSpec[] = [];
  const offset = (port: WantedPort): number => port.hostPort - port.port;
  for (const port of [...ports].sort((a, b) => offset(a) - offset(b))) {
    const last = runs.at(-1);
    const follows =
      last !== undefined &&
      last.hostPort !== null &&
      last.protocol === port.protocol &&
      last.hostIp === hostIp(port) &&
      last.portEnd + 1 === port.port &&
      last.hostPort + port.port - last.port === port.hostPort;
    if (follows) runs[runs.length - 1] = { ...last, portEnd: port.port };
    else runs.push(spec(port, port.hostPort));
  }
  return runs;
}

function spec(port: WantedPort, hostPort: number | null): PortSpec {
  return { hostIp: hostIp(port), hostPort, port: port.port, portEnd: port.port, protocol: port.protocol };
}

/** In its one spelling; null: the network's default. */
function hostIp({ hostIp: text }: WantedPort): string | null {
  if (text === '') return null;
  const refuse = (why: string): never => {
    throw new SluiceError('invalid_argument', `host address of a port: ${why}`, {
      field: 'ports',
      hint: 'give an address of this host, or none for all',
    });
  };
  if (familyOf(text) === 6) return parseHostIp6(text, refuse);
  checkHostIp4(text, refuse);
  return text;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
