// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox';
import { closed, nullable, words } from './common.js';

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
    kind: words(['endpoint', 'network']),
    id: Type.String(),
    name: Type.String(),
    dockerId: Type.String({ description: "Docker's id of it, which Docker does not know any more" }),
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

export type DockerStatusObject = Static<typeof DockerStatusSchema>;
export type OrphanObject = Static<typeof OrphanSchema>;
export type OrphansPrunedObject = Static<typeof OrphansPrunedSchema>;
