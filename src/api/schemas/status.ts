// SPDX-License-Identifier: Apache-2.0
import { type Static, Type } from 'typebox';
import { closed, mapOf, nullable, ref, words } from './common.js';
import { DockerStatusSchema } from './docker.js';
import { StateSchema } from './state.js';

const count = Type.Integer({ minimum: 0 });

export const TableSchema = Type.Object(
  { map: Type.String(), entries: count, capacity: count },
  { ...closed, $id: 'Table' },
);

export const StatusSchema = Type.Object(
  {
    node: Type.String({ description: 'name' }),
    address: nullable(Type.String({ description: "the node's" })),
    version: Type.String(),
    kernel: Type.String({ description: 'release' }),
    uptimeSeconds: Type.Number({ minimum: 0 }),
    features: Type.Array(
      Type.Object(
        {
          feature: Type.String(),
          available: Type.Boolean(),
          using: Type.String({ description: 'what is used, the feature itself or what stands in for it' }),
        },
        closed,
      ),
    ),
    attachModes: Type.Array(
      Type.Object(
        {
          link: Type.String({ description: "an interface's name, or the directory of a cgroup" }),
          hook: Type.String(),
          mode: Type.String({ description: 'tcx, clsact, cgroup' }),
        },
        closed,
      ),
    ),
    uplinks: Type.Array(
      Type.Object(
        { link: Type.String(), layer: words(['ethernet', 'l3']), addresses: Type.Array(Type.String()) },
        closed,
      ),
    ),
    tables: Type.Array(ref(TableSchema)),
    drops: mapOf(
      Type.Object({ packets: count, bytes: count }, closed),
      'by reason, without those that never happened',
    ),
    rows: Type.Object({ pending: count, done: count, error: count }, closed),
    problems: Type.Array(
      Type.Object(
        {
          owner: Type.Object(
            { kind: words(['node', 'network', 'sandbox', 'endpoint', 'service']), id: Type.String() },
            closed,
          ),
          name: nullable(Type.String({ description: "the owner's; null: gone, or the node" })),
          row: Type.String({ description: 'kind of the row' }),
          key: Type.String({ description: 'which one of its kind' }),
          state: words(['pending', 'error']),
          error: nullable(Type.String()),
        },
        closed,
      ),
      { description: 'rows that are not done, and why' },
    ),
    objects: Type.Object({ networks: count, sandboxes: count, endpoints: count }, closed),
    resolver: nullable(
      Type.Object(
        {
          sandboxes: Type.Integer({ minimum: 0, description: 'where it answers' }),
          waiting: Type.Integer({ minimum: 0, description: 'whose namespace is not there yet' }),
          queries: count,
          forwarded: Type.Integer({ minimum: 0, description: 'of them answered by other servers' }),
          failed: Type.Integer({ minimum: 0, description: 'of them answered by nobody' }),
        },
        { ...closed, description: 'names for sandboxes; null: there is no resolver' },
      ),
    ),
    docker: nullable(ref(DockerStatusSchema)),
    state: ref(StateSchema),
  },
  { ...closed, $id: 'Status' },
);

export type Status = Static<typeof StatusSchema>;
export type TableFill = Static<typeof TableSchema>;
