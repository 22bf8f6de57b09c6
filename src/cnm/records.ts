// SPDX-License-Identifier: Apache-2.0
/**
 * Intent as it is stored, under `networks/ID`, `sandboxes/ID`, `endpoints/ID`,
 * `services/ID`. References are ids.
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

export const ServiceRecord = Type.Object({
  id: text,
  name: text,
  ports: Type.Array(Type.Object({ port, backendPort: port, protocol })),
  algorithm: Type.Union([Type.Literal('random'), Type.Literal('maglev')]),
  affinity: nullable(number),
  publish: Type.Array(Type.Object({ hostPort: port, port, protocol })),
  allow: Type.Array(text),
  declaredBy: container,
  backends: Type.Array(
    Type.Object({
      endpoint: nullable(text),
      container,
      weight: Type.Integer({ minimum: 0 }),
      state: Type.Union([
        Type.Literal('starting'),
        Type.Literal('active'),
        Type.Literal('draining'),
        Type.Literal('gone'),
      ]),
      healthy: nullable(Type.Boolean()),
    }),
  ),
  created: text,
});
export type ServiceRecord = Static<typeof ServiceRecord>;

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
