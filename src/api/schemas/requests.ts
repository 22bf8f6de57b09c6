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
            gateway: text('default: the first address'),
            ipRange: text('CIDR inside the subnet'),
          },
          closed,
        ),
        { description: 'one per address family' },
      ),
    ),
    ipv6: flag('default: false'),
    internal: flag('no way out; default: false'),
    ipamDriver: text('default'),
    options: Type.Optional(stringMap('options of the driver')),
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

const endpointFields = {
  network: Type.String({ description: 'name, id or unique prefix of an id' }),
  ipv4: text('default: the next free one'),
  ipv6: text('default: the next free one'),
  mac: text('default: derived from the address'),
  ports: texts('[[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/proto]'),
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
  { ports: Type.Array(Type.String(), { description: '[[HOSTIP:]HOSTPORT[-PORT]:]PORT[-PORT][/proto]' }) },
  closed,
);

export const IdParams = Type.Object(
  { id: Type.String({ description: 'name, id or unique prefix of an id' }) },
  closed,
);
export const ChangeQuery = Type.Object({ dryRun: flag('answer the plan and change nothing') }, closed);
export const NoQuery = Type.Object({}, closed);

export type NetworkCreateRequest = Static<typeof NetworkCreateSchema>;
export type SandboxCreateRequest = Static<typeof SandboxCreateSchema>;
export type EndpointCreateRequest = Static<typeof EndpointCreateSchema>;
export type ConnectRequest = Static<typeof ConnectSchema>;
