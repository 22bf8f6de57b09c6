// SPDX-License-Identifier: Apache-2.0
/** The objects as answered: the shapes of src/cnm/types.ts. */
import { type Static, Type } from 'typebox';
import { closed, nullable, ref, stringMap, words } from './common.js';
import { BackendStats, ServiceStats } from './service-stats.js';

const id = Type.String({ pattern: '^[0-9a-f]{64}$', description: '64 hexadecimal characters' });
const created = Type.String({ description: 'ISO 8601' });
const origin = words(['sluice', 'docker'], { description: 'who made it, and may remove it' });
const port = Type.Integer({ minimum: 0, maximum: 65535 });

export const SubnetSchema = Type.Object(
  {
    cidr: Type.String({ description: 'network address and prefix length' }),
    gateway: nullable(Type.String()),
    ipRange: nullable(
      Type.String({ description: 'addresses are handed out from this part; null: from all of it' }),
    ),
  },
  closed,
);

export const NetworkSchema = Type.Object(
  {
    id,
    name: Type.String(),
    driver: Type.String(),
    subnets: Type.Array(SubnetSchema),
    internal: Type.Boolean(),
    ipv6: Type.Boolean(),
    options: stringMap('options of the driver'),
    labels: stringMap('labels'),
    interface: nullable(Type.String({ description: "the host's link for it" })),
    origin,
    created,
    dockerName: Type.Optional(Type.String({ description: 'what Docker calls it, as last seen' })),
    warnings: Type.Optional(
      Type.Array(Type.String(), {
        description: 'in the answer to its creation: what it takes from the host',
      }),
    ),
  },
  { ...closed, $id: 'Network' },
);

export const SandboxSchema = Type.Object(
  {
    id,
    name: Type.String(),
    netns: Type.String({ description: 'path of the network namespace' }),
    owned: Type.Boolean({ description: 'made by us and removed with the sandbox' }),
    dns: Type.Array(Type.String()),
    dnsSearch: Type.Array(Type.String()),
    hostname: Type.String(),
    endpoints: Type.Array(Type.String(), { description: 'names, in the order they joined' }),
    origin,
    created,
  },
  { ...closed, $id: 'Sandbox' },
);

export const PortMappingSchema = Type.Object(
  {
    hostIp: Type.String({
      description: 'empty: every address of the host; 0.0.0.0: every IPv4 address; ::: every IPv6 address',
    }),
    hostPort: port,
    hostPortEnd: port,
    port,
    portEnd: port,
    protocol: words(['tcp', 'udp', 'sctp']),
    allow: Type.Array(Type.String(), { description: 'sources that may use it, CIDR; empty: all' }),
  },
  { ...closed, $id: 'PortMapping' },
);

export const EndpointSchema = Type.Object(
  {
    id,
    name: Type.String(),
    network: Type.String({ description: 'name' }),
    sandbox: nullable(Type.String({ description: 'name' })),
    ipv4: nullable(Type.String()),
    ipv6: nullable(Type.String()),
    mac: Type.String(),
    interface: nullable(Type.String({ description: 'name inside the sandbox' })),
    hostInterface: nullable(Type.String()),
    ports: Type.Array(ref(PortMappingSchema)),
    aliases: Type.Array(Type.String()),
    labels: stringMap('labels'),
    state: words(['created', 'joined', 'error']),
    error: nullable(Type.String()),
    origin,
    created,
    container: Type.Optional(
      Type.Object(
        {
          id: Type.String(),
          name: Type.String(),
          network: Type.String({ description: "Docker's name of the network" }),
        },
        { ...closed, description: "Docker's container that it belongs to, as last seen" },
      ),
    ),
  },
  { ...closed, $id: 'Endpoint' },
);

const protocol = words(['tcp', 'udp', 'sctp']);
const containerRef = Type.Object({ id: Type.String(), name: Type.String() }, closed);

/** How the backends are checked from the host. */
export const HEALTH = {
  kind: words(['tcp', 'http'], { description: 'the port opens; a GET answers 200 to 399' }),
  port: nullable(Type.Integer({ description: "null: that of the service's first port" })),
  path: Type.String({ description: 'of the GET' }),
  interval: Type.Number({ description: 'seconds between two checks' }),
  timeout: Type.Number({ description: 'seconds' }),
  retries: Type.Integer({ description: 'so many failures in a row make a backend unhealthy' }),
};

