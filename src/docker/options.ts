// SPDX-License-Identifier: Apache-2.0
/** What `-o`, `--driver-opt` and `-p` become on their way through Docker. */
import { SluiceError } from '../base/errors.js';
import type { WantedPort } from '../cnm/records.js';
import { PortMap, reader } from './protocol.js';

export const GENERIC = 'com.docker.network.generic';
const INTERNAL = 'com.docker.network.internal';
const PORTS = 'com.docker.network.portmap';
/** Docker's own keys, of whichever version; only these may be passed over. */
const ENGINE = 'com.docker.network.';

type Bag = Readonly<Record<string, unknown>> | null | undefined;

export interface NetworkOptions {
  readonly driver: string;
  readonly internal: boolean;
  /** The user's, without `driver`. */
  readonly options: Record<string, string>;
}

/** The drivers of ours that a network may be of. */
const DRIVERS: readonly string[] = ['bridge', 'macvlan'];

export function networkOptions(bag: Bag): NetworkOptions {
  const given = stringMap(bag?.[GENERIC]);
  const { driver = 'bridge', ...options } = given;
  if (!DRIVERS.includes(driver)) {
    throw new SluiceError('unsupported', `'${driver}' is not a driver that Docker's networks can have here`, {
      field: 'options.driver',
      hint: `give -o driver=${DRIVERS.join('|')}, or leave it out for bridge`,
    });
  }
  return { driver, internal: isTrue(bag?.[INTERNAL]), options };
}

/** Refuses by name what a user gave with `network connect --driver-opt`. */
export function checkEndpointOptions(bag: Bag): void {
  const unknown = Object.keys(bag ?? {}).find((key) => !key.startsWith(ENGINE));
  if (unknown === undefined) return;
  throw new SluiceError('invalid_argument', `'${unknown}' is not an option of an endpoint`, {
    field: `options.${unknown}`,
    hint: 'leave the --driver-opt out',
  });
}

/** Nothing of `--ipam-opt` is known. */
export function checkPoolOptions(bag: Bag): void {
  const [key] = Object.keys(bag ?? {});
  if (key === undefined) return;
  throw new SluiceError('invalid_argument', `'${key}' is not an option of the address management`, {
    field: `options.${key}`,
    hint: 'leave the --ipam-opt out',
  });
}

const readPorts = reader(PortMap);

const PROTOCOLS = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
] as const);

export function wantedPorts(bag: Bag): WantedPort[] {
  return readPorts(bag?.[PORTS] ?? [], PORTS).map(({ Proto, Port, HostIP, HostPort, HostPortEnd }) => {
    const protocol = PROTOCOLS.get(Proto as 6);
    if (protocol === undefined || Port === 0) {
      throw new SluiceError('invalid_argument', `port ${Port} of protocol ${Proto} cannot be published`);
    }
    const hostPort = HostPort ?? 0;
    return {
      protocol,
      hostIp: HostIP ?? '',
      hostPort,
      hostPortEnd: Math.max(hostPort, HostPortEnd ?? 0),
      port: Port,
    };
  });
}

function stringMap(value: unknown): Record<string, string> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return Object.fromEntries(entries.map(([key, text]) => [key, String(text)]));
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}
