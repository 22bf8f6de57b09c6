// SPDX-License-Identifier: Apache-2.0
/**
 * Intent as it is stored, under `networks/ID`, `sandboxes/ID`, `endpoints/ID`,
 * `services/ID`, `selected/SERVICE/ENDPOINT`. References are ids.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { damaged } from '../store/codec.js';
import type { Entry } from '../store/store.js';

const text = Type.String();
const number = Type.Integer({ minimum: 1 });
const port = Type.Integer({ minimum: 1, maximum: 65535 });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const labels = Type.Record(Type.String(), Type.String());

/** Whose object it is, where it is not a user's of ours. */
const origin = Type.Optional(Type.Literal('docker'));

export const NetworkRecord = Type.Object({
  id: text,
  name: text,
  driver: text,
  subnets: Type.Array(Type.Object({ cidr: text, gateway: nullable(text), ipRange: nullable(text) })),
  internal: Type.Boolean(),
  ipv6: Type.Boolean(),
  options: labels,
  labels,
  /** The host's link for it. */
  link: nullable(text),
  /** Its number in the dataplane; null where the driver has no dataplane. */
  net: nullable(number),
  origin,
  created: text,
});
export type NetworkRecord = Static<typeof NetworkRecord>;

export const SandboxRecord = Type.Object({
  id: text,
  name: text,
  netns: text,
  owned: Type.Boolean(),
  /** It is the namespace that the daemon runs in. */
  host: Type.Boolean(),
  dns: Type.Array(text),
  dnsSearch: Type.Array(text),
  hostname: text,
  number,
  origin,
  created: text,
});
export type SandboxRecord = Static<typeof SandboxRecord>;

export const PublishRecord = Type.Object({
  id: number,
  hostIp: text,
  hostPort: port,
  hostPortEnd: port,
  port,
  portEnd: port,
  protocol: Type.Union([Type.Literal('tcp'), Type.Literal('udp'), Type.Literal('sctp')]),
  allow: Type.Array(text),
});
export type PublishRecord = Static<typeof PublishRecord>;

/** A port that another engine wants published; `hostPort` 0: any, else one of `hostPort`…`hostPortEnd`. */
export const WantedPort = Type.Object({
  hostIp: text,
  hostPort: Type.Integer({ minimum: 0, maximum: 65535 }),
  hostPortEnd: Type.Integer({ minimum: 0, maximum: 65535 }),
  port,
  protocol: PublishRecord.properties.protocol,
});
export type WantedPort = Static<typeof WantedPort>;

export const JoinRecord = Type.Object({
  sandbox: text,
  /** Name inside; null where the driver makes no link, or somebody else names it. */
  interface: nullable(text),
  /** Orders the endpoints of a sandbox by the time they joined. */
  generation: number,
  /** Numbers in the dataplane; null where the driver has no dataplane. */
  slot: nullable(number),
  member: nullable(number),
});
export type JoinRecord = Static<typeof JoinRecord>;

export const EndpointRecord = Type.Object({
  id: text,
  name: text,
  network: text,
  ipv4: nullable(text),
  ipv6: nullable(text),
  /** '' where the driver makes no link. */
  mac: text,
  ports: Type.Array(PublishRecord),
  aliases: Type.Array(text),
  labels,
  join: nullable(JoinRecord),
  /**
   * Of an endpoint that another engine made: what it wants published, and
   * whether it is. Until then `ports` are reserved.
   */
  remote: Type.Optional(Type.Object({ ports: Type.Array(WantedPort), published: Type.Boolean() })),
  created: text,
});
export type EndpointRecord = Static<typeof EndpointRecord>;

/** A pool of addresses that another engine's networks use, under `pools/HASH`. */
export const LeasedPoolRecord = Type.Object({
  /** As the other engine knows it. */
  id: text,
  space: text,
  cidr: text,
  range: nullable(text),
  /** How often it was asked for. */
  holders: number,
  /** See PoolRequest. */
  replayed: Type.Optional(Type.Literal(true)),
  created: text,
});
export type LeasedPoolRecord = Static<typeof LeasedPoolRecord>;

