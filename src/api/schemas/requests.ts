// SPDX-License-Identifier: Apache-2.0
/**
 * What requests may say: shape only. Whether a value makes sense (a CIDR, an
 * address, a name) is the model's to judge, which has the better message.
 */
import { type Static, Type } from 'typebox';
import { closed, stringMap, words } from './common.js';
import { HEALTH } from './objects.js';

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

const endpointRef = Type.String({ description: 'name, id or unique prefix of an id' });
const weight = Type.Optional(Type.Integer({ description: '0 (no new flows) to 1000; default: 1' }));

export const BackendAddSchema = Type.Object({ endpoint: endpointRef, weight }, closed);
export const BackendSetSchema = Type.Object(
  { weight, drain: flag('true: it keeps its flows and gets no new ones') },
  closed,
);

export const ServiceCreateSchema = Type.Object(
  {
    name: Type.String(),
    network: endpointFields.network,
    ports: texts('VIPPORT[:BACKENDPORT][/tcp|udp|sctp]; required but for mode dnsrr'),
    mode: Type.Optional(words(['vip', 'dnsrr'], { description: 'default: vip' })),
    vip: text('IPv4 address of the network; default: the next free one'),
    vip6: text('IPv6 address, on a network with IPv6; default: the next free one'),
    algorithm: Type.Optional(words(['random', 'maglev'], { description: 'default: random' })),
    affinity: Type.Optional(
      Type.Union([Type.Integer(), Type.Boolean()], {
        description: 'seconds for which a client keeps its backend; true: 10800; default: off',
      }),
    ),
    idleTimeout: Type.Optional(
      Type.Integer({
        description: 'seconds without a packet until an established flow ends; default: the usual',
      }),
    ),
    publish: texts('HOSTPORT[:VIPPORT][/tcp|udp|sctp]'),
    allow: texts(ALLOW),
    selector: Type.Optional(stringMap('endpoints of the network with all of these labels are backends')),
    health: Type.Optional(
      Type.Object(
        {
          kind: HEALTH.kind,
          port: Type.Optional(HEALTH.port),
          path: Type.Optional(HEALTH.path),
          interval: Type.Optional(HEALTH.interval),
          timeout: Type.Optional(HEALTH.timeout),
          retries: Type.Optional(HEALTH.retries),
        },
        {
          ...closed,
          description: 'checks from the host; defaults: the first port, /, 30 s, 30 s, 3',
        },
      ),
    ),
    backends: Type.Optional(Type.Array(BackendAddSchema)),
  },
  closed,
);
export const ServiceCreatesSchema = Type.Union([ServiceCreateSchema, Type.Array(ServiceCreateSchema)], {
  description: 'one, or many: all of them are created, or none',
});

export const BackendParams = Type.Object({ id: endpointRef, endpoint: endpointRef }, closed);

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
export type ServiceCreateRequest = Static<typeof ServiceCreateSchema>;
export type BackendAddRequest = Static<typeof BackendAddSchema>;
export type BackendSetRequest = Static<typeof BackendSetSchema>;
export type EndpointCreateRequest = Static<typeof EndpointCreateSchema>;
export type ConnectRequest = Static<typeof ConnectSchema>;
