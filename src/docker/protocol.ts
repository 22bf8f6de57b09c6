// SPDX-License-Identifier: Apache-2.0
/**
 * The requests of Docker's plugin protocol, as far as they are read. Members
 * come and go with Docker's versions: what is not known here is passed over,
 * and what may be absent is optional.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SluiceError } from '../base/errors.js';

const text = Type.String();
const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const bag = Type.Record(Type.String(), Type.Unknown());
const id = Type.String({ minLength: 1 });
const port = Type.Integer({ minimum: 0, maximum: 65535 });

const IpamData = Type.Object({ AddressSpace: maybe(text), Pool: maybe(text), Gateway: maybe(text) });
export type IpamData = Static<typeof IpamData>;

export const CreateNetwork = Type.Object({
  NetworkID: id,
  Options: maybe(bag),
  IPv4Data: maybe(Type.Array(IpamData)),
  IPv6Data: maybe(Type.Array(IpamData)),
});
export type CreateNetwork = Static<typeof CreateNetwork>;

/** Of a Swarm's manager. */
export const AllocateNetwork = Type.Object({ NetworkID: id, Options: maybe(Type.Record(text, text)) });

export const OfNetwork = Type.Object({ NetworkID: id });
export const OfEndpoint = Type.Object({ NetworkID: id, EndpointID: id });

export const CreateEndpoint = Type.Object({
  NetworkID: id,
  EndpointID: id,
  Interface: maybe(Type.Object({ Address: maybe(text), AddressIPv6: maybe(text), MacAddress: maybe(text) })),
  Options: maybe(bag),
});
export type CreateEndpoint = Static<typeof CreateEndpoint>;

export const Join = Type.Object({ NetworkID: id, EndpointID: id, SandboxKey: id, Options: maybe(bag) });
export const ProgramExternalConnectivity = Type.Object({
  NetworkID: id,
  EndpointID: id,
  Options: maybe(bag),
});

/** Of `com.docker.network.portmap`. */
export const PortMap = Type.Array(
  Type.Object({
    Proto: Type.Integer(),
    Port: port,
    HostIP: maybe(text),
    HostPort: maybe(port),
    HostPortEnd: maybe(port),
  }),
);

export const RequestPool = Type.Object({
  AddressSpace: maybe(text),
  Pool: maybe(text),
  SubPool: maybe(text),
  Options: maybe(bag),
  V6: maybe(Type.Boolean()),
});
export const ReleasePool = Type.Object({ PoolID: id });
export const RequestAddress = Type.Object({ PoolID: id, Address: maybe(text), Options: maybe(bag) });
export const ReleaseAddress = Type.Object({ PoolID: id, Address: id });

/** Reads a body or a part of one, or refuses it naming the member. */
export function reader<T extends TSchema>(schema: T): (value: unknown, where?: string) => Static<T> {
  const validator = Compile(schema);
  return (value, where = 'request') => {
    if (validator.Check(value)) return value;
    const [error] = validator.Errors(value);
    const member = error?.instancePath.replaceAll('/', '.') ?? '';
    throw new SluiceError(
      'invalid_argument',
      `Docker's ${where}${member} ${error?.message ?? 'is malformed'}`,
    );
  };
}
