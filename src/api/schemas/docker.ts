// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox';
import { closed, nullable, stringMap, words } from './common.js';

const containerRef = Type.Object({ id: Type.String(), name: Type.String() }, closed);

export const DockerStatusSchema = Type.Object(
  {
    url: Type.String({ description: 'where the Engine is looked for' }),
    connected: Type.Boolean(),
    seconds: Type.Number({ minimum: 0, description: 'for which it has been connected, or has not' }),
    version: nullable(Type.String({ description: "the Engine's; null: none has answered yet" })),
    api: nullable(Type.String({ description: 'version of its API that is spoken' })),
    error: nullable(Type.String({ description: 'why it is not connected' })),
    containers: Type.Integer({ minimum: 0 }),
    running: Type.Integer({ minimum: 0 }),
    services: Type.Integer({ minimum: 0, description: 'that labels declare' }),
    problems: Type.Array(
      Type.Object(
        {
          container: containerRef,
          service: nullable(Type.String()),
          label: Type.String(),
          message: Type.String(),
        },
        closed,
      ),
      { description: 'labels that count for nothing, and why' },
    ),
  },
  { ...closed, $id: 'DockerStatus', description: 'the Docker Engine that is followed' },
);

export const OrphanSchema = Type.Object(
  {
    kind: words(['endpoint', 'address', 'network', 'pool'], {
      description: 'address, pool: of the address management, whichever driver the network has',
    }),
    id: Type.String(),
    name: Type.String(),
  },
  { ...closed, $id: 'Orphan' },
);

export const OrphansPrunedSchema = Type.Object(
  {
    removed: Type.Array(Type.Unsafe<Static<typeof OrphanSchema>>({ $ref: 'Orphan#' })),
    failed: Type.Array(Type.Object({ ...OrphanSchema.properties, error: Type.String() }, closed)),
  },
  { ...closed, $id: 'OrphansPruned' },
);

const steps = (description: string) =>
  Type.Array(
    Type.Object(
      {
        what: Type.String(),
        commands: Type.Array(Type.String(), { description: 'for a POSIX shell' }),
      },
      closed,
    ),
    { description },
  );

export const AdoptionSchema = Type.Object(
  {
    network: Type.Object(
      {
        id: Type.String(),
        name: Type.String(),
        subnets: Type.Array(
          Type.Object({ subnet: Type.String(), gateway: Type.String(), ipRange: Type.String() }, closed),
        ),
        internal: Type.Boolean(),
        ipv6: Type.Boolean(),
        options: stringMap('options'),
        labels: stringMap('labels'),
      },
      closed,
    ),
    target: Type.String({ description: 'name of the network that takes its place' }),
    containers: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          name: Type.String(),
          state: Type.String(),
          ipv4: Type.String(),
          ipv6: Type.String(),
          fixedAddress: Type.Boolean({ description: 'its user asked for these addresses' }),
          ports: Type.Array(Type.String(), { description: 'published, as docker run takes them' }),
          project: nullable(Type.String({ description: 'of Docker Compose' })),
          move: words(['connect', 'recreate', 'compose'], {
            description:
              'connect: while it runs; recreate: a new container in its place; compose: by Compose',
          }),
        },
        closed,
      ),
    ),
    steps: steps('what to do, in this order'),
    back: steps('how to undo it, from any step on'),
    warnings: Type.Array(Type.String()),
  },
  { ...closed, $id: 'Adoption' },
);

export const AdoptQuery = Type.Object(
  {
    dryRun: Type.Optional(Type.Boolean({ description: 'answer the plan; nothing else is supported' })),
    keepAddresses: Type.Optional(
      Type.Boolean({
        description: 'the same name, subnets and addresses; every container is cut off meanwhile',
      }),
    ),
  },
  closed,
);

export type AdoptionObject = Static<typeof AdoptionSchema>;
export type DockerStatusObject = Static<typeof DockerStatusSchema>;
export type OrphanObject = Static<typeof OrphanSchema>;
export type OrphansPrunedObject = Static<typeof OrphansPrunedSchema>;