export const ServiceSchema = Type.Object(
  {
    id,
    name: Type.String(),
    network: nullable(Type.String({ description: 'name; null: its backends are on none of ours yet' })),
    mode: words(['vip', 'dnsrr'], {
      description: 'what its name resolves to: an address of its own, or those of its backends',
    }),
    vip: nullable(Type.String({ description: 'null: it has no address' })),
    vip6: nullable(Type.String()),
    ports: Type.Array(Type.Object({ port, backendPort: port, protocol }, closed)),
    algorithm: words(['random', 'maglev']),
    affinity: nullable(Type.Integer({ description: 'seconds; null: off' })),
    idleTimeout: nullable(
      Type.Integer({
        description: 'seconds without a packet until an established flow ends; null: the usual',
      }),
    ),
    publish: Type.Array(Type.Object({ hostPort: port, port, protocol }, closed)),
    allow: Type.Array(Type.String(), { description: 'sources that may use it, CIDR; empty: all' }),
    selector: stringMap('endpoints of the network with all of these labels are backends'),
    health: nullable(
      Type.Object(HEALTH, {
        ...closed,
        description: "null: nobody checks the backends, or their containers' HEALTHCHECKs do",
      }),
    ),
    declaredBy: nullable(
      Type.Object(containerRef.properties, {
        ...closed,
        description: 'the container whose labels it has; null: it was made by command',
      }),
    ),
    backends: Type.Array(
      Type.Object(
        {
          endpoint: nullable(Type.String({ description: 'name; null: on none of our networks' })),
          container: nullable(containerRef),
          weight: Type.Integer({ minimum: 0 }),
          state: words(['starting', 'active', 'draining', 'gone'], {
            description: 'active: gets new flows; draining: keeps its flows; gone: does not run',
          }),
          healthy: nullable(Type.Boolean({ description: 'null: nobody has checked it' })),
          stats: Type.Optional(BackendStats),
        },
        closed,
      ),
    ),
    stats: Type.Optional(ServiceStats),
    created,
  },
  { ...closed, $id: 'Service' },
);

/** Row kinds grow with the features: readers should pass over what they do not know. */
export const RowSchema = Type.Object(
  { kind: Type.String({ description: 'what the other members describe' }) },
  { additionalProperties: true, $id: 'Row' },
);

export const PlanSchema = Type.Object(
  {
    dryRun: Type.Literal(true),
    rows: Type.Array(ref(RowSchema), { description: 'what would be wanted of the kernel' }),
  },
  { ...closed, $id: 'Plan' },
);

export const PrunePlanSchema = Type.Object(
  { ...PlanSchema.properties, networks: Type.Array(Type.String(), { description: 'would be removed' }) },
  { ...closed, $id: 'PrunePlan' },
);
export const PrunedSchema = Type.Object(
  { networks: Type.Array(Type.String(), { description: 'names of what was removed' }) },
  { ...closed, $id: 'Pruned' },
);

export const ErrorSchema = Type.Object(
  {
    code: Type.String({ description: 'stable' }),
    message: Type.String({ description: 'what failed, and why' }),
    field: Type.Optional(Type.String({ description: 'of the request, such as `subnets[0].cidr`' })),
    hint: Type.Optional(Type.String({ description: 'what to do about it' })),
  },
  { ...closed, $id: 'Error' },
);

export const EventSchema = Type.Object(
  {
    time: Type.Number({ description: 'milliseconds since the epoch' }),
    type: words(['network', 'sandbox', 'endpoint', 'service', 'container', 'engine', 'link', 'reconcile']),
    action: words([
      'create',
      'remove',
      'join',
      'leave',
      'publish',
      'unpublish',
      'update',
      'up',
      'down',
      'repair',
      'error',
    ]),
    id: Type.String(),
    name: Type.String(),
    attributes: stringMap('free detail, such as the ports of a publish'),
  },
  { ...closed, $id: 'Event' },
);

export type NetworkObject = Static<typeof NetworkSchema>;
export type SandboxObject = Static<typeof SandboxSchema>;
export type EndpointObject = Static<typeof EndpointSchema>;
export type ServiceObject = Static<typeof ServiceSchema>;
export type PortMappingObject = Static<typeof PortMappingSchema>;
export type RowObject = Static<typeof RowSchema> & Record<string, unknown>;
export type PlanObject = Static<typeof PlanSchema>;
export type PrunePlanObject = Static<typeof PrunePlanSchema>;
export type PrunedObject = Static<typeof PrunedSchema>;
export type ErrorObject = Static<typeof ErrorSchema>;
export type EventObject = Static<typeof EventSchema>;