/** An address of such a pool, under `leases/HASH/ADDRESS`. */
export const LeaseRecord = Type.Object({ pool: text, address: text, use: text, created: text });
export type LeaseRecord = Static<typeof LeaseRecord>;

const protocol = Type.Union([Type.Literal('tcp'), Type.Literal('udp'), Type.Literal('sctp')]);
const container = Type.Object({ id: text, name: text });

const weight = Type.Integer({ minimum: 0 });
/** Absent unless true, as there may be very many backends. */
const drain = Type.Optional(Type.Literal(true));

export const BackendRecord = Type.Object({
  /** Its number in the dataplane; null: nothing leads to it. */
  id: nullable(number),
  /** null: none of our networks leads to it. It may be gone. */
  endpoint: nullable(text),
  weight,
  drain,
  /** By its container's labels, and as that was seen last. */
  declared: Type.Optional(
    Type.Object({
      container,
      state: Type.Union([
        Type.Literal('starting'),
        Type.Literal('active'),
        Type.Literal('draining'),
        Type.Literal('gone'),
      ]),
      healthy: nullable(Type.Boolean()),
    }),
  ),
});
export type BackendRecord = Static<typeof BackendRecord>;

/** How a service's backends are checked; times in seconds. */
export const HealthRecord = Type.Object({
  kind: Type.Union([Type.Literal('tcp'), Type.Literal('http')]),
  /** null: that of the service's first port. */
  port: nullable(port),
  path: text,
  interval: Type.Number({ exclusiveMinimum: 0 }),
  timeout: Type.Number({ exclusiveMinimum: 0 }),
  retries: number,
});
export type HealthRecord = Static<typeof HealthRecord>;

export const ServiceRecord = Type.Object({
  id: text,
  name: text,
  /** null: not known yet, which only a declared service's can be. */
  network: nullable(text),
  mode: Type.Union([Type.Literal('vip'), Type.Literal('dnsrr')]),
  /** Its number in the dataplane; null: it has no address. */
  number: nullable(number),
  vip: nullable(text),
  vip6: nullable(text),
  ports: Type.Array(Type.Object({ port, backendPort: port, protocol })),
  algorithm: Type.Union([Type.Literal('random'), Type.Literal('maglev')]),
  affinity: nullable(number),
  idleTimeout: nullable(number),
  /** `id` as that of a PublishRecord; null: wanted, but not to be had so far. */
  publish: Type.Array(Type.Object({ id: nullable(number), hostIp: text, hostPort: port, port, protocol })),
  allow: Type.Array(text),
  selector: labels,
  health: nullable(HealthRecord),
  /** null: made by command. */
  declaredBy: nullable(container),
  /** But those that the selector chose. */
  backends: Type.Array(BackendRecord),
  created: text,
});
export type ServiceRecord = Static<typeof ServiceRecord>;

/**
 * A backend that its service's selector chose, stored apart: it comes and goes
 * with its endpoint, and changes of endpoints run side by side.
 */
export const SelectedRecord = Type.Object({
  service: text,
  endpoint: text,
  id: nullable(number),
  weight,
  drain,
});
export type SelectedRecord = Static<typeof SelectedRecord>;

export function selectedKey({ service, endpoint }: Pick<SelectedRecord, 'service' | 'endpoint'>): string {
  return `selected/${service}/${endpoint}`;
}

/** The highest generation given out. */
export const GENERATION_KEY = 'generation';
export const Generation = Type.Integer({ minimum: 0 });

/** The node's own /48 for IPv6 subnets, stored when the first one is cut from it. */
export const ULA_KEY = 'ula';
export const Ula = Type.String();

/** Reads entries: the value, or SluiceError `store` naming the key. Compiled, since a start reads them all. */
export function decoder<T extends TSchema>(schema: T): (entry: Entry) => Static<T> {
  const validator = Compile(schema);
  return ({ key, value }) => {
    if (validator.Check(value)) return value;
    const [error] = validator.Errors(value);
    throw damaged(key, error && `${error.instancePath || 'it'} ${error.message}`);
  };
}
