// SPDX-License-Identifier: Apache-2.0
/**
 * What requests may say: shape only. Whether a value makes sense (a CIDR, an
 * address, a name) is the model's to judge, which has the better message.
 */
import { type Static, Type } from 'typebox';
import { closed, stringMap } from './common.js';

const text = (description: string) => Type.Optional(Type.String({ description }));
const texts = (description: string) => Type.Optional(Type.Array(Type.String(), { description }));
const flag = (description: string) => Type.Optional(Type.Boolean({ description }));

export const NetworkCreateSchema = Type.Object(
  {
    name: Type.String(),
    driver: text('bridge (default), macvlan, host, null'),
    subnets: Type.Optional(
      Type.Array(
        Type.Object(
          {
            cidr: text('default: the next free one of the pools'),
            gateway: text('of the same family; default: the first address'),
            ipRange: text('CIDR inside the subnet'),
          },
          closed,
        ),
        { description: 'one per address family; one of IPv6 implies ipv6' },
      ),
    ),
    ipv6: flag('IPv6 beside IPv4; default: false'),
    internal: flag('no way out, none in, no host services; default: false'),
    ipamDriver: text('default'),
    options: Type.Optional(
      stringMap('of the driver: mtu, masquerade, icc, host-access, max-flows, max-new-flows'),
    ),
    labels: Type.Optional(stringMap('labels')),
  },
  closed,
);

export const SandboxCreateSchema = Type.Object(
  {
    name: Type.String(),
    netns: text('path of a namespace to adopt; default: /run/netns/NAME is made'),
    dns: texts("servers; default: the host's"),
    dnsSearch: texts("search domains; default: the host's"),
    hostname: text("default: the sandbox's name"),
  },
  closed,
);

const PORTSPEC = '[[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/proto], an IPv6 HOSTIP in brackets';
const ALLOW = 'sources that may use the ports, CIDR, at most 16; default: all';

const endpointFields = {
  network: Type.String({ description: 'name, id or unique prefix of an id' }),
  ipv4: text('default: the next free one'),
  ipv6: text('default: the next free one, on a network with IPv6'),
  mac: text('default: derived from the address'),
  ports: texts(PORTSPEC),
  allow: texts(ALLOW),
  aliases: texts('further names in the network'),
  labels: Type.Optional(stringMap('labels')),
};

export const EndpointCreateSchema = Type.Object({ name: Type.String(), ...endpointFields }, closed);
export const ConnectSchema = Type.Object(
  { name: text('default: NETWORK.SANDBOX'), ...endpointFields },
  closed,
);
export const DisconnectSchema = Type.Object({ network: endpointFields.network }, closed);
export const JoinSchema = Type.Object(
  { sandbox: Type.String({ description: 'name, id or unique prefix of an id' }) },
  closed,
);
export const PublishSchema = Type.Object(
  { ports: Type.Array(Type.String(), { description: PORTSPEC }), allow: texts(ALLOW) },
  closed,
);
export const UnpublishSchema = Type.Object(
  { ports: Type.Array(Type.String(), { description: PORTSPEC }) },
  closed,
);

export const IdParams = Type.Object(
  { id: Type.String({ description: 'name, id or unique prefix of an id' }) },
  closed,
);
export const ChangeQuery = Type.Object({ dryRun: flag('answer the plan and change nothing') }, closed);
export const RemoveNetworkQuery = Type.Object(
  { ...ChangeQuery.properties, force: flag("of Docker's too, which may have forgotten it") },
  closed,
);
export const NoQuery = Type.Object({}, closed);

export type NetworkCreateRequest = Static<typeof NetworkCreateSchema>;
export type SandboxCreateRequest = Static<typeof SandboxCreateSchema>;
export type EndpointCreateRequest = Static<typeof EndpointCreateSchema>;
export type ConnectRequest = Static<typeof ConnectSchema>;
